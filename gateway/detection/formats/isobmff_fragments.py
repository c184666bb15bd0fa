"""Find the last fragment of a fragmented MP4 and the time at which it ends: ISO/IEC 14496-12, 8.8."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.detection.formats.endings import something_follows
from gateway.detection.formats.isobmff_tracks import Movie
from gateway.detection.source import TAIL, Source
from gateway.detection.verdict import Look

MAX_FRAGMENTS = 64
MAX_TRACKS = 16
# A fragment of some seconds lists its samples in less.
MAX_HEADER = 16 * 1024
# Boxes that may stand between and after fragments.
_BETWEEN = frozenset((b"moof", b"mdat", b"styp", b"sidx", b"free", b"skip", b"mfra", b"emsg", b"prft", b"uuid", b"ssix",
                      b"meta", b"udta", b"wide", b"moov"))  # fmt: skip
# trun: a data offset, flags of the first sample, then for each sample duration, size, flags and composition offset.
_TRUN_OFFSET, _TRUN_FIRST, _TRUN_DURATION = 0x1, 0x4, 0x100
_TRUN_FIELDS = (0x100, 0x200, 0x400, 0x800)
# tfhd: base offset, description index, default duration.
_TFHD_BASE, _TFHD_INDEX, _TFHD_DURATION = 0x1, 0x2, 0x8


@dataclass(frozen=True, slots=True)
class LastFragment:
    """The end of the last whole fragment in bytes and seconds; `complete` is None if the end was not found."""

    end: int | None
    seconds: float | None
    complete: bool | None


def last_fragment(source: Source, first: tuple[int, int], movie: Movie) -> Look[LastFragment]:
    """Walk the boxes from the last `moof` in the tail to the end of the file.

    Raises Refused when other data follows the fragments.
    """
    tail = yield from source.tail()
    offset = source.size - len(tail)
    # The type of a box stands after its size.
    at = tail.rfind(b"moof") - 4
    ends: tuple[int, bool] | None = None
    for _ in range(MAX_FRAGMENTS):
        if at < 0:
            break
        ends = ends or _walk(tail, at)
        # The last fragment of a cut file is not whole: the time is that of the one before it.
        if ends is not None and (seconds := _end_seconds(tail[at + 8 :], movie)) is not None:
            return LastFragment(offset + ends[0] if ends[1] else None, seconds, complete=ends[1])
        at = tail.rfind(b"moof", 0, at) - 4
    if ends is not None:
        return LastFragment(offset + ends[0] if ends[1] else None, None, complete=ends[1])
    return (yield from _walk_on(source, first, movie))


def _walk(tail: bytes, at: int) -> tuple[int, bool] | None:
    """Follow boxes from one in the tail; return the end of the last and whether it is whole, None where they break."""
    first = True
    while at + 8 <= len(tail):
        size, kind = int.from_bytes(tail[at : at + 4]), tail[at + 4 : at + 8]
        if size == 1:
            size = int.from_bytes(tail[at + 8 : at + 16])
        if kind not in _BETWEEN or size < 8:
            # Zeros or a short remainder may follow; other checks look at longer ones.
            return None if first else (at, True)
        if at + size > len(tail):
            return at, False
        at += size
        first = False
    return at, True


def _walk_on(source: Source, first: tuple[int, int], movie: Movie) -> Look[LastFragment]:
    """Hop from box to box where a fragment is longer than the tail; each hop is a read."""
    position = first[0] - 8
    seconds: float | None = None
    for _ in range(MAX_FRAGMENTS):
        if position >= source.size:
            return LastFragment(source.size, seconds, complete=True)
        if source.cached(position, 16) is None and not source.can_read(TAIL // 8):
            break
        header = yield from source.at(position, 16)
        size, kind = int.from_bytes(header[:4]), header[4:8]
        if size == 1:
            size = int.from_bytes(header[8:16])
        if kind not in _BETWEEN or size < 8:
            if header.strip(b"\x00") and source.size - position > TAIL:
                raise something_follows("MP4")
            return LastFragment(position, seconds, complete=True)
        if position + size > source.size:
            return LastFragment(None, seconds, complete=False)
        if kind == b"moof":
            header = yield from source.at(position + 8, min(size - 8, MAX_HEADER))
            seconds = _end_seconds(header, movie) or seconds
        position += size
    return LastFragment(None, None, None)


def _boxes(data: bytes, at: int, end: int) -> list[tuple[bytes, int, int]]:
    found: list[tuple[bytes, int, int]] = []
    while at + 8 <= end and len(found) < MAX_TRACKS * 4:
        size = int.from_bytes(data[at : at + 4])
        if size < 8 or at + size > end:
            break
        found.append((data[at + 4 : at + 8], at + 8, at + size))
        at += size
    return found


def _end_seconds(moof: bytes, movie: Movie) -> float | None:
    """Return the latest end of the track fragments in a moof, whose payload begins these bytes."""
    best: float | None = None
    for kind, start, end in _boxes(moof, 0, len(moof)):
        if kind == b"traf":
            seconds = _track_seconds(moof, start, end, movie)
            best = max(best or 0.0, seconds) if seconds is not None else best
        elif kind != b"mfhd":
            break
    return round(best, 3) if best else None


def _track_seconds(data: bytes, start: int, end: int, movie: Movie) -> float | None:
    base, track, default, ticks = None, 0, 0, 0
    for kind, at, stop in _boxes(data, start, end):
        flags = int.from_bytes(data[at + 1 : at + 4])
        if kind == b"tfhd":
            track = int.from_bytes(data[at + 4 : at + 8])
            default = movie.default_durations.get(track, 0)
            place = at + 8 + (8 if flags & _TFHD_BASE else 0) + (4 if flags & _TFHD_INDEX else 0)
            if flags & _TFHD_DURATION:
                default = int.from_bytes(data[place : place + 4])
        elif kind == b"tfdt":
            base = int.from_bytes(data[at + 4 : at + (12 if data[at] else 8)])
        elif kind == b"trun":
            ticks += _run_ticks(data[at:stop], flags, default)
    scale = movie.scales.get(track, 0)
    return (base + ticks) / scale if base is not None and scale else None


def _run_ticks(run: bytes, flags: int, default: int) -> int:
    """Add the durations of the samples of one run."""
    count = int.from_bytes(run[4:8])
    if not flags & _TRUN_DURATION:
        return count * default
    at = 8 + (4 if flags & _TRUN_OFFSET else 0) + (4 if flags & _TRUN_FIRST else 0)
    width = 4 * sum(bool(flags & bit) for bit in _TRUN_FIELDS)
    most = min(count, (len(run) - at) // width)
    return sum(int.from_bytes(run[place : place + 4]) for place in range(at, at + most * width, width))
