"""Prove raw GSM 06.10 sound, as telephone systems write it: ETSI EN 300 961 and RFC 3551, 4.5.8.1."""

from __future__ import annotations

from gateway.detection.formats.endings import something_follows
from gateway.detection.formats.payload import SPAN
from gateway.detection.source import HEAD, Source
from gateway.detection.verdict import DurationSource, Look, Structure, Track, rounded

FRAME = 33
# Each frame begins with these four bits, and with nothing else that tells it: so many are needed, in a row.
MARK, _ENOUGH = 0xD, 32
# Fewer do where the size of the file is that of whole frames.
_FEW = 8
_RATE, _SAMPLES = 8_000, 160
# Frames of noise or of another format have the same four bits once in 16; silence repeats whole frames.
_LEAST_VALUES = 6
_FEW_OTHERS = 64


def look(source: Source) -> Look[Structure | None]:
    """Check that every frame of the first and of the last kilobytes begins with the mark; None when it does not."""
    head = yield from source.at(0, HEAD)
    frames, rest = divmod(source.size, FRAME)
    if not _stands(head, 0, _ENOUGH if rest else _FEW) or source.base:
        return None
    # Bits after the mark are nearly free: where they are all equal too, something else has a period of 33 bytes.
    sample = head[:SPAN]
    if len(set(sample)) < _LEAST_VALUES or sample.count(sample[:1]) > len(sample) // 4:
        return None
    tail = yield from source.tail()
    offset = source.size - len(tail)
    if not _stands(tail, -offset % FRAME, _FEW):
        raise something_follows("GSM")
    seconds = rounded(frames * _SAMPLES / _RATE)
    how: DurationSource | None = "counted" if seconds else None
    track = Track("audio", "gsm", channels=1, sample_rate_hz=_RATE)
    return Structure("gsm", "gsm", "audio/x-gsm", "audio", (track,), seconds, None, how, not rest)


def _stands(data: bytes, first: int, least: int) -> bool:
    """Say whether the mark stands at every frame of these bytes, and seldom between them."""
    marks = data[first::FRAME]
    if len(marks) < least or any(byte >> 4 != MARK for byte in marks):
        return False
    between = data[first + 16 :: FRAME]
    return sum(byte >> 4 == MARK for byte in between) < max(_FEW_OTHERS, len(between)) // 2
