"""Prove Matroska and WebM: RFC 8794 (EBML) and RFC 9559 (Matroska)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gateway.detection.source import Source
from gateway.detection.verdict import Kind, Look, Refused, Structure, Track, broken, text, truncated

_EBML, _DOC_TYPE = 0x1A45DFA3, 0x4282
_SEGMENT, _SEEK_HEAD, _INFO, _TRACKS, _CLUSTER = 0x18538067, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1F43B675
_SEEK, _SEEK_ID, _SEEK_POSITION = 0x4DBB, 0x53AB, 0x53AC
_TRACK_ENTRY, _TRACK_TYPE, _CODEC_ID = 0xAE, 0x83, 0x86
_TIMESTAMP_SCALE, _DURATION = 0x2AD7B1, 0x4489
# What a Cluster may begin with: its time, padding, a checksum, its place, or a block.
_IN_CLUSTER = frozenset((0xE7, 0xEC, 0xBF, 0xA7, 0xAB, 0x5854, 0xA3, 0xA0, 0xAF))
_TRACK_KINDS = {1: "video", 2: "audio"}
_DOC_TYPES = {b"webm": "webm", b"matroska": "mkv"}
MAX_ELEMENTS = 48
MAX_TRACKS = 16
# A tag, a cover or a font may stand before the tracks; their bodies are jumped over, never read.
UNKNOWN = -1


@dataclass(slots=True)
class _Segment:
    doc_type: str
    tracks: tuple[Track, ...] = ()
    duration_seconds: float | None = None
    tracks_at: int | None = None
    has_cluster: bool = False
    at_end: bool = False
    end: int | None = None


def looks_like(head: bytes) -> bool:
    """Say whether the file begins with an EBML header."""
    return head[:4] == b"\x1a\x45\xdf\xa3"


def look(source: Source) -> Look[Structure]:
    """Read the EBML header, then walk the Segment to its Tracks and its first Cluster."""
    position, doc_type = yield from _header(source)
    element = yield from _element(source, position)
    if element is None:
        raise truncated("its header, before the Segment", doc_type)
    ident, start, size = element
    if ident != _SEGMENT:
        raise broken("No Segment follows the EBML header", doc_type)
    segment = _Segment(doc_type, end=None if size == UNKNOWN else start + size)
    yield from _walk(source, segment, start)
    if not segment.tracks and segment.tracks_at is not None:
        found = yield from _element(source, segment.tracks_at)
        if found and found[0] == _TRACKS and found[2] > 0:
            segment.tracks = yield from _tracks(source, found[1], found[1] + found[2], doc_type)
    return _structure(source, segment)


def _header(source: Source) -> Look[tuple[int, str]]:
    element = yield from _element(source, 0)
    # 4,096 bytes are far above any header that a muxer writes (under 60).
    if element is None or not 0 < element[2] <= 4096:
        raise broken("The EBML header has an impossible size")
    end = element[1] + element[2]
    data = yield from source.at(element[1], element[2])
    if len(data) < element[2]:
        raise truncated("its EBML header")
    for ident, start, size in _flat(data):
        if ident == _DOC_TYPE:
            name = data[start : start + size].rstrip(b"\x00")
            if name not in _DOC_TYPES:
                raise Refused("tracks", "The EBML file is neither Matroska nor WebM.")
            return end, _DOC_TYPES[name]
    # RFC 8794 11.2.4: DocType has no default; files of the first muxers left it out and mean Matroska.
    raise broken("The EBML header names no document type")


def _walk(source: Source, segment: _Segment, position: int) -> Look[None]:
    end = segment.end if segment.end is not None else source.size
    for _ in range(MAX_ELEMENTS):
        if position >= min(end, source.size):
            segment.at_end = True
            return
        element = yield from _element(source, position)
        if element is None:
            return
        ident, start, size = element
        if ident == _CLUSTER:
            first = yield from _element(source, start)
            segment.has_cluster = first is not None and first[0] in _IN_CLUSTER
            segment.at_end = start >= source.size
            return
        if size == UNKNOWN:
            return
        if ident in (_SEEK_HEAD, _INFO, _TRACKS) and start + size > source.size:
            raise truncated("its header", segment.doc_type)
        if ident == _SEEK_HEAD:
            yield from _seek_head(source, segment, start, size, origin=position)
        elif ident == _INFO:
            segment.duration_seconds = yield from _duration(source, start, size)
        elif ident == _TRACKS:
            segment.tracks = yield from _tracks(source, start, start + size, segment.doc_type)
        position = start + size


def _seek_head(source: Source, segment: _Segment, start: int, size: int, *, origin: int) -> Look[None]:
    """Note where the index says that Tracks are; positions count from the Segment's first byte."""
    data = yield from source.at(start, min(size, 1024))
    if segment.tracks_at is not None:
        return
    for ident, at, length in _flat(data):
        if ident != _SEEK:
            continue
        fields = {key: data[at + begin : at + begin + count] for key, begin, count in _flat(data[at : at + length])}
        if int.from_bytes(fields.get(_SEEK_ID, b"")[:4]) == _TRACKS:
            segment.tracks_at = origin + int.from_bytes(fields.get(_SEEK_POSITION, b"")[:8])
            return


