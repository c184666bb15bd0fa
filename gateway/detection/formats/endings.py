"""Check that sound without a stated end reaches the end of the file: other bytes after it may be another format.

7-Zip, unrar and others find an archive after any number of bytes of sound, so that the last frames are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.detection.beginnings import strong_beginning
from gateway.detection.formats import id3
from gateway.detection.formats.frames import EMPTY, FEW, HEADER, Chain, FrameHeader
from gateway.detection.formats.payload import holds_text
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Refused

# The last frames are searched in this many bytes first: three of the longest frames of MPEG audio.
LAST = 6 * 1024
# False starts of a chain in the tail: each costs a few steps.
MAX_STARTS = 256
MAX_END_TAGS = 5
# ID3v1 may have an extension of 227 bytes before it, which begins with TAG+.
_FOOT = 227
# Damaged frames and the remains of a tag are shorter than this.
_FOREIGN = 4 * 1024


@dataclass(frozen=True, slots=True)
class Ending:
    """The offset after the last frame, whether that frame is whole, and the mean length of the last frames, bytes.

    The mean is 0 where the frames were all followed from the first one.
    """

    end: int
    complete: bool
    mean_bytes: float = 0.0


def find_end(source: Source, chain: Chain, header: FrameHeader, container: str) -> Look[Ending]:
    """Find the last frames and check that nothing but tags and zeros follows them.

    Raises Refused when something else does.
    """
    stop = yield from before_tags(source)
    if chain.end >= stop or chain.complete:
        return Ending(min(chain.end, stop), complete=not chain.cut_short)
    tail = yield from _before(source, stop)
    offset = stop - len(tail)
    last = last_frames(tail, header, chain, LAST)
    if last is None and len(tail) > LAST:
        last = last_frames(tail, header, chain, len(tail))
    if last is None:
        if chain.end < offset or is_foreign(tail[chain.end - offset :].rstrip(b"\x00")):
            raise something_follows(container)
        return Ending(chain.end, complete=False)
    begin, end, count = last
    rest = tail[end:].rstrip(b"\x00")
    parsed = header(rest[:HEADER]) if rest else None
    cut = parsed is not None and parsed[0] > len(rest)
    if not cut and is_foreign(rest):
        raise something_follows(container)
    return Ending(offset + end, not cut, (end - begin) / count)


def something_follows(container: str) -> Refused:
    """Build the refusal of sound with other data after it."""
    reason = f"Other data follows the {container} sound in this file. Export the recording again."
    return Refused("hidden", reason, container)


def is_foreign(rest: bytes) -> bool:
    """Say whether the bytes after the last frame are more than a damaged frame."""
    return len(rest) > _FOREIGN or holds_text(rest) or strong_beginning(rest) is not None


def last_frames(tail: bytes, header: FrameHeader, chain: Chain, within: int) -> tuple[int, int, int] | None:
    """Return start, end and number of the last frames that lead to one another, None where there are no two."""
    sync = chain.first[:1]
    at = tail.find(sync, max(0, len(tail) - within))
    best: tuple[int, int, int] | None = None
    for _ in range(MAX_STARTS):
        if at < 0:
            break
        position, count = at, 0
        parsed = header(tail[at : at + HEADER])
        key = parsed[1] if parsed else None
        while parsed is not None and parsed[1] in (key, EMPTY) and position + parsed[0] <= len(tail):
            position, count = position + parsed[0], count + 1
            parsed = header(tail[position : position + HEADER])
        if count >= FEW:
            best = (at, position, count)
        at = tail.find(sync, position if count >= FEW else at + 1)
    return best


def _before(source: Source, stop: int) -> Look[bytes]:
    """Give the bytes before `stop` that are in the tail, or some kilobytes before a large tag that ends the file."""
    tail = yield from source.tail()
    inside = stop - (source.size - len(tail))
    if inside >= min(LAST, stop):
        return tail[:inside]
    start = max(0, stop - 2 * LAST)
    return (yield from source.at(start, stop - start))


def before_tags(source: Source) -> Look[int]:
    """Return the offset of the first of the tags that end the file, and mark them: ID3v1, Lyrics3, APE, ID3v2."""
    stop = source.size
    yield from source.tail()
    for _ in range(MAX_END_TAGS):
        foot = yield from source.at(max(0, stop - _FOOT), min(_FOOT, stop))
        size = _tag_before(foot)
        if not size or size > stop:
            break
        source.mark_tag(stop - size, stop)
        stop -= size
    return stop


def _tag_before(foot: bytes) -> int:
    """Return the length of the tag that ends with these bytes, 0 where none does."""
    if foot[-128:-125] == b"TAG":
        return 128
    if foot[-227:-223] == b"TAG+":
        return 227
    if foot[-9:] in (b"LYRICS200", b"LYRICSEND") and foot[-15:-9].isdigit():
        return int(foot[-15:-9]) + 15
    if foot[-32:-24] == b"APETAGEX":
        has_header = 32 if foot[-9] & 0x80 else 0
        return int.from_bytes(foot[-20:-16], "little") + has_header
    if foot[-10:-7] == b"3DI" and max(foot[-4:]) < 0x80:
        return id3.synchsafe(foot[-4:]) + 20
    return 0
