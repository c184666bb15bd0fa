"""Prove ASF (WMA, WMV): Microsoft's "Advanced Systems Format (ASF) Specification", revision 01.20.06."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway.detection.formats.wave_format import WAVE_CODECS, describe
from gateway.detection.source import Source
from gateway.detection.verdict import DurationSource, Kind, Look, Refused, Structure, Track, broken, text, truncated

_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_STREAM = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_AUDIO = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")
_VIDEO = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
_SCRIPT = bytes.fromhex("301afb1e620bd011a39b00a0c90348f6")
MAX_OBJECTS = 64
MAX_STREAMS = 16
# Indexes after the data; each stands near the end of the file.
MAX_INDEXES = 6
# Script commands by which a player opens an address (ASF specification, 3.6), in UTF-16.
_OPENS_ADDRESS = re.compile(rb"(?:U\x00R\x00L\x00|F\x00I\x00L\x00E\x00N\x00A\x00M\x00E\x00)", re.IGNORECASE)
MAX_SCRIPT = 16 * 1024
# The specification lets a packet have 64 KiB. More packets than these at the end may be padding without a time.
MAX_PACKET = 65_536
_LAST_PACKETS = 8
# Bytes of a field by its two bits in a packet's header (5.2.1).
_WIDTHS = (0, 1, 2, 4)
# A file whose size differs from the stated one by more than a part of this was cut or edited: its duration is old.
_SAME_SIZE = 20
_BROADCAST = 1


@dataclass(slots=True)
class _Header:
    """The facts of the header's objects."""

    tracks: list[Track] = field(default_factory=list)
    duration_seconds: float | None = None
    has_file: bool = False
    is_broadcast: bool = False
    file_bytes: int = 0
    packet_bytes: int = 0


def looks_like(head: bytes) -> bool:
    """Say whether the file begins with the ASF header object."""
    return head[:16] == _HEADER


def look(source: Source) -> Look[Structure]:
    """Walk the header's objects to its streams, then find the data object behind it."""
    head = yield from source.at(0, 30)
    if len(head) < 30:
        raise truncated("its header", "asf")
    size, count = int.from_bytes(head[16:24], "little"), int.from_bytes(head[24:28], "little")
    if size < 54 or not count or head[29] != 2:
        raise broken("The header object names impossible sizes", "asf")
    if size > source.size:
        raise truncated("its header", "asf")
    header = yield from _objects(source, size, count)
    kinds = {track.kind for track in header.tracks}
    if not kinds & {"audio", "video"}:
        raise Refused("tracks", "The file holds no audio and no video stream.", "asf")
    data = yield from source.at(size, 50)
    if len(data) < 50:
        raise truncated("its header, before any sound or picture", "asf")
    # Two bytes are reserved at the end of its fixed part, and always one (5.1).
    if data[:16] != _DATA or data[48:50] != b"\x01\x01":
        raise broken("No data object follows the header", "asf")
    stated = size + int.from_bytes(data[16:24], "little")
    return (yield from _structure(source, header, stated, size))


def _structure(source: Source, header: _Header, stated: int, begin: int) -> Look[Structure]:
    kind: Kind = "video" if any(track.kind == "video" for track in header.tracks) else "audio"
    is_open = header.is_broadcast or stated <= begin + 50
    cut = stated > source.size and not is_open
    seconds = header.duration_seconds
    how: DurationSource = "stated"
    if is_open or abs(header.file_bytes - source.size) > min(header.file_bytes, source.size) / _SAME_SIZE:
        counted = yield from _last_time(source, header, begin, source.size if is_open else min(stated, source.size))
        if counted and not cut:
            seconds, how = counted, "counted"
    available = None
    if cut and seconds:
        available = round(seconds * (source.size - begin) / (stated - begin), 3)
    end = None if is_open else min((yield from _indexes(source, stated)), source.size)
    # IANA has only application/vnd.ms-asf for the container; Microsoft's "MIME types" page names these two.
    return Structure(
        "asf", "asf", "video/x-ms-wmv" if kind == "video" else "audio/x-ms-wma", kind, tuple(header.tracks), seconds,
        end, how if seconds else None, None if is_open else not cut, available,
    )  # fmt: skip


