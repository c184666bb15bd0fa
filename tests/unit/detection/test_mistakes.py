"""A mistake in the code of one format refuses one file: it ends no job, and a person is told of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.detection import examine, inspect, inspect_bytes
from gateway.detection.formats import mpeg_ts, riff
from gateway.storage.errors import StoreUnavailable
from tests.unit.detection import media, test_handmade
from tests.unit.detection.mistakes import loud


def _mistake(*_: Any) -> Iterator[Any]:
    raise IndexError("index out of range")


def test_a_mistake_is_a_refusal_and_a_log_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The verdict has a sentence for a person; the log has the exception's type and the format."""
    monkeypatch.setattr(riff, "describe", _mistake)
    verdict = inspect_bytes(media.genuine("x.wav"))
    assert (verdict.accepted, verdict.check, verdict.reads) == (False, "structure", 1)
    assert verdict.reason == "The check could not make sense of the file: it is damaged, or is not what it begins like."
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert (record.__dict__["error"], record.__dict__["format"]) == ("IndexError", "riff")
    assert record.exc_info


@pytest.mark.parametrize("error", [StoreUnavailable(), OSError("disk"), IndexError("theirs"), MemoryError()])
async def test_errors_of_the_reader_are_no_mistakes(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """What the reader raises comes through as it is at the first read and at any later one, and nothing is logged."""
    data = media.genuine("end.mp4") + bytes(200_000)

    class Gone:
        size_bytes = len(data)

        def __init__(self, left: int) -> None:
            self.left = left

        async def read(self, start: int, length: int) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise error
            return data[start : start + length]

    for reads in (0, 1):
        with pytest.raises(type(error)) as raised:
            await inspect(Gone(reads))
        assert raised.value is error
    assert caplog.records == []


def test_no_memory_is_no_property_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without memory must not refuse a good file for ever."""

    def full(*_: Any) -> Iterator[Any]:
        raise MemoryError

    monkeypatch.setattr(riff, "describe", full)
    with pytest.raises(MemoryError):
        inspect_bytes(media.genuine("x.wav"))


def test_a_look_that_is_given_up_is_no_mistake(caplog: pytest.LogCaptureFixture) -> None:
    """A reader that is cancelled closes the look behind it."""
    steps = examine(100_000)
    next(steps)
    steps.close()
    assert caplog.records == []


def _section(table: int, length: int, body: bytes) -> bytes:
    section = bytes((table,)) + (0xB000 | length).to_bytes(2) + body
    return section + test_handmade.mpeg_tail(section)


@pytest.mark.parametrize("length", range(9, 14))
def test_a_program_table_too_short_for_its_own_header_announces_nothing(length: int) -> None:
    """A PMT with a right checksum and less than its fixed fields is stepped over."""
    pat = _section(0, 13, b"\0\1\xc1\0\0" + b"\0\1\xe1\0")
    pmt = _section(2, length, bytes(length - 4))

    def packet(pid: int, section: bytes) -> bytes:
        return (b"G" + (0x4000 | pid).to_bytes(2) + b"\x10\0" + section).ljust(188, b"\xff")

    stream = packet(0, pat) + packet(0x100, pmt) + (b"G\x1f\xff\x10" + bytes(184)) * 30
    with loud():
        verdict = inspect_bytes(stream)
    assert mpeg_ts.layout(stream) == (188, 0)
    assert verdict.check in ("structure", "tracks")


def test_a_private_packet_may_be_the_end_of_the_file() -> None:
    """Seven bytes of a private packet have no payload to look at."""
    with loud():
        verdict = inspect_bytes(bytes.fromhex("000001bd0000000001bd000100"))
    assert not verdict.accepted
