"""Prove IVF, the frames of VP8, VP9 and AV1 that encoders and WebRTC servers write: libvpx, ivfdec.c."""

from __future__ import annotations

import re

from gateway.detection.formats.endings import is_foreign, something_follows
from gateway.detection.formats.payload import SPAN, refuse_text
from gateway.detection.source import TAIL, Source
from gateway.detection.verdict import Look, Structure, Track, broken, rounded, truncated

_CODECS = {b"VP80": "vp8", b"VP90": "vp9", b"AV01": "av1"}
_FILE_HEADER, _FRAME_HEADER = 32, 12
# No picture of 16,384 by 16,384 is compressed to more.
MAX_FRAME = 64 * 1024 * 1024
MAX_FRAMES = 40
ENOUGH = 2
# In the tail a frame begins with a size of under 16 MiB and a time of under 32 bits.
_IN_TAIL = re.compile(rb"(?=[\x00-\xff]{3}\x00[\x00-\xff]{4}\x00\x00\x00\x00)")
MAX_STARTS = 512
# A cut picture follows the one before it within so many ticks.
_NEAR = 1024


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like IVF."""
    return head[:4] == b"DKIF"


def look(source: Source) -> Look[Structure]:
    """Follow the frames, whose times rise, and find the last one at the end of the file."""
    head = yield from source.at(0, _FILE_HEADER)
    if len(head) < _FILE_HEADER:
        raise truncated("its header", "ivf")
    codec = _CODECS.get(head[8:12])
    width, height = int.from_bytes(head[12:14], "little"), int.from_bytes(head[14:16], "little")
    rate, scale = int.from_bytes(head[16:20], "little"), int.from_bytes(head[20:24], "little")
    if head[4:8] != b"\x00\x00\x20\x00" or codec is None or not width or not height or not rate or not scale:
        raise broken("The header names impossible numbers", "ivf")
    position, count, last = yield from _frames(source, codec)
    if count < ENOUGH and position < source.size:
        if not count or _is_cut((yield from source.at(position, source.size - position)), last):
            raise truncated("its first pictures", "ivf")
        raise broken("A picture does not lead to the next", "ivf")
    if not count:
        raise truncated("its header, before its first picture", "ivf")
    complete: bool | None = position == source.size
    if position < source.size:
        last, complete = yield from _end(source, position, last)
    seconds = rounded((last + 1) * scale / rate)
    track = Track("video", codec, width=width, height=height, frame_rate=round(rate / scale, 3))
    return Structure(
        "ivf", "ivf", "video/x-ivf", "video", (track,), seconds, None, "counted", complete,
        None if complete else seconds,
    )  # fmt: skip


def _frames(source: Source, codec: str) -> Look[tuple[int, int, int]]:
    """Return the offset after the first frames, how many there are, and the time of the last."""
    position, count, last = _FILE_HEADER, 0, -1
    far = min(SPAN, source.size // 2)
    while count < MAX_FRAMES and (count <= ENOUGH or position < far):
        header = yield from source.at(position, _FRAME_HEADER + 16)
        size, time = int.from_bytes(header[:4], "little"), int.from_bytes(header[4:12], "little")
        if len(header) <= _FRAME_HEADER or position + _FRAME_HEADER + size > source.size:
            break
        if not 0 < size <= MAX_FRAME or time < last or time >= 1 << 40:
            raise broken("A picture has an impossible size or time", "ivf")
        if not count:
            if not _begins(codec, header[_FRAME_HEADER:]):
                raise broken("The first picture is none", "ivf")
            yield from refuse_text(source, position + _FRAME_HEADER, "ivf", size)
        position, count, last = position + _FRAME_HEADER + size, count + 1, time
    return position, count, last


def _begins(codec: str, data: bytes) -> bool:
    """Say whether the bytes begin a key picture (RFC 6386, 9.1; VP9, 6.2; AV1, 5.3.2)."""
    if codec == "vp8":
        return len(data) > 6 and not data[0] & 1 and data[3:6] == b"\x9d\x01\x2a"
    if codec == "vp9":
        return len(data) > 4 and data[0] >> 6 == 2 and (b"\x49\x83\x42" in data[:5])
    # A temporal delimiter comes first, and the sequence header after it.
    return len(data) > 3 and data[:2] == b"\x12\x00" and data[2] >> 3 in (1, 2)


def _end(source: Source, position: int, last: int) -> Look[tuple[int, bool]]:
    """Return the time of the last frame, and whether it is whole. Raises Refused where none stands near the end."""
    tail = yield from source.tail()
    offset = source.size - len(tail)
    if offset > position:
        # A picture may be longer than the tail.
        start = max(position, offset - TAIL)
        tail = (yield from source.at(start, offset - start)) + tail
        offset = start
    at = max(0, position - offset)
    if position >= offset:
        found, end = _follow(tail, at, last)
        return _judge(tail, found, end, last)
    for number, match in enumerate(_IN_TAIL.finditer(tail)):
        if number == MAX_STARTS:
            break
        found, end = _follow(tail, match.start(), last)
        if len(found) > ENOUGH or (found and (end == len(tail) or _is_cut(tail[end:], found[-1]))):
            return _judge(tail, found, end, last)
    raise something_follows("IVF")


def _follow(tail: bytes, at: int, last: int) -> tuple[list[int], int]:
    """Return the times of frames that lead to one another from here, and where they end."""
    times: list[int] = []
    while at + _FRAME_HEADER <= len(tail):
        size, time = int.from_bytes(tail[at : at + 4], "little"), int.from_bytes(tail[at + 4 : at + 12], "little")
        if not 0 < size <= MAX_FRAME or not (times[-1] if times else last) <= time < 1 << 40:
            break
        if at + _FRAME_HEADER + size > len(tail):
            break
        times.append(time)
        at += _FRAME_HEADER + size
    return times, at


def _judge(tail: bytes, times: list[int], end: int, last: int) -> tuple[int, bool]:
    rest = tail[end:]
    latest = times[-1] if times else last
    if rest and not _is_cut(rest, latest) and is_foreign(rest):
        raise something_follows("IVF")
    return latest, not rest


def _is_cut(rest: bytes, latest: int) -> bool:
    """Say whether these bytes are the beginning of a picture that the file ends inside."""
    size, time = int.from_bytes(rest[:4], "little"), int.from_bytes(rest[4:12], "little")
    return len(rest) < _FRAME_HEADER or (len(rest) - _FRAME_HEADER < size <= MAX_FRAME and 0 <= time - latest < _NEAR)
