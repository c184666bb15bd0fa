"""Prove bare H.264, the byte stream of annex B of ITU-T H.264."""

from __future__ import annotations

from gateway.detection.formats import nal
from gateway.detection.formats.endings import something_follows
from gateway.detection.formats.payload import SPAN, holds_text, is_text
from gateway.detection.source import HEAD, Source
from gateway.detection.verdict import DurationSource, Look, Structure, Track, broken, truncated

_START = b"\x00\x00\x01"
# A stream begins with a parameter set or a delimiter.
_PARAMETERS, _DELIMITER = 7, 9
# Units that may stand in a stream: pictures, messages, parameter sets, delimiters, ends, extensions (table 7-1).
_UNITS = frozenset((*range(1, 13), *range(14, 22)))
_PICTURES = frozenset((1, 2, 5))
MAX_UNITS = 2048
# The end of the last unit must not be words.
_TEXT_BYTES = 256
# Pictures that are compared with text, near the beginning and near the end.
_LOOKED_AT = 4


def looks_like(head: bytes) -> bool:
    """Say whether the file begins with a start code and a unit that a stream begins with."""
    at = 4 if head[:4] == b"\x00" + _START else 3 if head[:3] == _START else 0
    if not at or len(head) < at + 2 or head[at] & 0x80:
        return False
    # A parameter set is a reference, a delimiter is none (7.4.1).
    kind, is_reference = head[at] & 0x1F, head[at] >> 5 > 0
    return (kind == _PARAMETERS and is_reference) or (kind == _DELIMITER and not is_reference)


def look(source: Source) -> Look[Structure]:
    """Read the parameter set, then check that every unit near the beginning and the end is one of the codec's."""
    head = yield from source.at(0, HEAD)
    picture = nal.picture_in(head)
    if picture is None or not picture.codec.startswith("avc1"):
        raise broken("The stream has no parameter set that can be read", "h264")
    first, is_whole = _count(head)
    if not is_whole:
        raise something_follows("H.264") if first else broken("A unit is of no known type", "h264")
    if not first:
        raise truncated("its header, before its first picture", "h264")
    tail = yield from source.tail()
    overlap = max(0, len(head) + len(tail) - source.size)
    last, is_whole = _count(tail[overlap:])
    if not is_whole or (overlap < len(tail) and tail.find(_START) < 0):
        raise something_follows("H.264")
    unit = tail[max(0, tail.rfind(_START)) :]
    if is_text(unit[-2 * _TEXT_BYTES :]) or holds_text(unit[-_TEXT_BYTES:]):
        raise something_follows("H.264")
    seconds: float | None = None
    how: DurationSource | None = None
    if picture.frame_rate:
        pictures = (first + last) * source.size / (len(head) + len(tail) - overlap)
        seconds = round(pictures / picture.frame_rate, 3)
        how = "counted" if len(head) + len(tail) >= source.size else "estimated"
    track = Track("video", "h264", picture.codec, width=picture.width, height=picture.height,
                  frame_rate=picture.frame_rate)  # fmt: skip
    return Structure("h264", "annexb", "video/H264", "video", (track,), seconds, None, how)


def _count(data: bytes) -> tuple[int, bool]:
    """Count the pictures up to a unit that the codec does not have, and say whether there is none. Refuses text."""
    pictures = 0
    at = data.find(_START)
    for _ in range(MAX_UNITS):
        if not 0 <= at < len(data) - 5:
            break
        kind = data[at + 3] & 0x1F
        if data[at + 3] & 0x80 or kind not in _UNITS:
            return pictures, False
        if kind in _PICTURES:
            # The first number of a slice is zero, one bit, in the slice that begins a picture (7.3.3).
            pictures += data[at + 4] >> 7
            if pictures <= _LOOKED_AT and is_text(data[at + 5 : at + SPAN]):
                raise broken("What should be pictures is text", "h264")
        at = data.find(_START, at + 3)
    return pictures, True
