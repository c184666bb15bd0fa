"""Prove ASF (WMA, WMV): Microsoft's "Advanced Systems Format (ASF) Specification", revision 01.20.06."""

from __future__ import annotations

from gateway.detection.formats.wave_format import WAVE_CODECS
from gateway.detection.source import Source
from gateway.detection.verdict import Kind, Look, Refused, Structure, Track, broken, text, truncated

_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_STREAM = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_AUDIO = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")
_VIDEO = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
MAX_OBJECTS = 64
MAX_STREAMS = 16


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
    tracks, duration = yield from _objects(source, size, count)
    kinds = {track.kind for track in tracks}
    if not kinds & {"audio", "video"}:
        raise Refused("tracks", "The file holds no audio and no video stream.", "asf")
    data = yield from source.at(size, 50)
    if len(data) < 50:
        raise truncated("its header, before any sound or picture", "asf")
    # Two bytes are reserved at the end of its fixed part, and always one (5.1).
    if data[:16] != _DATA or data[48:50] != b"\x01\x01":
        raise broken("No data object follows the header", "asf")
    kind: Kind = "video" if "video" in kinds else "audio"
    # IANA has only application/vnd.ms-asf for the container; Microsoft's "MIME types" page names these two.
    return Structure("asf", "asf", "video/x-ms-wmv" if kind == "video" else "audio/x-ms-wma", kind, tracks, duration)


def _objects(source: Source, end: int, count: int) -> Look[tuple[tuple[Track, ...], float | None]]:
    tracks: list[Track] = []
    duration = None
    has_file = False
    position = 30
    for _ in range(min(count, MAX_OBJECTS)):
        header = yield from source.at(position, 24)
        size = int.from_bytes(header[16:24], "little")
        if position + 24 > end or size < 24 or position + size > end:
            break
        if header[:16] == _FILE:
            has_file = True
            duration = _duration((yield from source.at(position + 24, 80)))
        elif header[:16] == _STREAM and len(tracks) < MAX_STREAMS:
            tracks.append(_track((yield from source.at(position + 24, 120))))
        position += size
        if has_file and tracks and source.cached(position, 24) is None and {t.kind for t in tracks} >= {"video"}:
            break
    if not has_file:
        raise broken("The header has no file properties", "asf")
    return tuple(tracks), duration


def _duration(data: bytes) -> float | None:
    """Play duration in 100 ns less the preroll in ms (3.2); a broadcast has none."""
    play, preroll = int.from_bytes(data[40:48], "little"), int.from_bytes(data[56:64], "little")
    if len(data) < 80 or data[64] & 1:
        return None
    seconds = play / 1e7 - preroll / 1e3
    return round(seconds, 3) if 0 < seconds < 1e9 else None


def _track(data: bytes) -> Track:
    """Read stream type and the codec of its type-specific data, which begins at byte 54."""
    if data[:16] == _AUDIO:
        tag = int.from_bytes(data[54:56], "little")
        return Track("audio", WAVE_CODECS.get(tag, f"0x{tag:04x}"))
    if data[:16] == _VIDEO:
        # 11 bytes of encoded size, then a BITMAPINFOHEADER with the codec at 16.
        return Track("video", text(data[81:85]))
    return Track("other")
