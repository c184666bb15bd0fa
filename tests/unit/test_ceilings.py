"""Ceilings: each limit at its border, and the errors with their sentences and times."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gateway.domain.ceilings import Ceiling, Ceilings, Scope, Usage, check_room, seconds_to_midnight
from gateway.domain.errors import CreatesExhausted, GatewayError, TokenExhausted, TooManyUploads

NOW = datetime(2026, 1, 1, 23, 0, tzinfo=UTC)


def _check(usage: Usage, ceiling: Ceiling, scope: Scope = "tenant", size_bytes: int = 0, **more: Any) -> None:
    check_room(scope, usage, ceiling, size_bytes=size_bytes, now=NOW, **more)


def test_each_scope_has_its_own_limits() -> None:
    """Token, key and tenant are not taken for each other."""
    limits = [Ceiling(open_uploads=n) for n in (1, 2, 3)]
    ceilings = Ceilings(*limits)
    assert [ceilings.of("token"), ceilings.of("key"), ceilings.of("tenant")] == limits


def test_without_limits_everything_fits() -> None:
    """0 is no limit."""
    much = Usage(10**6, 10**15, 10**6, 10**6, 10**6)
    _check(much, Ceiling(), size_bytes=10**15)


@pytest.mark.parametrize(("usage", "ceiling", "error", "sentence", "fields"), [
    (Usage(creates=2), Ceiling(creates=2), CreatesExhausted,
     "This tenant has created 2 uploads, which is all it may.", {}),
    (Usage(creates_today=2), Ceiling(creates_per_day=2), TooManyUploads,
     "This tenant has created 2 uploads today, which is all it may in a day.", {"retry_after": 3600}),
    (Usage(open_uploads=2), Ceiling(open_uploads=2), TooManyUploads,
     "This tenant has 2 uploads open. Complete or abort some.", {"retry_after": 60}),
    (Usage(1, 51), Ceiling(open_bytes=100), TooManyUploads,
     "This tenant may have 100 bytes in open uploads. Complete or abort some.", {"retry_after": 60}),
])  # fmt: skip
def test_a_limit_is_refused_with_its_reason(
    usage: Usage, ceiling: Ceiling, error: type[GatewayError], sentence: str, fields: dict[str, int]
) -> None:
    """The sentence names who, and how much; the time says when to ask again."""
    with pytest.raises(error) as raised:
        _check(usage, ceiling, size_bytes=50)
    assert (type(raised.value), raised.value.detail, raised.value.fields) == (error, sentence, fields)


@pytest.mark.parametrize(("usage", "ceiling"), [
    (Usage(creates=1), Ceiling(creates=2)),
    (Usage(creates_today=1), Ceiling(creates_per_day=2)),
    (Usage(open_uploads=1), Ceiling(open_uploads=2)),
    (Usage(1, 50), Ceiling(open_bytes=100)),
    (Usage(0, 0), Ceiling(open_bytes=10)),
])  # fmt: skip
def test_the_last_place_is_a_place(usage: Usage, ceiling: Ceiling) -> None:
    """And one file that is larger than the limit alone passes while nothing is open."""
    _check(usage, ceiling, size_bytes=50)


@pytest.mark.parametrize(("scope", "who"), [
    ("token", "This upload token"), ("key", "This API key"), ("tenant", "This tenant"),
])  # fmt: skip
def test_the_sentence_names_whose_limit_it_is(scope: Scope, who: str) -> None:
    """A token that is used up is TokenExhausted, which its bearer can do nothing about."""
    error = TokenExhausted if scope == "token" else CreatesExhausted
    with pytest.raises(error, match=f"{who} has created 1 uploads") as raised:
        _check(Usage(creates=1), Ceiling(creates=1), scope)
    assert type(raised.value) is error
    with pytest.raises(TooManyUploads, match=f"{who} has 1 uploads open"):
        _check(Usage(open_uploads=1), Ceiling(open_uploads=1), scope)


@pytest.mark.parametrize(
    ("max_files", "creates", "most"), [(1, 0, 20), (2, 0, 20), (3, 0, 30), (3, 25, 25), (3, 99, 30)]
)
def test_a_token_for_some_files_has_ten_creates_for_each(max_files: int, creates: int, most: int) -> None:
    """At least twenty, and at most what the operator set."""
    _check(Usage(creates=most - 1), Ceiling(creates=creates), "token", max_files=max_files)
    with pytest.raises(TokenExhausted, match=f"created {most} uploads"):
        _check(Usage(creates=most), Ceiling(creates=creates), "token", max_files=max_files)


@pytest.mark.parametrize(("now", "seconds"), [
    (datetime(2026, 1, 1, tzinfo=UTC), 86_400),
    (datetime(2026, 1, 1, 23, 59, 59, tzinfo=UTC), 1),
    (datetime(2026, 1, 1, 23, 59, 59, 900_000, tzinfo=UTC), 1),
    (datetime(2026, 1, 1, 22, 30, 1, 500, tzinfo=UTC), 5398),
    (datetime(2026, 1, 1, 12, 0, 0, 1, tzinfo=UTC), 43_199),
    (datetime(2026, 1, 2, 0, 30, tzinfo=timezone(timedelta(hours=1))), 1800),
])  # fmt: skip
def test_a_day_ends_at_midnight_in_utc(now: datetime, seconds: int) -> None:
    """Whatever the zone of the clock; never in less than a second."""
    assert seconds_to_midnight(now) == seconds


def test_the_zone_of_the_machine_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day is UTC's on every replica."""
    try:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            assert seconds_to_midnight(NOW) == 3600
    finally:
        time.tzset()
