"""Follow formats that have frames but no header: each frame must lead to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.detection.source import Source
from gateway.detection.verdict import Look

# (length in bytes, what must stay the same from frame to frame) of the header at the start of the bytes.
FrameHeader = Callable[[bytes], tuple[int, object] | None]
# Two bytes match by chance once in some thousand places; six frames in a row do not.
ENOUGH = 6
# Fewer are right only where the file ends with them.
FEW = 2
# And some more where it ends inside one.
SOME = 4
_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")
HEADER = 16


@dataclass(frozen=True, slots=True)
class Chain:
    """Frames that lead to one another, from `start`; `complete` says that they end with the file or a tag."""

    start: int
    count: int
    complete: bool
    first: bytes
    cut_short: bool = False

    @property
    def proves(self) -> bool:
        """Say whether this many frames are no accident."""
        return self.count >= ENOUGH or (self.complete and self.count >= (SOME if self.cut_short else FEW))


def follow(source: Source, start: int, header: FrameHeader) -> Look[Chain]:
    """Count frames from `start`, at most ENOUGH of them."""
    first = yield from source.at(start, HEADER)
    position, count, key = start, 0, None
    complete = cut_short = False
    while count < ENOUGH:
        data = yield from source.at(position, HEADER)
        parsed = header(data)
        if parsed is None or (key is not None and parsed[1] != key):
            complete = count > 0 and _is_end(data)
            break
        length, key = parsed
        if position + length > source.size:
            complete, cut_short = count > 0, True
            break
        count += 1
        position += length
        if position == source.size:
            complete = True
            break
    return Chain(start, count, complete, first, cut_short)


def _is_end(data: bytes) -> bool:
    """Say whether a tag or zeros follow the last frame."""
    return data.startswith(_TAGS) or not data.strip(b"\x00")
