"""Whatever bytes come, detection answers within its budget."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.detection import Verdict, inspect, inspect_bytes
from gateway.detection.source import MAX_BYTES, MAX_READS
from tests.unit.detection import media
from tests.unit.detection.mistakes import no_mistakes

__all__ = ["no_mistakes"]
pytestmark = pytest.mark.usefixtures("no_mistakes")
EVERYTHING = frozenset(("audio", "video", "image", "document", "archive"))
# First bytes of every format that has a look of its own, so that random bytes get past the first check.
STARTS = st.sampled_from(
    [
        media.FTYP,
        b"\0\0\0\x10moov",
        b"\0\0\0\1mdat",
        b"RIFF\xff\0\0\0WAVEfmt ",
        b"RF64\xff\xff\xff\xffWAVEds64",
        b"RIFF\xff\0\0\0AVI LIST",
        bytes.fromhex("726966662e91cf11a5d628db04c10000"),
        b"\x1a\x45\xdf\xa3",
        b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska\x18\x53\x80\x67\xff",
        b"OggS\0\2",
        b"fLaC\0\0\0\x22",
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
        b"FORM\0\0\xff\xffAIFFCOMM",
        b"caff\0\1\0\0desc\0\0\0\0\0\0\0\x20",
        b".snd\0\0\0\x18",
        b"FLV\1\5\0\0\0\x09\0\0\0\0",
        b"#!AMR\n",
        b"#!AMR-WB\n",
        b"\0\0\1\xba",
        b"\0\0\1\xb3",
        b"ID3\3\0\0\0\0\0\x0a",
        b"\xff\xfb\x90\x64",
        b"\xff\xf1\x50\x80",
        b"\x0b\x77",
        b"\x56\xe0",
        b"ADIF",
        b"G" + bytes(187),
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"RIFF\xff\0\0\0WEBP",
        b"%PDF-1.7",
        b"PK\3\4",
    ]
)
BODIES = st.binary(max_size=3000)
GENUINE = st.sampled_from([recipe.name for recipe in media.RECIPES])
LOOSE = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def check(verdict: Verdict) -> None:
    assert verdict.accepted == (verdict.check is None) == (verdict.reason is None)
    assert verdict.reads <= MAX_READS
    assert verdict.bytes_read <= MAX_BYTES
    assert verdict.media_type or not verdict.accepted
    assert verdict.media_type != "audio/x-sndr"
    assert "\\u0000" not in json.dumps(verdict.to_dict(), allow_nan=False)


@LOOSE
@given(start=STARTS | st.just(b""), body=BODIES, repeat=st.integers(1, 20))
def test_any_bytes_get_an_answer(start: bytes, body: bytes, repeat: int) -> None:
    """No bytes raise, cost more than the budget or are accepted without a type; random ones are never media."""
    verdict = inspect_bytes((start + body) * repeat, allowed_kinds=EVERYTHING)
    check(verdict)


@LOOSE
@given(name=GENUINE, data=st.data())
def test_any_change_to_media_gets_an_answer(name: str, data: st.DataObject) -> None:
    """A real file with anything written over, into or out of it is answered."""
    original = media.genuine(name)
    at = data.draw(st.integers(0, min(len(original), 5000)))
    gone = data.draw(st.integers(0, 600))
    check(inspect_bytes(original[:at] + data.draw(BODIES) + original[at + gone :]))


class Chopped:
    """A reader that returns less than it was asked for, as stores may at the end of a range."""

    def __init__(self, data: bytes, size_bytes: int, most: int) -> None:
        self._data = data
        self._most = most
        self.size_bytes = size_bytes

    async def read(self, start: int, length: int) -> bytes:
        assert 0 <= start <= self.size_bytes
        assert 0 < length <= MAX_BYTES
        return self._data[start : start + min(length, self._most)]


@LOOSE
@given(name=GENUINE, more=st.integers(-50, 5000), most=st.integers(0, 70_000))
def test_a_reader_that_says_less_than_it_promised_gets_an_answer(name: str, more: int, most: int) -> None:
    """An object that is shorter than its size says, or reads that come back short, end in a verdict."""
    data = media.genuine(name)
    reader = Chopped(data, max(0, len(data) + more), most)
    check(asyncio.run(inspect(reader)))
