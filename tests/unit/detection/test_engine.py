"""The engine: from a structure to a verdict, whoever reads; formats are stood in for by one that answers at will."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.detection import BytesReader, Kind, Verdict, engine, examine, inspect, inspect_bytes, inspect_file
from gateway.detection.engine import AUDIO_VIDEO
from gateway.detection.source import HEAD, Source
from gateway.detection.verdict import Look, Refused, Structure, Track
from tests.unit.uploads.conftest import wav

FACTS: dict[str, Any] = {"container": "wav", "family": "wav", "media_type": "audio/vnd.wave", "kind": "audio"}
Find = Callable[[Source, bytes, frozenset[Kind]], Look[tuple[Structure, bool]]]


@pytest.fixture
def finding(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the next file have these facts, by structure unless *alone*, or raise *error*."""

    def set_answer(error: Exception | None = None, *, alone: bool = True, **facts: Any) -> None:
        def find(source: Source, head: bytes, allowed: frozenset[Kind]) -> Look[tuple[Structure, bool]]:
            yield from source.at(0, 1)
            if error is not None:
                raise error
            return Structure(**(FACTS | facts)), alone

        monkeypatch.setattr(engine.registry, "find", find)

    return set_answer


async def test_every_way_to_read_gives_the_same_verdict(tmp_path: Path) -> None:
    """Bytes, a file and a reader; each may allow other kinds."""
    body = wav(200_000)
    path = tmp_path / "a.wav"
    path.write_bytes(body)
    for kinds in (AUDIO_VIDEO, frozenset[Kind]({"image"})):
        verdict = inspect_bytes(body, allowed_kinds=kinds)
        assert verdict.accepted is (kinds is AUDIO_VIDEO)
        assert inspect_file(path, allowed_kinds=kinds) == verdict
        assert await inspect(BytesReader(body), allowed_kinds=kinds) == verdict
    assert inspect_bytes(body) == inspect_file(path) == await inspect(BytesReader(body))


def test_the_facts_of_a_structure_are_the_verdicts(finding: Callable[..., None]) -> None:
    """None is lost on the way; codecs get their one name where the format gave none."""
    tracks = Track("audio", codec_name="A_OPUS"), Track("video", codec_name="V_VP8", codec="own")
    finding(tracks=tracks, duration_seconds=4.0, duration_is="stated", complete=False, available_seconds=2.0)
    assert inspect_bytes(bytes(100)) == Verdict(
        accepted=True,
        **FACTS,
        tracks=(Track("audio", codec_name="A_OPUS", codec="opus"), tracks[1]),
        duration_seconds=4.0,
        duration_is="stated",
        bit_rate=400,
        complete=False,
        available_seconds=2.0,
        by_magic_alone=True,
        reads=1,
        bytes_read=100,
    )


@pytest.mark.parametrize(("facts", "rate"), [
    ({}, None),
    ({"duration_seconds": 0.0}, None),
    ({"duration_seconds": 4.0}, 200),
    ({"duration_seconds": 4.0, "available_seconds": 2.0}, 200),
    ({"duration_seconds": 4.0, "available_seconds": 2.0, "complete": True}, 200),
    ({"duration_seconds": 4.0, "available_seconds": 2.0, "complete": False}, 400),
    ({"duration_seconds": 3.0}, 267),
])  # fmt: skip
def test_the_bit_rate_is_the_files_mean(finding: Callable[..., None], facts: dict[str, Any], rate: int | None) -> None:
    """In bits per second; a cut file has its bytes in the time that is there."""
    finding(**facts)
    assert inspect_bytes(bytes(100)).bit_rate == rate


@pytest.mark.parametrize(("kind", "words"), [
    ("audio", "audio"), ("video", "video"), ("image", "an image"), ("document", "a document"),
    ("archive", "an archive"),
])  # fmt: skip
def test_a_kind_that_is_not_allowed_is_refused(finding: Callable[..., None], kind: Kind, words: str) -> None:
    """With its name and type; the facts are kept."""
    finding(kind=kind, media_type="x/y")
    refused = inspect_bytes(bytes(100), allowed_kinds=())
    assert (refused.accepted, refused.check, refused.kind) == (False, "kind", kind)
    assert refused.reason == f"The file is {words} (x/y), which is not accepted here."
    assert inspect_bytes(bytes(100), allowed_kinds=[kind]).accepted


