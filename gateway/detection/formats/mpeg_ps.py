"""Prove MPEG program streams and bare MPEG video: ISO/IEC 11172-1/-2 and 13818-1/-2."""

from __future__ import annotations

from gateway.detection.source import HEAD, Source
from gateway.detection.verdict import Kind, Look, Refused, Structure, Track, broken, truncated

_START = b"\x00\x00\x01"
_PACK, _SYSTEM, _END = 0xBA, 0xBB, 0xB9
_SEQUENCE, _EXTENSION, _USER, _GROUP, _PICTURE = 0xB3, 0xB5, 0xB2, 0xB8, 0x00
MAX_PACKETS = 40
ENOUGH = 6


def looks_like(head: bytes) -> bool:
    """Say whether the file begins with a pack, a video sequence or, cut out of a stream, a packet."""
    return head[:3] == _START and len(head) > 3 and (head[3] in (_PACK, _SEQUENCE) or _SYSTEM <= head[3] <= 0xEF)


def look(source: Source) -> Look[Structure]:
    """Follow packets that lead to one another, or the start codes of one sequence."""
    head = yield from source.at(0, 12)
    if len(head) < 12:
        raise truncated("its first header", "mpg")
    if head[3] == _SEQUENCE:
        return (yield from _sequence(source))
    return (yield from _program(source))


def _program(source: Source) -> Look[Structure]:
    streams: dict[int, Track] = {}
    position = packets = packs = 0
    for _ in range(MAX_PACKETS):
        data = yield from source.at(position, 16)
        if data[:4] == b"\x00\x00\x01\xb9" or len(data) < 6 or not data.strip(b"\x00"):
            break
        if data[:3] != _START or data[3] < _END:
            raise broken("A packet does not lead to the next", "mpg")
        if data[3] == _PACK:
            packs += 1
            position += _pack_length(data)
            continue
        length = 6 + int.from_bytes(data[4:6])
        if position + length > source.size:
            break
        packets += 1
        if data[3] != _SYSTEM:
            yield from _note(source, streams, data, position)
        position += length
        if packets >= ENOUGH and streams:
            break
    tracks = tuple(streams.values())
    if not tracks:
        if position >= source.size or packets < 2:
            raise truncated("its first packets", "mpg")
        raise Refused("tracks", "The file holds no audio and no video stream.", "mpg")
    kind: Kind = "video" if any(track.kind == "video" for track in tracks) else "audio"
    # IANA registers no audio form of a program stream: the type names the container.
    return Structure("mpg", "mpeg-ps", "video/mpeg", kind, tracks)


def _pack_length(data: bytes) -> int:
    """Check the marker bits of a pack header and return its length with stuffing."""
    if data[4] & 0xC4 == 0x44 and len(data) >= 14:
        return 14 + (data[13] & 7)
    if data[4] & 0xF1 == 0x21:
        return 12
    raise broken("A pack header is malformed", "mpg")


def _note(source: Source, streams: dict[int, Track], data: bytes, position: int) -> Look[None]:
    ident = data[3]
    if 0xE0 <= ident <= 0xEF:
        streams.setdefault(ident, Track("video", None))
    elif 0xC0 <= ident <= 0xDF:
        streams.setdefault(ident, Track("audio", "mpeg"))
    elif ident == 0xFD:
        streams.setdefault(ident, Track("video", None))
    elif ident == 0xBD and len(data) > 8:
        # DVD: the first byte of a private packet's payload says AC-3, DTS, LPCM or subpicture.
        first = yield from source.at(position + 9 + data[8], 1)
        sub = first[0] if first else 0
        if 0x80 <= sub <= 0x8F or 0xA0 <= sub <= 0xAF or sub in (0x0B, 0xC0, 0xC1):
            streams.setdefault(
                sub << 8, Track("audio", "lpcm" if 0xA0 <= sub <= 0xAF else "ac3" if sub < 0x88 else "dts")
            )


def _sequence(source: Source) -> Look[Structure]:
    """Check a sequence header and that the start codes behind it come to a picture with slices."""
    data = yield from source.at(0, 12)
    width, height = data[4] << 4 | data[5] >> 4, (data[5] & 15) << 8 | data[6]
    aspect, rate = data[7] >> 4, data[7] & 15
    # Rates 9 to 13 are reserved; Xing and libmpeg3 wrote them for slow pictures, and players take them.
    if not width or not height or not 1 <= aspect <= 14 or not 1 <= rate <= 13 or not data[10] & 0x20:
        raise broken("The sequence header names impossible numbers", "mpg")
    length = 12
    matrix = data[11] & 2
    length += 64 if matrix else 0
    last = (yield from source.at(length - 1, 1)) if matrix else data[11:12]
    length += 64 if last and last[0] & 1 else 0
    window = yield from source.at(0, HEAD)
    if window[length : length + 3] not in (_START, b"\x00\x00\x00"):
        raise broken("Nothing follows the sequence header", "mpg")
    codes = _codes(window, length)
    after = codes[codes.index(_PICTURE) :] if _PICTURE in codes else []
    # A picture, its first slice, and whatever the slice leads to.
    if 1 not in after[:-1]:
        raise truncated("its first picture", "mpg") if source.size < HEAD else broken("No picture follows", "mpg")
    name = "mpeg2video" if _EXTENSION in codes else "mpeg1video"
    return Structure("mpg", "mpeg-ps", "video/mpeg", "video", (Track("video", name),))


def _codes(window: bytes, start: int) -> list[int]:
    """List the first start codes; there are no more than 64 before the first slices."""
    codes: list[int] = []
    at = window.find(_START, start)
    while at >= 0 and at + 3 < len(window) and len(codes) < 64:
        codes.append(window[at + 3])
        at = window.find(_START, at + 3)
    return codes
