"""Prove AMR and AMR-WB storage files: RFC 4867, section 5."""

from __future__ import annotations

from gateway.detection.formats.frames import EMPTY, follow
from gateway.detection.formats.payload import refuse_text
from gateway.detection.source import HEAD, Source
from gateway.detection.verdict import DurationSource, Look, Structure, Track, broken, truncated

# Bytes of one frame with its header, by frame type: 3GPP TS 26.101 and 26.201, octet aligned. 0 is reserved.
_NARROW = (13, 14, 16, 18, 20, 21, 27, 32, 6, 0, 0, 0, 0, 0, 0, 1)
_WIDE = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 0, 0, 0, 0, 1, 1)

# Every frame lasts 20 ms (RFC 4867, section 3).
FRAME_SECONDS = 0.02


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like AMR."""
    return head[:5] == b"#!AMR"


def look(source: Source) -> Look[Structure]:
    """Follow frames behind the magic line."""
    head = yield from source.at(0, 20)
    wide = head[5:8] == b"-WB"
    name = "awb" if wide else "amr"
    rest = head[8:] if wide else head[5:]
    start = 8 if wide else 5
    if rest.startswith(b"_MC1.0\n"):
        # Four reserved bits and the channel count follow (section 5.2); channels alternate frame by frame.
        start += 7 + 4
    elif rest.startswith(b"\n"):
        start += 1
    else:
        raise broken("The magic line is wrong", name)
    sizes = _WIDE if wide else _NARROW

    def frame(data: bytes) -> tuple[int, object] | None:
        # Padding bits around frame type and quality bit are zero; a recording begins with undamaged frames.
        if not data or data[0] & 0x87 != 0x04:
            return None
        size = sizes[data[0] >> 3 & 15]
        # One byte says that a frame was lost or not sent: a run of them is a line of bars, not sound.
        return (size, EMPTY if size == 1 else "amr") if size else None

    chain = yield from follow(source, start, frame)
    if not chain.proves:
        if start >= source.size or chain.cut_short:
            raise truncated("its first frames", name)
        raise broken("No sound follows the magic line", name)
    yield from refuse_text(source, start, name)
    media_type = "audio/AMR-WB" if wide else "audio/AMR"
    track = Track("audio", "amr-wb" if wide else "amr", channels=1, sample_rate_hz=16_000 if wide else 8_000)
    frames, is_exact = _count(source, start, sizes)
    seconds = round(frames * FRAME_SECONDS, 3) or None
    how: DurationSource | None = None if seconds is None else "counted" if is_exact else "estimated"
    return Structure(name, "amr", media_type, "audio", (track,), seconds, duration_is=how)


def _count(source: Source, start: int, sizes: tuple[int, ...]) -> tuple[float, bool]:
    """Count frames in the bytes that were read, and estimate the rest by their mean length."""
    known = min(source.size - start, HEAD - start)
    data = source.cached(start, known) or b""
    count = at = 0
    while at < len(data) and (size := sizes[data[at] >> 3 & 15]):
        count, at = count + 1, at + size
    if at >= source.size - start or not at:
        return count, True
    return count * (source.size - start) / at, False
