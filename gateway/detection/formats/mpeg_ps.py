"""Prove MPEG program streams and bare MPEG video: ISO/IEC 11172-1/-2 and 13818-1/-2."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.detection.formats.endings import something_follows
from gateway.detection.formats.mpeg_ts import CLOCK_HZ, CLOCK_WRAPS, clock
from gateway.detection.formats.payload import SPAN, is_text, refuse_text
from gateway.detection.formats.stream_facts import add_facts, sequence_facts
from gateway.detection.source import HEAD, Source
from gateway.detection.verdict import DurationSource, Kind, Look, Refused, Structure, Track, broken, truncated

_START = b"\x00\x00\x01"
_PACK, _SYSTEM, _END = 0xBA, 0xBB, 0xB9
_SEQUENCE, _EXTENSION, _USER, _GROUP, _PICTURE = 0xB3, 0xB5, 0xB2, 0xB8, 0x00
# Streams whose packets have no separate header (ISO/IEC 13818-1, 2.4.3.6).
_PLAIN = frozenset((_SYSTEM, 0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF))
_PRIVATE = 0xBD
MAX_PACKETS = 40
# Packets in the bytes that were read already: 34 KiB hold 17 of a DVD.
MAX_MORE_PACKETS = 160
ENOUGH = 6
HEADER = 40
# Packets begin with codes from here on; those below are inside pictures.
_BLOCK_START = 0xBD
MAX_TAIL_CODES = 96
# No recording is longer; time stamps that jump back look like one.
MAX_SECONDS = 12 * 3600


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


@dataclass(slots=True)
class _Program:
    streams: dict[int, Track] = field(default_factory=dict)
    packets: int = 0
    packs: int = 0
    first_time: int | None = None

    def is_enough(self) -> bool:
        """Say whether packets in this number are no accident: twice as many where there are no packs around them."""
        return bool(self.streams) and self.packets >= (ENOUGH if self.packs else 2 * ENOUGH)


def _program(source: Source) -> Look[Structure]:
    found = _Program()
    position = count = 0
    far = min(SPAN, source.size // 2)
    ended = False
    while (count < MAX_PACKETS or position < far) and not (position >= far and found.is_enough()):
        count += 1
        data = yield from source.at(position, HEADER)
        length = yield from _step(source, found, data, position)
        ended = not length
        if ended:
            break
        position += length
    tracks = tuple(found.streams.values())
    if not tracks:
        if position >= source.size or found.packets < 2:
            raise truncated("its first packets", "mpg")
        raise Refused("tracks", "The file holds no audio and no video stream.", "mpg")
    # What a program stream may end with ends one that has few packets, where they are most of the file.
    if position < far or not (ended or found.is_enough()):
        raise truncated("its first packets", "mpg")
    kind: Kind = "video" if any(track.kind == "video" for track in tracks) else "audio"
    _find_more(source, found, position)
    tracks = tuple(found.streams.values())
    last, complete = yield from _end(source)
    seconds = _seconds(found.first_time, last)
    # IANA registers no audio form of a program stream: the type names the container.
    return Structure(
        "mpg", "mpeg-ps", "video/mpeg", kind, tracks, seconds, None, "counted" if seconds else None, complete
    )


def _find_more(source: Source, found: _Program, position: int) -> None:
    """Note further streams whose first packet is in what was read already."""
    for _ in range(MAX_MORE_PACKETS):
        data = source.cached(position, HEADER)
        if not data or len(data) < HEADER or data[:3] != _START or data[3] <= _END:
            return
        if data[3] == _PACK:
            position += 14 + (data[13] & 7) if data[4] & 0xC0 == 0x40 else 12
            continue
        length = 6 + int.from_bytes(data[4:6])
        start = _payload(data)
        payload = source.cached(position + start, min(length - start, SPAN)) if start < length else None
        if payload and data[3] not in _PLAIN and (track := _track(data[3], payload)):
            ident = payload[0] << 8 if data[3] == _PRIVATE else data[3]
            if ident not in found.streams and not is_text(payload):
                found.streams[ident] = add_facts(track, payload)
        position += length


def _track(ident: int, payload: bytes) -> Track | None:
    """Return the track to which packets with this stream id belong, None for other data."""
    if ident == _PRIVATE:
        # DVD: the first byte of a private packet's payload says AC-3, DTS, LPCM or subpicture.
        sub = payload[0] if payload else 0
        if 0x80 <= sub <= 0x8F or 0xA0 <= sub <= 0xAF or sub in (0x0B, 0xC0, 0xC1):
            return Track("audio", "lpcm" if 0xA0 <= sub <= 0xAF else "dts" if 0x88 <= sub <= 0x8F else "ac3")
        return None
    if 0xE0 <= ident <= 0xEF or ident == 0xFD:
        return Track("video", None)
    return Track("audio") if 0xC0 <= ident <= 0xDF else None


def _seconds(first: int | None, last: int | None) -> float | None:
    """Return the time between two time stamps of 33 bits at 90 kHz."""
    if first is None or last is None:
        return None
    seconds = (last - first) % CLOCK_WRAPS / CLOCK_HZ
    return round(seconds, 3) if 0 < seconds < MAX_SECONDS else None


def _end(source: Source) -> Look[tuple[int | None, bool]]:
    """Return the latest time stamp near the end, and whether the last packet is whole.

    Raises Refused when no packet stands there: something else follows the film.
    """
    tail = (yield from source.tail()).rstrip(b"\x00\xff")
    complete: bool | None = None
    latest: int | None = None
    at = tail.rfind(_START)
    for _ in range(MAX_TAIL_CODES):
        if at < 0:
            break
        code = tail[at + 3] if at + 3 < len(tail) else _END
        if code == _END and complete is None and len(tail) - at <= 4:
            complete = True
        elif code >= _BLOCK_START:
            end = at + 6 + int.from_bytes(tail[at + 4 : at + 6])
            if complete is None:
                complete = end <= len(tail) + 4
            if 0xBD <= code <= 0xEF and (time := _time(tail[at : at + HEADER])) is not None:
                latest = max(latest or 0, time)
        at = tail.rfind(_START, 0, at)
    if complete is None:
        raise something_follows("MPEG")
    return latest, complete


def _time(data: bytes) -> int | None:
    """Return the presentation time stamp of a packet's header, None where it has none."""
    data = data.ljust(HEADER, b"\x00")
    if data[6] & 0xC0 == 0x80:
        return _clock(data[9:14]) if data[7] & 0x80 and data[9] & 0xE0 == 0x20 else None
    at = 6
    while data[at] == 0xFF and at < 22:
        at += 1
    at += 2 if data[at] & 0xC0 == 0x40 else 0
    return _clock(data[at : at + 5]) if data[at] & 0xF0 in (0x20, 0x30) else None


