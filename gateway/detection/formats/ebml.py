"""Prove Matroska and WebM: RFC 8794 (EBML) and RFC 9559 (Matroska)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gateway.detection.formats.aac import audio_specific_config
from gateway.detection.formats.ebml_end import find_end
from gateway.detection.formats.ebml_numbers import UNKNOWN, parse_element
from gateway.detection.formats.payload import read_padding
from gateway.detection.formats.wave_format import describe
from gateway.detection.source import Source
from gateway.detection.verdict import DurationSource, Kind, Look, Refused, Structure, Track, broken, text, truncated

_EBML, _DOC_TYPE = 0x1A45DFA3, 0x4282
_SEGMENT, _SEEK_HEAD, _INFO, _TRACKS, _CLUSTER = 0x18538067, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1F43B675
_SEEK, _SEEK_ID, _SEEK_POSITION = 0x4DBB, 0x53AB, 0x53AC
_TRACK_ENTRY, _TRACK_TYPE, _CODEC_ID = 0xAE, 0x83, 0x86
_TIMESTAMP_SCALE, _DURATION = 0x2AD7B1, 0x4489
_CHAPTERS, _TAGS, _ATTACHMENTS, _VOID = 0x1043A770, 0x1254C367, 0x1941A469, 0xEC
_AUDIO, _CHANNELS, _RATE, _OUTPUT_RATE = 0xE1, 0x9F, 0xB5, 0x78B5
_VIDEO, _WIDTH, _HEIGHT = 0xE0, 0xB0, 0xBA
_LANGUAGE, _LANGUAGE_BCP47, _DEFAULT_DURATION, _PRIVATE = 0x22B59C, 0x22B59D, 0x23E383, 0x63A2
# In a Cluster: its time, padding, a checksum, its place, its length before it, and blocks.
_TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK = 0xE7, 0xA3, 0xA0, 0xA1
_BLOCKS = frozenset((_SIMPLE_BLOCK, _BLOCK_GROUP, 0xAF))
_IN_CLUSTER = frozenset((_TIMESTAMP, _VOID, 0xBF, 0xA7, 0xAB, 0x5854)) | _BLOCKS
_TRACK_KINDS = {1: "video", 2: "audio"}
_DOC_TYPES = {b"webm": "webm", b"matroska": "mkv"}
MAX_ELEMENTS = 48
# A Cluster has its time, and perhaps a checksum and padding, before its first block.
MAX_BEFORE_BLOCK = 8
# No duration or rate is larger; the comparison is false for a float that is no number.
MAX_NUMBER = 1e18
MAX_TRACKS = 32


@dataclass(slots=True)
class _Segment:
    doc_type: str
    tracks: tuple[Track, ...] = ()
    duration_seconds: float | None = None
    tracks_at: int | None = None
    has_block: bool = False
    has_cluster: bool = False
    at_end: bool = False
    end: int | None = None
    scale: int = 1_000_000
    cluster: int | None = None
    tags_at: int | None = None


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
    return (yield from _structure(source, segment))


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
            yield from _cluster(source, segment, position, start, size)
            if segment.has_block or not segment.has_cluster or size == UNKNOWN:
                return
        if size == UNKNOWN:
            return
        yield from _note(source, segment, ident, start, size, origin=position)
        position = start + size


def _note(source: Source, segment: _Segment, ident: int, start: int, size: int, *, origin: int) -> Look[None]:
    """Take the needed facts from one element of the Segment."""
    if ident in (_SEEK_HEAD, _INFO, _TRACKS) and start + size > source.size:
        raise truncated("its header", segment.doc_type)
    if ident == _SEEK_HEAD:
        yield from _seek_head(source, segment, start, size, origin=origin)
    elif ident == _INFO:
        yield from _duration(source, segment, start, size)
        source.mark_tag(start, start + size)
    elif ident in (_TAGS, _CHAPTERS):
        source.mark_tag(start, start + size)
    elif ident == _VOID:
        yield from read_padding(source, start, start + size, segment.doc_type)
    elif ident == _TRACKS:
        segment.tracks = yield from _tracks(source, start, start + size, segment.doc_type)


def _cluster(source: Source, segment: _Segment, position: int, start: int, size: int) -> Look[None]:
    """Look for the first block of a Cluster: without one there is nothing to play."""
    end = source.size if size == UNKNOWN else min(start + size, source.size)
    segment.cluster = position
    at = start
    for _ in range(MAX_BEFORE_BLOCK):
        element = (yield from _element(source, at)) if at < end else None
        if element is None or element[0] not in _IN_CLUSTER:
            break
        segment.has_cluster = True
        # A block has its track, its time and its flags, then the frame.
        if element[0] in _BLOCKS and element[2] > 4 and element[1] + 4 < source.size:
            segment.has_block = True
            return
        if element[2] == UNKNOWN:
            break
        at = element[1] + element[2]
    segment.at_end = segment.at_end or at >= source.size


def _seek_head(source: Source, segment: _Segment, start: int, size: int, *, origin: int) -> Look[None]:
    """Note where the index says that Tracks and Tags are; positions count from the Segment's first byte."""
    data = yield from source.at(start, min(size, 1024))
    if segment.tracks_at is not None:
        return
    for ident, at, length in _flat(data):
        if ident != _SEEK:
            continue
        fields = {key: data[at + begin : at + begin + count] for key, begin, count in _flat(data[at : at + length])}
        place = origin + int.from_bytes(fields.get(_SEEK_POSITION, b"")[:8])
        name = int.from_bytes(fields.get(_SEEK_ID, b"")[:4])
        if name == _TRACKS:
            segment.tracks_at = place
        elif name == _TAGS:
            segment.tags_at = place