def test_an_empty_file_is_empty(finding: Callable[..., None]) -> None:
    """One byte is not; nothing is read of no bytes."""
    finding()
    empty = inspect_bytes(b"")
    assert (empty.accepted, empty.check, empty.reason, empty.reads) == (False, "empty", "The file is empty.", 0)
    assert inspect_bytes(b"x").accepted


def test_a_refusal_keeps_container_reason_and_costs(finding: Callable[..., None]) -> None:
    """What was recognised before it broke is told."""
    finding(Refused("structure", "It broke.", "wav"))
    assert inspect_bytes(bytes(100)) == Verdict(
        accepted=False, container="wav", check="structure", reason="It broke.", reads=1, bytes_read=100
    )


def test_a_mistake_in_a_formats_code_refuses_the_file(
    finding: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """It must not end the job that asks, which would run again and again; the log names error and format."""
    finding(ZeroDivisionError())
    refused = inspect_bytes(bytes(100))
    assert (refused.accepted, refused.check, refused.container) == (False, "structure", None)
    assert refused.reason == (
        "The check could not make sense of the file: it is damaged, or is not what it begins like."
    )
    assert (refused.reads, refused.bytes_read) == (1, 100)
    [record] = caplog.records
    assert (record.levelno, record.message) == (logging.ERROR, "detection failed; the file is refused")
    assert (record.__dict__["error"], record.__dict__["format"]) == ("ZeroDivisionError", None)


def test_the_log_names_the_format_that_made_the_mistake(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By its module: the first of `formats` on the way."""
    namespace = {"__name__": "gateway.detection.formats.riff"}
    exec("def look(source):\n    yield from source.at(0, 1)\n    raise KeyError", namespace)
    monkeypatch.setattr(engine.registry, "find", lambda source, head, allowed: namespace["look"](source))  # type: ignore[operator]  # a function
    assert not inspect_bytes(bytes(100)).accepted
    assert caplog.records[0].__dict__["format"] == "riff"


def test_a_machine_without_memory_refuses_no_file(finding: Callable[..., None]) -> None:
    """It says nothing of the file: the error comes through."""
    finding(MemoryError())
    with pytest.raises(MemoryError):
        inspect_bytes(bytes(100))


async def test_the_readers_own_errors_come_through() -> None:
    """An outage of the store is no verdict."""

    class Away:
        size_bytes = 100

        async def read(self, start: int, length: int) -> bytes:
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011  # it has no words
        await inspect(Away())


@pytest.mark.parametrize(("facts", "checked"), [
    ({"kind": "audio"}, True), ({"kind": "video"}, True), ({"kind": "image"}, True), ({"kind": "document"}, False),
])  # fmt: skip
def test_media_is_searched_for_a_second_format(
    finding: Callable[..., None], monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], checked: bool
) -> None:
    """And compared with puremagic where a structure proved it; a document is its own format to the end."""
    seen: list[str] = []

    def refuse(source: Source, structure: Structure, head: bytes, tail: bytes) -> Look[None]:
        assert (head, tail) == (bytes(100), bytes(100))
        seen.append("hidden")
        return
        yield

    def agree(family: str, container: str, head: bytes, tail: bytes, *, tagged: bool) -> None:
        assert (family, container, head, tail, tagged) == ("wav", "w64", bytes(100), bytes(100), False)
        seen.append("magic")

    monkeypatch.setattr(engine.hidden, "refuse", refuse)
    monkeypatch.setattr(engine.magic, "agree", agree)
    for alone in (False, True):
        seen.clear()
        finding(container="w64", alone=alone, **facts)
        verdict = inspect_bytes(bytes(100), allowed_kinds=[facts["kind"]])
        assert (verdict.accepted, verdict.by_magic_alone) == (True, alone)
        assert seen == (["hidden"] if alone else ["hidden", "magic"]) * checked


def test_the_first_read_shows_the_head() -> None:
    """An image of a disc has its first descriptor in it; no second read is needed for that."""
    assert next(examine(10**9)) == (0, HEAD)


def test_a_look_that_is_left_ends(finding: Callable[..., None]) -> None:
    """Whoever stops asking leaves nothing behind."""
    steps = examine(100)
    assert next(steps) == (0, 100)
    steps.close()