def _last_time(source: Source, header: _Header, begin: int, end: int) -> Look[float | None]:
    """Return the time at which the last packet with sound or pictures ends, None where packets differ in size."""
    first, size = begin + 50, header.packet_bytes
    count = (end - first) // size if size else 0
    for number in range(count - 1, max(-1, count - 1 - _LAST_PACKETS), -1):
        position = first + number * size
        # Nothing but the tail is read for it.
        data = source.cached(position, 32) or ((yield from source.at(position, 32)) if number == count - 1 else b"")
        if (time := _packet_time(data)) is not None:
            return time
    return None


def _packet_time(data: bytes) -> float | None:
    """Decode send time and duration of a packet, in milliseconds, after fields of variable width (5.2.2)."""
    at = 1 + (data[0] & 15) if data[:1] and data[0] & 0x80 else 0
    flags = data[at] if at < len(data) else 0
    at += 2 + _WIDTHS[flags >> 5 & 3] + _WIDTHS[flags >> 1 & 3] + _WIDTHS[flags >> 3 & 3]
    if at + 6 > len(data):
        return None
    send, lasts = int.from_bytes(data[at : at + 4], "little"), int.from_bytes(data[at + 4 : at + 6], "little")
    return round((send + lasts) / 1000, 3) or None


def _indexes(source: Source, position: int) -> Look[int]:
    """Return the end of the index objects after the data."""
    for _ in range(MAX_INDEXES):
        header = yield from source.at(position, 24)
        size = int.from_bytes(header[16:24], "little")
        if len(header) < 24 or size < 24 or position + size > source.size:
            break
        position += size
    return position


def _objects(source: Source, end: int, count: int) -> Look[_Header]:
    found = _Header()
    position = 30
    for _ in range(min(count, MAX_OBJECTS)):
        header = yield from source.at(position, 24)
        size = int.from_bytes(header[16:24], "little")
        if position + 24 > end or size < 24 or position + size > end:
            break
        if header[:16] == _FILE:
            _note_file(found, (yield from source.at(position + 24, 80)))
        elif header[:16] == _STREAM and len(found.tracks) < MAX_STREAMS:
            found.tracks.append(_track((yield from source.at(position + 24, 136))))
        elif header[:16] == _SCRIPT:
            body = yield from source.at(position + 24, min(size - 24, MAX_SCRIPT))
            if _OPENS_ADDRESS.search(body):
                raise Refused(
                    "hidden", "The film makes players open an address. Export it without script commands.", "asf"
                )
        position += size
    if not found.has_file:
        raise broken("The header has no file properties", "asf")
    return found


def _note_file(found: _Header, data: bytes) -> None:
    """Read play duration in 100 ns less the preroll in ms (3.2); a broadcast has no duration."""
    found.has_file = True
    play, preroll = int.from_bytes(data[40:48], "little"), int.from_bytes(data[56:64], "little")
    if len(data) < 80:
        return
    found.is_broadcast = bool(data[64] & _BROADCAST)
    found.file_bytes = int.from_bytes(data[16:24], "little")
    smallest, largest = int.from_bytes(data[68:72], "little"), int.from_bytes(data[72:76], "little")
    found.packet_bytes = largest if smallest == largest <= MAX_PACKET else 0
    seconds = play / 1e7 - preroll / 1e3
    if not found.is_broadcast and 0 < seconds < 1e9:
        found.duration_seconds = round(seconds, 3)


def _track(data: bytes) -> Track:
    """Read stream type and the codec of its type-specific data, which begins at byte 54."""
    if data[:16] == _AUDIO:
        body = data[54:]
        tag, channels = int.from_bytes(body[:2], "little"), int.from_bytes(body[2:4], "little")
        if tag and 1 <= channels <= 1024 and 1 <= int.from_bytes(body[4:8], "little") <= 3_072_000:
            return describe(body[:40]).track
        return Track("audio", WAVE_CODECS.get(tag, f"0x{tag:04x}"))
    if data[:16] == _VIDEO:
        # 11 bytes of encoded size, then a BITMAPINFOHEADER with the codec at 16.
        width, height = int.from_bytes(data[54:58], "little"), int.from_bytes(data[58:62], "little")
        return Track("video", text(data[81:85]), width=width or None, height=height or None)
    return Track("other")