def _duration(source: Source, segment: _Segment, start: int, size: int) -> Look[None]:
    data = yield from source.at(start, min(size, 1024))
    ticks = 0.0
    for ident, at, length in _flat(data):
        value = data[at : at + length]
        if ident == _TIMESTAMP_SCALE:
            segment.scale = int.from_bytes(value[:8]) or 1_000_000
        elif ident == _DURATION:
            ticks = _float(value)
    seconds = ticks * segment.scale / 1e9
    segment.duration_seconds = round(seconds, 3) if 0 < seconds < 1e9 else None


def _float(value: bytes) -> float:
    """Decode a float of four or eight bytes (RFC 8794, section 7.3); 0 for other sizes."""
    if len(value) not in (4, 8):
        return 0.0
    number: float = struct.unpack(">f" if len(value) == 4 else ">d", value)[0]
    return number if abs(number) < MAX_NUMBER else 0.0


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
    fields: dict[int, bytes] = {}
    for _ in range(MAX_ELEMENTS):
        if position >= end:
            break
        element = yield from _element(source, position)
        if element is None or element[2] == UNKNOWN:
            break
        ident, body, size = element
        if ident in _TRACK_FIELDS:
            fields[ident] = yield from source.at(body, min(size, _TRACK_FIELDS[ident]))
        position = body + size
    kind = _TRACK_KINDS.get(int.from_bytes(fields.get(_TRACK_TYPE, b"")), "other")
    codec = text(fields.get(_CODEC_ID, b""))
    language = text(fields.get(_LANGUAGE_BCP47, b"")) or text(fields.get(_LANGUAGE, b""))
    language = None if language == "und" else language
    if codec is None:
        return Track("other", None)
    if kind == "video":
        return _picture(codec, fields, language)
    return _sound(codec, fields, language) if kind == "audio" else Track("other", codec, language=language)


# Elements of a track that are read, and how much of each.
_TRACK_FIELDS = {_TRACK_TYPE: 8, _CODEC_ID: 64, _AUDIO: 256, _VIDEO: 512, _LANGUAGE: 16, _LANGUAGE_BCP47: 35,
                 _DEFAULT_DURATION: 8, _PRIVATE: 256}  # fmt: skip


def _inside(data: bytes) -> dict[int, bytes]:
    return {ident: data[start : start + size] for ident, start, size in _flat(data)}


