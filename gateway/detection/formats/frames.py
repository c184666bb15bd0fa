"""Follow formats that have frames but no header: each frame must lead to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.detection.formats import id3
from gateway.detection.formats.payload import SPAN
from gateway.detection.source import TAIL, Source
from gateway.detection.verdict import Look, Refused

# (length in bytes, fields that are equal in all frames) of the header at the start of the bytes.
FrameHeader = Callable[[bytes], tuple[int, object] | None]
# Marks an empty frame: it is followed like any other, but does not count as evidence.
EMPTY = object()
# Two bytes match by chance once in some thousand places; six frames in a row do not.
ENOUGH = 6
# Two are enough if the file ends exactly after them.
FEW = 2
# Four are enough if the file ends inside the next frame.
SOME = 4
HEADER = 16
# ID3v1, and the longer tag that may stand before it.
_ID3V1 = 128 + 227


@dataclass(frozen=True, slots=True)
class Chain:
    """Consecutive frames from `start` to `end`. `complete`: only tags or the end of the file follow them.

    `far`: the frames fill the first 4 KiB, or half of a shorter file. Six frames of four bytes alone would prove too
    little.
    """

    start: int
    end: int
    count: int
    complete: bool
    first: bytes
    cut_short: bool
    far: bool
    key: object = None

    @property
    def proves(self) -> bool:
        """Say whether the frames are too many for a chance match."""
        if self.complete and not self.cut_short:
            return self.count >= FEW
        return self.far and self.count >= (SOME if self.cut_short else ENOUGH)


def follow(source: Source, start: int, header: FrameHeader) -> Look[Chain]:
    """Count frames from `start`, at least ENOUGH of them and as many as fill SPAN bytes."""
    first = yield from source.at(start, HEADER)
    far = start + min(SPAN, (source.size - start) // 2)
    position, count, key = start, 0, None
    complete = cut_short = False
    while count < ENOUGH or position < far:
        data = yield from source.at(position, HEADER)
        parsed = header(data)
        if parsed is None or not (key is None or parsed[1] in (key, EMPTY)):
            complete = count > 0 and (yield from _only_tags(source, position, data))
            break
        if position + parsed[0] > source.size:
            complete, cut_short = count > 0, True
            break
        position += parsed[0]
        if parsed[1] is not EMPTY:
            count, key = count + 1, parsed[1]
        if position == source.size:
            complete = True
            break
        if not count and position - start > SPAN:
            break
    return Chain(start, position, count, complete, first, cut_short, position >= far, key)


def _only_tags(source: Source, position: int, data: bytes) -> Look[bool]:
    """Say whether tags or zeros, and nothing else, follow the last frame."""
    left = source.size - position
    if data.startswith((b"TAG", b"3DI")):
        return left <= _ID3V1
    if data.startswith(b"LYRICSBEGIN"):
        # Lyrics3 ends with its name, right before ID3v1 (id3.org, "Lyrics3 v2.00").
        return (yield from source.at(max(position, source.size - 137), 9)) in (b"LYRICS200", b"LYRICSEND")
    if data.startswith((b"APETAGEX", b"ID3")):
        try:
            return 0 <= source.size - (yield from id3.skip(source, position)) <= _ID3V1
        except Refused:
            return False
    return left <= TAIL and not (yield from source.at(position, left)).strip(b"\x00")
