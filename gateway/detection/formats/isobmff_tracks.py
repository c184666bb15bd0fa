"""Read the movie header of an ISO media file: its tracks, their codecs, its duration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.detection.source import Source
from gateway.detection.verdict import Look, Refused, Track, broken, text, truncated

_FOUR_CC = re.compile(rb"[\x20-\x7e\xa9]{4}")
MAX_CHILDREN = 64
MAX_TRACKS = 16
# Sample entries that are still pictures: cover art, chapter images (QuickTime File Format, "Video Media").
_STILL = frozenset((b"jpeg", b"png ", b"gif ", b"tiff"))
Box = tuple[bytes, int, int]


@dataclass(slots=True)
class Movie:
    """The movie header; `empty` says that it describes no samples at all."""

    tracks: list[Track] = field(default_factory=list)
    duration_seconds: float | None = None
    fragmented: bool = False
    empty: bool = True
    has_header: bool = False

    def proves_media(self) -> bool:
        """Say whether a track of sound or pictures was seen."""
        return any(track.kind != "other" for track in self.tracks)


@dataclass(slots=True)
class _Media:
    handler: bytes = b""
    entry: bytes = b""
    sample_count: int | None = None
    enabled: bool = True


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
            # What was proven before the budget ran out stands.
            if refusal.check == "budget" and movie.proves_media():
                break
            raise
        position = child[2]
    if not movie.has_header:
        raise broken("The movie header has no mvhd box", "mp4")
    return movie


def _note(source: Source, movie: Movie, child: Box) -> Look[None]:
    """Take from one child of moov what matters."""
    kind, start, end = child
    if kind == b"mvhd":
        movie.has_header = True
        movie.duration_seconds = yield from _duration(source, start, end)
    elif kind == b"mvex":
        movie.fragmented = True
    elif kind == b"cmov":
        raise Refused("structure", "The movie header is compressed, which the gateway does not read.", "mov")
    elif kind == b"trak":
        media = yield from _track(source, start, end)
        movie.tracks.append(_describe(media))
        movie.empty = movie.empty and media.sample_count == 0


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


def _duration(source: Source, start: int, end: int) -> Look[float | None]:
    """Read mvhd: version 0 has 32-bit times, version 1 has 64-bit ones (ISO/IEC 14496-12, 8.2.2)."""
    data = yield from source.at(start, 32)
    if end - start < 20 or len(data) < 32 or data[0] > 1:
        raise broken("The movie header (mvhd) is malformed", "mp4")
    if data[0] == 1:
        scale, duration, unknown = int.from_bytes(data[20:24]), int.from_bytes(data[24:32]), 2**64 - 1
    else:
        scale, duration, unknown = int.from_bytes(data[12:16]), int.from_bytes(data[16:20]), 2**32 - 1
    if not scale or duration in (0, unknown):
        return None
    return round(duration / scale, 3)


def _track(source: Source, start: int, end: int) -> Look[_Media]:
    """Follow trak/mdia/hdlr and trak/mdia/minf/stbl/stsd."""
    media = _Media()
    boxes = yield from _children(source, start, end, (b"tkhd", b"mdia"))
    mdia = boxes.get(b"mdia")
    if mdia is None:
        return media
    if tkhd := boxes.get(b"tkhd"):
        flags = yield from source.at(tkhd[1], 4)
        media.enabled = bool(flags[3:4] and flags[3] & 1)
    parts = yield from _children(source, mdia[1], mdia[2], (b"hdlr", b"minf"))
    if hdlr := parts.get(b"hdlr"):
        media.handler = (yield from source.at(hdlr[1], 12))[8:12]
    if media.handler in (b"vide", b"soun") and (minf := parts.get(b"minf")):
        stbl = (yield from _children(source, minf[1], minf[2], (b"stbl",))).get(b"stbl")
        if stbl:
            yield from _sample_table(source, media, stbl)
    return media


def _sample_table(source: Source, media: _Media, stbl: Box) -> Look[None]:
    stsd = (yield from _children(source, stbl[1], stbl[2], (b"stsd",))).get(b"stsd")
    if stsd is None:
        return
    data = yield from source.at(stsd[1], 16)
    if int.from_bytes(data[4:8]) and 8 <= int.from_bytes(data[8:12]) <= stsd[2] - stsd[1]:
        media.entry = data[12:16]
    # Sample counts stand at fixed places of stts (sum unknown) and stsz; only a cached one is worth looking at.
    position = stsd[2]
    for _ in range(8):
        header = source.cached(position, 20)
        if not header or len(header) < 20 or position >= stbl[2]:
            return
        if header[4:8] == b"stsz":
            media.sample_count = int.from_bytes(header[16:20])
            return
        position += max(int.from_bytes(header[:4]), 8)


def _describe(media: _Media) -> Track:
    codec = text(media.entry)
    if media.handler == b"soun" and media.entry:
        return Track("audio", codec)
    if media.handler == b"vide" and media.entry:
        # Chapter images are a disabled track, a cover is one sample; Motion JPEG is neither.
        still = media.entry in _STILL and (media.sample_count == 1 or not media.enabled)
        return Track("other" if still else "video", codec)
    return Track("other", text(media.handler))