def _clock(raw: bytes) -> int | None:
    """Decode a time stamp that has its three marker bits: start codes turn up inside sound too."""
    return clock(raw) if raw[0] & raw[2] & raw[4] & 1 else None


def _step(source: Source, found: _Program, data: bytes, position: int) -> Look[int]:
    """Check the pack header or packet at `position` and return its length, 0 where the stream ends."""
    if len(data) < 6 or not data[:16].strip(b"\x00"):
        return 0
    if data[:3] != _START or data[3] < _END:
        raise broken("A packet does not lead to the next", "mpg")
    if data[3] == _END:
        # The end of one program; another may follow.
        return 4
    if data[3] == _PACK:
        length = _pack_length(data)
        found.packs += 1
        return length
    length = 6 + int.from_bytes(data[4:6])
    if position + length > source.size:
        return 0
    found.packets += 1
    if data[3] not in _PLAIN:
        yield from _note(source, found, data, position)
    return length


def _pack_length(data: bytes) -> int:
    """Check the marker bits of a pack header and return its length with stuffing."""
    if data[4] & 0xC4 == 0x44 and len(data) >= 14:
        return 14 + (data[13] & 7)
    if data[4] & 0xF1 == 0x21:
        return 12
    raise broken("A pack header is malformed", "mpg")


