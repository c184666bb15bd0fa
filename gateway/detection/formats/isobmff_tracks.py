"""Read the movie header of an ISO media file: its tracks, their codecs, sizes, rates and durations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.detection.formats.isobmff_samples import MAX_SOUND_SAMPLE, SampleEntry, read_entry
from gateway.detection.formats.payload import refuse_text
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Refused, Track, broken, text, truncated

_FOUR_CC = re.compile(rb"[\x20-\x7e\xa9]{4}")
MAX_CHILDREN = 64
MAX_TRACKS = 16
# Tables of a long film are far apart: more hops than this are not spent on facts.
MAX_TABLES = 10
MAX_FACT_READS = 12
Box = tuple[bytes, int, int]
_PCM = frozenset((b"raw ", b"twos", b"sowt", b"lpcm", b"in24", b"in32", b"fl32", b"fl64", b"ulaw", b"alaw", b"NONE",
                  b"ipcm", b"fpcm"))  # fmt: skip
# Times with all bits set are unknown (ISO/IEC 14496-12, 8.2.2).
_UNKNOWN = (0, 2**32 - 1, 2**64 - 1)


@dataclass(slots=True)
class Movie:
    """The movie header; `empty` says that it describes no samples at all."""

    tracks: list[Track] = field(default_factory=list)
    duration_seconds: float | None = None
    fragmented: bool = False
    empty: bool = True
    has_header: bool = False
    fragment_seconds: float | None = None
    scale: int = 0
    scales: dict[int, int] = field(default_factory=dict)
    default_durations: dict[int, int] = field(default_factory=dict)
    is_reference: bool = False
    ends: list[int] = field(default_factory=list)

    def proves_media(self) -> bool:
        """Say whether a track of sound or pictures was seen."""
        return any(track.kind != "other" for track in self.tracks)


@dataclass(slots=True)
class _Media:
    handler: bytes = b""
    entry: SampleEntry = field(default_factory=SampleEntry)
    sample_count: int | None = None
    sample_bytes: int = 0
    first_chunk: int | None = None
    last_chunk: int | None = None
    enabled: bool = True
    scale: int = 0
    duration: int = 0
    language: str | None = None
    external: bool = False
    track_id: int = 0


def read_movie(source: Source, start: int, end: int) -> Look[Movie]:
    """Walk moov to its trak boxes and each of those to its handler and sample description."""
    if end > source.size:
        raise truncated("its movie header (moov)", "mp4")
    movie = Movie()
    position = start
    for _ in range(MAX_CHILDREN):
        if position >= end or len(movie.tracks) >= MAX_TRACKS:
            break
        try:
            child = yield from _child(source, position, end)
            if child is None:
                break
            yield from _note(source, movie, child)
        except Refused as refusal:
            # The facts proven before the budget ended are kept.
            if refusal.check == "budget" and movie.proves_media():
                break
            raise
        position = child[2]
    if not movie.has_header and not movie.is_reference:
        raise broken("The movie header has no mvhd box", "mp4")
    return movie


def _note(source: Source, movie: Movie, child: Box) -> Look[None]:
    """Take the needed facts from one child of moov."""
    kind, start, end = child
    if kind == b"mvhd":
        movie.has_header = True
        movie.scale, duration = yield from _times(source, start, end)
        movie.duration_seconds = _seconds(duration, movie.scale)
    elif kind == b"mvex":
        movie.fragmented = True
        yield from _fragment_defaults(source, movie, start, end)
    elif kind == b"cmov":
        raise Refused("structure", "The movie header is compressed. Export the film again as MP4.", "mov")
    elif kind == b"rmra":
        movie.is_reference = True
    elif kind in (b"udta", b"meta"):
        source.mark_tag(start, end)
    elif kind == b"trak":
        media = yield from _track(source, start, end)
        yield from _check_samples(source, media)
        movie.tracks.append(_describe(media))
        movie.empty = movie.empty and media.sample_count == 0
        if media.track_id:
            movie.scales[media.track_id] = media.scale
        if media.last_chunk is not None:
            movie.ends.append(media.last_chunk)


def _fragment_defaults(source: Source, movie: Movie, start: int, end: int) -> Look[None]:
    """Read mehd, the duration of all fragments, and trex, the default duration of a sample in each track."""
    position = start
    for _ in range(MAX_TRACKS):
        child = (yield from _child(source, position, end)) if position < end else None
        if child is None:
            return
        data = yield from source.at(child[1], 24)
        if child[0] == b"mehd" and len(data) >= 12:
            duration = int.from_bytes(data[4:12] if data[0] else data[4:8])
            movie.fragment_seconds = _seconds(duration, movie.scale)
        elif child[0] == b"trex" and len(data) >= 16:
            movie.default_durations[int.from_bytes(data[4:8])] = int.from_bytes(data[12:16])
        position = child[2]


def _seconds(duration: int, scale: int) -> float | None:
    return round(duration / scale, 3) if scale and duration not in _UNKNOWN else None


def _child(source: Source, position: int, end: int) -> Look[Box | None]:
    """Return one child box, None for the four zero bytes that QuickTime may end a list with."""
    header = yield from source.at(position, 16)
    if end - position < 8 or header[:4] == b"\x00\x00\x00\x00":
        return None
    length = int.from_bytes(header[:4])
    kind = header[4:8]
    payload = position + 8
    if length == 1:
        length = int.from_bytes(header[8:16])
        payload += 8
    if not _FOUR_CC.fullmatch(kind) or length < payload - position or position + length > end:
        raise broken("A box of the movie header has an impossible size", "mp4")
    return kind, payload, position + length


def _children(source: Source, start: int, end: int, wanted: Iterable[bytes]) -> Look[dict[bytes, Box]]:
    """Return the first child of each wanted type, stopping when all are there."""
    missing = set(wanted)
    found: dict[bytes, Box] = {}
    position = start
    for _ in range(MAX_CHILDREN):
        if not missing or position >= end:
            break
        child = yield from _child(source, position, end)
        if child is None:
            break
        if child[0] in missing:
            missing.discard(child[0])
            found[child[0]] = child
        position = child[2]
    return found


def _times(source: Source, start: int, end: int) -> Look[tuple[int, int]]:
    """Read scale and duration of mvhd or mdhd: version 0 has 32-bit times, version 1 64-bit ones (14496-12, 8.2.2)."""
    data = yield from source.at(start, 32)
    if end - start < 20 or len(data) < 32 or data[0] > 1:
        raise broken("The movie header (mvhd) is malformed", "mp4")
    if data[0] == 1:
        return int.from_bytes(data[20:24]), int.from_bytes(data[24:32])
    return int.from_bytes(data[12:16]), int.from_bytes(data[16:20])


def _track(source: Source, start: int, end: int) -> Look[_Media]:
    """Follow trak/mdia/hdlr, mdhd and trak/mdia/minf/stbl/stsd."""
    media = _Media()
    boxes = yield from _children(source, start, end, (b"tkhd", b"mdia"))
    mdia = boxes.get(b"mdia")
    if mdia is None:
        return media
    if tkhd := boxes.get(b"tkhd"):
        flags = yield from source.at(tkhd[1], 24)
        media.enabled = bool(flags[3:4] and flags[3] & 1)
        media.track_id = int.from_bytes(flags[20:24] if flags[:1] == b"\x01" else flags[12:16])
    parts = yield from _children(source, mdia[1], mdia[2], (b"mdhd", b"hdlr", b"minf"))
    if mdhd := parts.get(b"mdhd"):
        yield from _media_header(source, media, mdhd)
    if hdlr := parts.get(b"hdlr"):
        media.handler = (yield from source.at(hdlr[1], 12))[8:12]
    if media.handler in (b"vide", b"soun") and (minf := parts.get(b"minf")):
        tables = yield from _children(source, minf[1], minf[2], (b"dinf", b"stbl"))
        if dinf := tables.get(b"dinf"):
            media.external = yield from _is_external(source, dinf)
        if stbl := tables.get(b"stbl"):
            yield from _sample_table(source, media, stbl)
    return media


def _media_header(source: Source, media: _Media, mdhd: Box) -> Look[None]:
    _, start, end = mdhd
    if end - start < 20:
        return
    media.scale, media.duration = yield from _times(source, start, end)
    data = yield from source.at(start, 36)
    at = 32 if data[0] == 1 else 20
    packed = int.from_bytes(data[at : at + 2])
    # Three letters of five bits (14496-12, 8.4.2.3); smaller numbers are QuickTime's own codes. `und` is undetermined.
    letters = "".join(chr((packed >> shift & 31) + 0x60) for shift in (10, 5, 0))
    if packed >= 0x400 and packed != 0x7FFF and letters.isalpha() and letters != "und":
        media.language = letters


def _is_external(source: Source, dinf: Box) -> Look[bool]:
    """Say whether every data reference leads out of the file: flag 1 means that the data is inside (8.7.2)."""
    dref = (yield from _children(source, dinf[1], dinf[2], (b"dref",))).get(b"dref")
    if dref is None:
        return False
    data = yield from source.at(dref[1], min(dref[2] - dref[1], 1024))
    count, at = int.from_bytes(data[4:8]), 8
    external = 0
    for _ in range(min(count, MAX_TRACKS)):
        size, flags = int.from_bytes(data[at : at + 4]), data[at + 8 : at + 12]
        if size < 12 or len(flags) < 4:
            return False
        external += not flags[3] & 1
        at += size
    return count > 0 and external == min(count, MAX_TRACKS)


def _sample_table(source: Source, media: _Media, stbl: Box) -> Look[None]:
    stsd = (yield from _children(source, stbl[1], stbl[2], (b"stsd",))).get(b"stsd")
    if stsd is None:
        return
    media.entry = yield from read_entry(source, stsd[1], stsd[2], media.handler)
    # Sample counts and chunk offsets stand in the tables after it, in any order.
    position = stsd[2]
    for _ in range(MAX_TABLES):
        if position >= stbl[2] or (source.cached(position, 20) is None and source.reads >= MAX_FACT_READS):
            return
        child = yield from _child(source, position, stbl[2])
        if child is None:
            return
        kind, start, position = child
        if kind == b"stsz" and position - start >= 12:
            data = yield from source.at(start, 16)
            media.sample_bytes, media.sample_count = int.from_bytes(data[4:8]), int.from_bytes(data[8:12])
            if not media.sample_bytes and media.sample_count == 1:
                media.sample_bytes = int.from_bytes(data[12:16])
        elif kind in (b"stco", b"co64"):
            width = 4 if kind == b"stco" else 8
            data = yield from source.at(start, 16)
            if int.from_bytes(data[4:8]):
                media.first_chunk = int.from_bytes(data[8 : 8 + width])
                last = source.cached(position - width, width)
                media.last_chunk = int.from_bytes(last) if last else None
            return


def _check_samples(source: Source, media: _Media) -> Look[None]:
    """Check that the samples are in this file and are no text."""
    if media.handler not in (b"soun", b"vide") or not media.entry.kind:
        return
    if media.external:
        reason = "The sound or pictures of this film are in another file. Export the film as a self-contained file."
        raise Refused("tracks", reason, "mp4")
    if media.handler == b"soun" and media.entry.kind not in _PCM and media.sample_bytes > MAX_SOUND_SAMPLE:
        raise broken("The sound track has samples of an impossible size", "mp4")
    if media.first_chunk is None or not media.sample_count:
        return
    if media.first_chunk >= source.size:
        raise truncated("its header, before any audio or video data", "mp4")
    if source.cached(media.first_chunk, 1) is not None or source.reads < MAX_FACT_READS:
        yield from refuse_text(source, media.first_chunk, "mp4")


def _describe(media: _Media) -> Track:
    entry = media.entry
    seconds = _seconds(media.duration, media.scale)
    if media.handler == b"soun" and entry.kind:
        return Track(
            "audio", entry.name, entry.common_name, channels=entry.channels, sample_rate_hz=entry.sample_rate_hz,
            language=media.language, duration_seconds=seconds,
        )  # fmt: skip
    if media.handler == b"vide" and entry.kind:
        # Chapter images are a disabled track, a cover is one sample; Motion JPEG is neither.
        if entry.is_still and (media.sample_count == 1 or not media.enabled):
            return Track("other", entry.name, width=entry.width, height=entry.height)
        rate = round(media.sample_count / seconds, 3) if seconds and media.sample_count else None
        return Track(
            "video", entry.name, entry.common_name, width=entry.width, height=entry.height, frame_rate=rate,
            language=media.language, duration_seconds=seconds,
        )  # fmt: skip
    return Track("other", text(media.handler), language=media.language)