def _duration(source: Source, start: int, size: int) -> Look[float | None]:
    data = yield from source.at(start, min(size, 1024))
    scale, ticks = 1_000_000, 0.0
    for ident, at, length in _flat(data):
        value = data[at : at + length]
        if ident == _TIMESTAMP_SCALE:
            scale = int.from_bytes(value[:8])
        elif ident == _DURATION and len(value) in (4, 8):
            ticks = struct.unpack(">f" if len(value) == 4 else ">d", value)[0]
    seconds = ticks * scale / 1e9
    return round(seconds, 3) if 0 < seconds < 1e9 else None


def _tracks(source: Source, start: int, end: int, doc_type: str) -> Look[tuple[Track, ...]]:
    """Read each TrackEntry's type and codec; the codec's private data is jumped over."""
    tracks: list[Track] = []
    position = start
    for _ in range(MAX_ELEMENTS):
        if position >= end or len(tracks) >= MAX_TRACKS:
            break
        element = yield from _element(source, position)
        if element is None or element[2] == UNKNOWN or element[1] + element[2] > end:
            raise broken("The track list has an impossible size", doc_type)
        ident, body, size = element
        if ident == _TRACK_ENTRY:
            tracks.append((yield from _track(source, body, body + size)))
        position = body + size
    return tuple(tracks)


def _track(source: Source, position: int, end: int) -> Look[Track]:
    kind, codec = "other", None
    for _ in range(MAX_ELEMENTS):
        if position >= end:
            break
        element = yield from _element(source, position)
        if element is None or element[2] == UNKNOWN:
            break
        ident, body, size = element
        if ident == _TRACK_TYPE:
            value = int.from_bytes((yield from source.at(body, min(size, 8))))
            kind = _TRACK_KINDS.get(value, "other")
        elif ident == _CODEC_ID:
            codec = text((yield from source.at(body, min(size, 64))))
        position = body + size
    if codec is None:
        return Track("other", None)
    if kind == "video":
        return Track("video", codec)
    return Track("audio", codec) if kind == "audio" else Track("other", codec)


def _structure(source: Source, segment: _Segment) -> Structure:
    kinds = {track.kind for track in segment.tracks}
    if not kinds & {"audio", "video"}:
        if segment.end is not None and segment.end > source.size and not segment.tracks:
            raise truncated("its header, before its tracks", segment.doc_type)
        raise Refused("tracks", "The file holds no audio and no video track.", segment.doc_type)
    if not segment.has_cluster:
        if segment.at_end:
            raise truncated("its header, before any audio or video data", segment.doc_type)
        raise broken("No sound or pictures (Cluster) follow the header", segment.doc_type)
    kind: Kind = "video" if "video" in kinds else "audio"
    base = "webm" if segment.doc_type == "webm" else "matroska"
    return Structure(
        segment.doc_type, "matroska", f"{kind}/{base}", kind, segment.tracks, segment.duration_seconds, segment.end
    )


def _element(source: Source, position: int) -> Look[tuple[int, int, int] | None]:
    """Return id, start of the body and its size (UNKNOWN if open), None where no element begins."""
    data = yield from source.at(position, 12)
    parsed = _parse(data, 0)
    if parsed is None:
        return None
    ident, start, size = parsed
    return ident, position + start, size


def _parse(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Decode one id (1 to 4 bytes) and one size (1 to 8 bytes) at an offset of these bytes."""
    if at >= len(data) or data[at] < 0x10:
        return None
    id_length = 9 - data[at].bit_length()
    size_at = at + id_length
    if size_at >= len(data) or data[size_at] == 0:
        return None
    size_length = 9 - data[size_at].bit_length()
    if size_at + size_length > len(data):
        return None
    mask = (1 << (7 * size_length)) - 1
    size = int.from_bytes(data[size_at : size_at + size_length]) & mask
    return int.from_bytes(data[at:size_at]), size_at + size_length, UNKNOWN if size == mask else size


def _flat(data: bytes) -> list[tuple[int, int, int]]:
    """List the elements that stand side by side in these bytes, as (id, start, size)."""
    found: list[tuple[int, int, int]] = []
    at = 0
    while len(found) < MAX_ELEMENTS and (parsed := _parse(data, at)) is not None:
        if parsed[2] == UNKNOWN:
            break
        found.append(parsed)
        at = parsed[1] + parsed[2]
    return found
