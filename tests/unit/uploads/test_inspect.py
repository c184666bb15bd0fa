"""Inspect: the answer for a file of which some ranges are known, or the ranges that are needed first."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.errors import Invalid
from gateway.domain.policy import FileRules
from gateway.uploads.inspect import MAX_INSPECT_BYTES, MAX_RANGES, Inspection, KnownRange, inspect_ranges
from tests.unit.uploads.conftest import wav

BODY = wav(200_000)


def _rules(**rules: Any) -> FileRules:
    return FileRules(max_file_size=1_000_000, allowed_extensions=frozenset({"wav", "mp3"}), **rules)


def _inspect(body: bytes, *ranges: KnownRange, filename: str = "a.wav", **rules: Any) -> Inspection:
    return inspect_ranges(_rules(**rules), filename, len(body), ranges)


def _answered(body: bytes, **more: Any) -> tuple[Inspection, list[tuple[int, int]]]:
    """Send what is asked for, range by range, until there is an answer."""
    known: list[KnownRange] = []
    asked: list[tuple[int, int]] = []
    while (answer := _inspect(body, *known, **more)).wanted:
        [(start, length)] = answer.wanted
        assert (start, length) not in asked, "the same range is never asked for twice"
        asked.append((start, length))
        known.append(KnownRange(start, body[start : start + length]))
    return answer, asked


def test_what_is_asked_for_is_enough() -> None:
    """Range by range the answer is the one of the whole file."""
    answer, asked = _answered(BODY)
    assert answer.decision is not None
    assert answer.decision.verdict.media_type == "audio/vnd.wave"
    assert (answer.rejection, answer.wanted) == (None, ())
    assert asked[0][0] == 0
    assert sum(length for _, length in asked) < len(BODY)


def test_a_refused_file_has_rejection_and_decision() -> None:
    """The rejection is the decision's."""
    answer, _ = _answered(b"just a letter " * 100)
    assert answer.rejection is not None
    assert answer.decision is not None
    assert answer.rejection == answer.decision.rejection
    assert answer.rejection.code == "type_not_recognised"


def test_the_policy_and_the_name_are_those_of_an_upload() -> None:
    """Strict names and durations are decided as after an upload."""
    answer, _ = _answered(BODY, filename="a.mp3", extension_mismatch="strict")
    assert answer.rejection is not None
    assert answer.rejection.code == "extension_mismatch"
    answer, _ = _answered(BODY, max_duration_seconds=1)
    assert answer.rejection is not None
    assert answer.rejection.code == "too_long"


@pytest.mark.parametrize(
    ("filename", "size", "code"), [("a.exe", 1, "extension_not_allowed"), ("a.wav", 1_000_001, "file_too_large")]
)
def test_name_and_size_are_answered_without_bytes(filename: str, size: int, code: str) -> None:
    """The answer says what create would: nothing is asked for."""
    answer = inspect_ranges(_rules(), filename, size, [])
    assert answer.rejection is not None
    assert answer.rejection.code == code
    assert answer.rejection.detail
    assert (answer.decision, answer.wanted) == (None, ())


def test_a_name_that_no_file_has_is_invalid() -> None:
    """Create would answer the same."""
    with pytest.raises(Invalid):
        inspect_ranges(_rules(), " ", 1, [])


@pytest.mark.parametrize("cut", [1, 100, 4000])
def test_only_what_is_missing_is_asked_for(cut: int) -> None:
    """Where the beginning of a range is known, the rest is wanted."""
    [(start, length)] = _inspect(BODY).wanted
    assert start == 0
    assert _inspect(BODY, KnownRange(0, BODY[:cut])).wanted == ((cut, length - cut),)
    halves = KnownRange(0, BODY[:cut]), KnownRange(cut // 2, BODY[cut // 2 : cut + 1])
    assert _inspect(BODY, *halves).wanted == ((cut + 1, length - cut - 1),)


@pytest.mark.parametrize("step", [64, 1000, 4096])
def test_ranges_are_joined_where_they_touch_and_overlap(step: int) -> None:
    """Many pieces in any order are the same as one."""
    body = wav(20 * step)
    pieces = [KnownRange(start, body[start : start + step + 7]) for start in range(0, len(body), step)]
    known = [piece for piece in pieces if piece.start + len(piece.data) <= len(body)]
    joined = _inspect(body, *reversed(known))
    assert joined == _inspect(body, KnownRange(0, body))
    assert joined.decision is not None


@pytest.mark.parametrize("start", [-1, 5])
def test_a_range_outside_of_the_file_is_invalid(start: int) -> None:
    """Before its beginning and after its end there are no bytes."""
    with pytest.raises(Invalid, match=r"A range lies outside of the file\."):
        inspect_ranges(_rules(), "a.wav", 10, [KnownRange(start, bytes(6))])


def test_a_range_may_touch_both_ends() -> None:
    """All bytes of a file are a range of it."""
    assert inspect_ranges(_rules(), "a.wav", 10, [KnownRange(0, bytes(10))]).rejection is not None


@pytest.mark.parametrize(("count", "size", "valid"), [
    (MAX_RANGES, 1, True),
    (MAX_RANGES + 1, 1, False),
    (2, MAX_INSPECT_BYTES // 2, True),
    (2, MAX_INSPECT_BYTES // 2 + 1, False),
])  # fmt: skip
def test_ranges_are_bounded_in_number_and_bytes(count: int, size: int, valid: bool) -> None:
    """As many as the validation of an upload may read, and no more."""
    ranges = [KnownRange(number * size, bytes(size)) for number in range(count)]
    if valid:
        inspect_ranges(_rules(), "a.wav", 900_000, ranges)
    else:
        with pytest.raises(Invalid, match="At most 24 ranges with 262144 bytes in all"):
            inspect_ranges(_rules(), "a.wav", 900_000, ranges)
