"""Prove MP4, QuickTime, 3GPP and HEIF files: ISO/IEC 14496-12 and Apple's QuickTime File Format.

The top level is walked box by box (a hop over `mdat` costs one read) to a `moov` with a `vide` or `soun` handler.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gateway.detection.formats.isobmff_fragments import last_fragment
from gateway.detection.formats.isobmff_tracks import Movie, read_movie
from gateway.detection.formats.payload import read_padding, refuse_hidden
from gateway.detection.source import Source
from gateway.detection.verdict import DurationSource, Kind, Look, Refused, Structure, Track, broken, text, truncated

# QuickTime files before 2001 have no ftyp and may begin with any of these.
FIRST_BOXES = frozenset((b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"pdin", b"uuid"))
_PADDING = frozenset((b"free", b"skip", b"wide", b"uuid", b"mdat", b"junk"))
_EMPTY = frozenset((b"free", b"skip", b"wide", b"junk"))
# Twelve bytes for each segment: a film of a day in segments of a minute.
MAX_INDEX = 32 * 1024
_FOUR_CC = re.compile(rb"[\x20-\x7e\xa9]{4}")
# A progressive file has under ten boxes at the top, a fragmented one any number behind its moov.
MAX_BOXES = 40
# Once header and data are seen, this many more are walked to know where the file should end.
MAX_BEHIND = 4
_IMAGE_BRANDS = frozenset((b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"jxl "))
_OTHER_BRANDS = {b"jp2 ": "a JPEG 2000 image", b"jpx ": "a JPEG 2000 image", b"jpm ": "a JPEG 2000 document",
                 b"crx ": "a Canon RAW photo"}  # fmt: skip


@dataclass(slots=True)
class _File:
    """The boxes seen at the top level so far."""

    major: bytes = b""
    brands: frozenset[bytes] = frozenset()
    movie: tuple[int, int] | None = None
    has_data: bool = False
    has_meta: bool = False
    cut_short: bytes | None = None
    end: int | None = None
    fragment: tuple[int, int] | None = None
    index_seconds: float | None = None


def looks_like(head: bytes) -> bool:
    """Say whether the first box has a type that such files begin with."""
    return head[4:8] in FIRST_BOXES


def look(source: Source) -> Look[Structure]:
    """Walk the top level, then the movie header."""
    found = yield from _walk(source)
    if found.major in _OTHER_BRANDS:
        raise Refused("tracks", f"The file is {_OTHER_BRANDS[found.major]}: it holds neither audio nor video.", "mp4")
    if found.movie is None:
        return _without_movie(found)
    if found.has_meta and found.major in _IMAGE_BRANDS:
        return _image(found)
    movie = yield from read_movie(source, *found.movie)
    if movie.is_reference and not movie.proves_media():
        reason = "The film only points at other files or addresses. Export it as a self-contained file."
        raise Refused("tracks", reason, "mov")
    if movie.fragmented and found.fragment is None and not movie.ends:
        # The header of a film in fragments, without one: the format is right, and there is nothing to play.
        announced = movie.fragment_seconds or movie.duration_seconds
        structure = _structure(found, tuple(movie.tracks), announced, "stated" if announced else None)
        return replace(structure, complete=False, available_seconds=0.0)
    if not movie.fragmented and not found.has_data and not movie.empty:
        raise truncated("its header, before any audio or video data", "mp4")
    if found.fragment is not None and not movie.ends:
        return (yield from _fragmented(source, found, movie))
    cut = found.cut_short is not None or any(end >= source.size for end in movie.ends)
    seconds = movie.duration_seconds
    available = _available(source, found, movie) if cut else None
    how: DurationSource | None = "stated" if seconds else None
    return replace(_structure(found, tuple(movie.tracks), seconds, how), complete=not cut, available_seconds=available)


def _available(source: Source, found: _File, movie: Movie) -> float | None:
    """Estimate how far a film with its header in front goes, by the share of its data that is there."""
    if not movie.duration_seconds or not movie.ends or found.movie is None:
        return None
    share = (source.size - found.movie[1]) / max(1, max(movie.ends) - found.movie[1])
    return round(movie.duration_seconds * min(1.0, max(0.0, share)), 3)


def _fragmented(source: Source, found: _File, movie: Movie) -> Look[Structure]:
    """Describe a fragmented film by its last fragment, which is in the tail."""
    assert found.fragment is not None
    last = yield from last_fragment(source, found.fragment, movie)
    seconds = movie.fragment_seconds or found.index_seconds or last.seconds
    how: DurationSource | None = "stated" if seconds and seconds != last.seconds else "counted" if seconds else None
    seconds = seconds or movie.duration_seconds
    tracks = tuple(movie.tracks)
    if how is None and seconds:
        how = "stated"
    structure = _structure(found, tracks, seconds, how)
    return replace(
        structure,
        end_bytes=last.end,
        complete=last.complete,
        available_seconds=last.seconds if last.complete is False else None,
    )


def _walk(source: Source) -> Look[_File]:
    found = _File()
    position = proven = 0
    for number in range(MAX_BOXES):
        if position >= source.size:
            found.end = position
            break
        header = yield from source.at(position, 32)
        if number and not header.strip(b"\x00"):
            found.end = position  # zeros up to the next sector: some recorders pad so
            break
        kind, start, end = _box(header, position, source.size, number)
        if kind is None:
            found.end = position
            break
        yield from _note(source, found, kind, start, end)
        if end > source.size:
            found.cut_short = kind
            break
        position = end
        proven += bool(found.movie and found.has_data)
        if found.fragment or proven > MAX_BEHIND:
            found.end = end if end == source.size else None
            break
    return found


def _box(header: bytes, position: int, size: int, number: int) -> tuple[bytes | None, int, int]:
    """Return type, start of the payload and end of one box; type None for bytes that are no box after the first one."""
    if len(header) < 8:
        if number:
            return None, position, size
        raise truncated("its first box")
    length = int.from_bytes(header[:4])
    kind = header[4:8]
    start = position + 8
    if length == 1:
        length = int.from_bytes(header[8:16])
        start += 8
    elif length == 0:
        length = size - position
    if not _FOUR_CC.fullmatch(kind) or length < start - position:
        if number:
            return None, position, size
        raise broken("The first box has an impossible size", "mp4")
    return kind, start, position + length


def _note(source: Source, found: _File, kind: bytes, start: int, end: int) -> Look[None]:
    """Take the needed facts from one box at the top."""
    if kind == b"ftyp":
        yield from _brands(source, found, start, end)
    elif kind == b"moov" and found.movie is None:
        found.movie = (start, end)
    elif kind in (b"meta", b"udta"):
        found.has_meta = found.has_meta or kind == b"meta"
        source.mark_tag(start, end)
    elif kind == b"moof":
        header = yield from source.at(end, 8)
        # A fragment is its header and the media data after it.
        if header[4:8] in (b"mdat", b"moof", b"free", b"emsg") and end + 8 < source.size:
            found.fragment = (start, end)
    elif kind == b"mdat":
        found.has_data = True
    elif kind == b"sidx":
        found.index_seconds = yield from _index_seconds(source, start, end)
    if kind in _PADDING and start < end:
        yield from refuse_hidden(source, kind, start, "mp4")
    if kind in _EMPTY:
        yield from read_padding(source, start, end, "mp4")


def _index_seconds(source: Source, start: int, end: int) -> Look[float | None]:
    """Add the durations of the segments that a segment index lists (ISO/IEC 14496-12, 8.16.3)."""
    data = yield from source.at(start, min(end - start, MAX_INDEX))
    if len(data) < 24:
        return None
    scale, at = int.from_bytes(data[8:12]), 28 if data[0] else 20
    count = int.from_bytes(data[at + 2 : at + 4])
    entries = data[at + 4 : at + 4 + 12 * count]
    if not scale or len(entries) < 12 * count:
        return None
    ticks = sum(int.from_bytes(entries[index + 4 : index + 8]) for index in range(0, 12 * count, 12))
    return round(ticks / scale, 3) or None


def _brands(source: Source, found: _File, start: int, end: int) -> Look[None]:
    # 64 brands are far beyond what any writer lists.
    if not 8 <= end - start <= 8 + 4 * 64:
        raise broken("The file type box has an impossible size", "mp4")
    if end > source.size:
        raise truncated("its file type box", "mp4")
    payload = yield from source.at(start, end - start)
    found.major = payload[:4]
    brands = {payload[index : index + 4] for index in range(8, len(payload) - 3, 4)}
    found.brands = frozenset(brands | {found.major})


def _without_movie(found: _File) -> Structure:
    """Answer for a file with no moov: an image, or a movie that was cut short."""
    if found.has_meta and found.brands & _IMAGE_BRANDS:
        return _image(found)
    if found.brands & _IMAGE_BRANDS:
        raise Refused("tracks", "The file is an image container (HEIF or AVIF), not audio or video.", "heif")
    if found.cut_short:
        raise truncated(f"its {text(found.cut_short)} box and has no movie header (moov)", "mp4")
    raise Refused(
        "truncated", "The file has no movie header (moov): it was cut short, or its recording never finished.", "mp4"
    )


def _image(found: _File) -> Structure:
    """Describe a still image, or a burst of them, which has a `moov` besides its `meta`."""
    media_type = "image/avif" if found.major in (b"avif", b"avis") else "image/heic"
    return Structure("heif", "heif", media_type, "image", end_bytes=found.end)


def _structure(
    found: _File, tracks: tuple[Track, ...], duration: float | None, how: DurationSource | None
) -> Structure:
    kinds = {track.kind for track in tracks}
    if not kinds & {"audio", "video"}:
        raise Refused("tracks", "The file holds no audio and no video track.", "mp4")
    # A cover picture or a chapter image is a video track to the format, but nothing moves in it.
    kind: Kind = "video" if "video" in kinds else "audio"
    container, base = "mp4", "mp4"
    if found.major == b"qt  " or not found.major:
        return Structure("mov", "isobmff", "video/quicktime", kind, tracks, duration, found.end, how)
    if found.major[:3] in (b"3gp", b"3gr", b"3gs", b"3ge", b"3gg"):
        container, base = "3gp", "3gpp"
    elif found.major[:3] == b"3g2" or found.major == b"kddi":
        container, base = "3g2", "3gpp2"
    return Structure(container, "isobmff", f"{kind}/{base}", kind, tracks, duration, found.end, how)
