"""Prove DSF: Sony's "DSF File Format Specification", version 1.01."""

from __future__ import annotations

from gateway.detection.formats import id3
from gateway.detection.formats.payload import refuse_hidden, refuse_text
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Structure, Track, broken, rounded, truncated

# Three chunks stand at fixed places: DSD, fmt and the header of data.
_HEADER = 92
_FORMAT_AT, _DATA_AT = 28, 80
# Channels by type: mono, stereo, three, quad, four, five, 5.1.
_CHANNELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 6: 5, 7: 6}
_BASE_RATES = (44_100, 48_000)
_BLOCK = 4096


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like DSF."""
    return head[:4] == b"DSD " and head[_FORMAT_AT : _FORMAT_AT + 4] == b"fmt "


def look(source: Source) -> Look[Structure]:
    """Check the three chunks, whose sizes are fixed or agree with one another and with the file."""
    head = yield from source.at(0, _HEADER)
    if len(head) < _HEADER:
        raise truncated("its header", "dsf")
    size, total, tag_at = (_number(head, at, 8) for at in (4, 12, 20))
    format_size, version, ident, kind, channels, rate, bits = (
        _number(head, 32, 8), *(_number(head, at, 4) for at in (40, 44, 48, 52, 56, 60)),
    )  # fmt: skip
    samples, block = _number(head, 64, 8), _number(head, 72, 4)
    possible = (size, format_size, version, ident, block) == (28, 52, 1, 0, _BLOCK) and bits in (1, 8)
    # Rates are 64 to 512 times that of a CD or of a film.
    if not possible or _CHANNELS.get(kind) != channels or rate not in (k * n for k in _BASE_RATES for n in _TIMES):
        raise broken("The format chunk names impossible numbers", "dsf")
    data_size = _number(head, _DATA_AT + 4, 8) - 12
    if head[_DATA_AT : _DATA_AT + 4] != b"data" or data_size < 0 or data_size % (_BLOCK * channels):
        raise broken("The sound data does not follow the format", "dsf")
    if data_size < (samples + 7) // 8 * channels:
        raise broken("The sound data is shorter than its format says", "dsf")
    return (yield from _structure(source, channels, rate, samples, data_size, total, tag_at))


_TIMES = (64, 128, 256, 512)


def _number(data: bytes, at: int, width: int) -> int:
    return int.from_bytes(data[at : at + width], "little")


def _structure(
    source: Source, channels: int, rate: int, samples: int, data_size: int, total: int, tag_at: int
) -> Look[Structure]:
    there = source.size - _HEADER
    cut = data_size > there
    if not samples or (cut and there < _BLOCK * channels):
        raise truncated("its sound data", "dsf")
    yield from refuse_hidden(source, b"data", _HEADER, "dsf")
    yield from refuse_text(source, _HEADER, "dsf")
    end = _HEADER + data_size
    yield from source.tail()
    if end == tag_at < source.size:
        end = yield from id3.skip(source, tag_at)
        source.mark_tag(tag_at, end)
    if not cut and total not in (end, source.size):
        raise broken("The header states another size than the file has", "dsf")
    seconds = rounded(samples / rate)
    track = Track("audio", "dsd_lsbf_planar", channels=channels, sample_rate_hz=rate)
    available = rounded(8 * there / channels / rate) if cut else None
    return Structure(
        "dsf", "dsf", "audio/x-dsf", "audio", (track,), seconds, min(end, source.size), "stated", not cut, available
    )