def _sound(codec_id: str, fields: dict[int, bytes], language: str | None) -> Track:
    audio = _inside(fields.get(_AUDIO, b""))
    # RFC 9559, 5.1.4.1.29: 8,000 Hz and one channel where nothing is written.
    rate = round(_float(audio.get(_OUTPUT_RATE, b"")) or _float(audio.get(_RATE, b"")) or 8000)
    channels = int.from_bytes(audio.get(_CHANNELS, b"\x01"))
    private = fields.get(_PRIVATE, b"")
    name: str | None = None
    if codec_id == "A_MS/ACM" and len(private) >= 16 and int.from_bytes(private[2:4], "little"):
        codec_id = describe(private).track.codec_name or codec_id
    elif codec_id.startswith("A_AAC") and (config := audio_specific_config(private)):
        name = f"mp4a.40.{config.object_type}"
        rate, channels = config.sample_rate_hz or rate, config.channels or channels
    elif codec_id == "A_OPUS":
        rate = 48_000
    return Track("audio", codec_id, name, channels=channels, sample_rate_hz=rate, language=language)


def _picture(codec: str, fields: dict[int, bytes], language: str | None) -> Track:
    video = _inside(fields.get(_VIDEO, b""))
    width, height = int.from_bytes(video.get(_WIDTH, b"")), int.from_bytes(video.get(_HEIGHT, b""))
    nanoseconds = int.from_bytes(fields.get(_DEFAULT_DURATION, b""))
    private = fields.get(_PRIVATE, b"")
    name: str | None = None
    if codec == "V_MS/VFW/FOURCC" and len(private) >= 20:
        codec = text(private[16:20]) or codec
    elif codec == "V_MPEG4/ISO/AVC" and len(private) >= 4:
        name = f"avc1.{private[1:4].hex()}"
    return Track(
        "video", codec, name, width=width or None, height=height or None, language=language,
        frame_rate=round(1e9 / nanoseconds, 3) if nanoseconds else None,
    )  # fmt: skip


def _structure(source: Source, segment: _Segment) -> Look[Structure]:
    kinds = {track.kind for track in segment.tracks}
    if not kinds & {"audio", "video"}:
        if segment.end is not None and segment.end > source.size and not segment.tracks:
            raise truncated("its header, before its tracks", segment.doc_type)
        raise Refused("tracks", "The file holds no audio and no video track.", segment.doc_type)
    if not segment.has_block:
        if segment.at_end or segment.has_cluster:
            raise truncated("its header, before any audio or video data", segment.doc_type)
        raise broken("No sound or pictures (Cluster) follow the header", segment.doc_type)
    last = yield from find_end(source, segment.end, segment.scale, segment.doc_type)
    _mark_tags_at_the_end(source, segment)
    kind: Kind = "video" if "video" in kinds else "audio"
    base = "webm" if segment.doc_type == "webm" else "matroska"
    seconds = segment.duration_seconds or last.seconds
    how: DurationSource | None = "stated" if segment.duration_seconds else "counted" if seconds else None
    return Structure(
        segment.doc_type, "matroska", f"{kind}/{base}", kind, segment.tracks, seconds, last.end, how, last.complete,
        last.seconds if last.complete is False else None,
    )  # fmt: skip


def _mark_tags_at_the_end(source: Source, segment: _Segment) -> None:
    """Mark Tags that the index places in the bytes that were read already."""
    if segment.tags_at is None:
        return
    header = source.cached(segment.tags_at, 12)
    parsed = parse_element(header, 0) if header else None
    if parsed and parsed[0] == _TAGS and parsed[2] > 0:
        source.mark_tag(segment.tags_at + parsed[1], segment.tags_at + parsed[1] + parsed[2])


def _element(source: Source, position: int) -> Look[tuple[int, int, int] | None]:
    """Return id, start of the body and its size (UNKNOWN if open), None where no element begins."""
    data = yield from source.at(position, 12)
    parsed = parse_element(data, 0)
    if parsed is None:
        return None
    ident, start, size = parsed
    return ident, position + start, size


def _flat(data: bytes) -> list[tuple[int, int, int]]:
    """List the elements that stand side by side in these bytes, as (id, start, size)."""
    found: list[tuple[int, int, int]] = []
    at = 0
    while len(found) < MAX_ELEMENTS and (parsed := parse_element(data, at)) is not None:
        if parsed[2] == UNKNOWN:
            break
        found.append(parsed)
        at = parsed[1] + parsed[2]
    return found