def _note(source: Source, found: _Program, data: bytes, position: int) -> Look[None]:
    """Take from a packet with a PES header which stream it belongs to."""
    length = 6 + int.from_bytes(data[4:6])
    start = _payload(data.ljust(HEADER, b"\x00"))
    if start > length:
        raise broken("The header of a packet is malformed", "mpg")
    ident = data[3]
    time = _time(data)
    if time is not None and (found.first_time is None or time < found.first_time):
        found.first_time = time
    streams = found.streams
    first = yield from source.at(position + start, 1)
    track = _track(ident, first)
    if ident == _PRIVATE:
        ident = (first[0] if first else 0) << 8
    if track and ident not in streams:
        yield from refuse_text(source, position + start, "mpg", length - start)
        payload = yield from source.at(position + start, min(length - start, SPAN))
        streams[ident] = add_facts(track, payload)


def _payload(data: bytes) -> int:
    """Return where the payload of a packet begins; behind any packet where its header is malformed."""
    if data[6] & 0xC0 == 0x80:
        return 9 + data[8]
    # MPEG-1: up to 16 bytes of stuffing, the size of the buffer, the times (ISO/IEC 11172-1, 2.4.3.3).
    at = 6
    while data[at] == 0xFF and at < 22:
        at += 1
    if data[at] & 0xC0 == 0x40:
        at += 2
    if data[at] == 0x0F:
        return at + 1
    return at + (5 if data[at] & 0xF0 == 0x20 else 10 if data[at] & 0xF0 == 0x30 else 1 << 16)


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
    # A picture, its first slice and the macroblocks of the slice.
    if 1 not in after[:-1]:
        raise truncated("its first picture", "mpg") if source.size < HEAD else broken("No picture follows", "mpg")
    if is_text(window[window.index(b"\x00\x00\x01\x01", length) :][:SPAN]):
        raise broken("What should be pictures is text", "mpg")
    name = "mpeg2video" if _EXTENSION in codes else "mpeg1video"
    tail = (yield from source.tail())[-SPAN * 8 :]
    if not tail.rstrip(b"\x00").endswith(_START + bytes((0xB7,))) and tail.rfind(_START) < 0:
        raise something_follows("MPEG video")
    facts = sequence_facts(data)
    track = Track("video", name, width=facts[0], height=facts[1], frame_rate=facts[2])
    seconds, how = yield from _picture_time(source, facts[2])
    return Structure("mpg", "mpeg-ps", "video/mpeg", "video", (track,), seconds, duration_is=how)


def _picture_time(source: Source, rate: float | None) -> Look[tuple[float | None, DurationSource | None]]:
    """Count the pictures of a bare sequence; those between the first and the last bytes are not read."""
    window = yield from source.at(0, HEAD)
    tail = yield from source.tail()
    picture = _START + bytes((_PICTURE,))
    overlap = len(window) + len(tail) - source.size
    if overlap >= 0:
        tail = tail[overlap:]
    count = window.count(picture) + tail.count(picture)
    if not count or not rate:
        return None, None
    seconds = count * source.size / (len(window) + len(tail)) / rate
    return round(seconds, 3), "counted" if overlap >= 0 else "estimated"


def _codes(window: bytes, start: int) -> list[int]:
    """List the first start codes; there are no more than 64 before the first slices."""
    codes: list[int] = []
    at = window.find(_START, start)
    while at >= 0 and at + 3 < len(window) and len(codes) < 64:
        codes.append(window[at + 3])
        at = window.find(_START, at + 3)
    return codes
