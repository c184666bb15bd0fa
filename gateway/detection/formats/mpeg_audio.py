"""Prove MPEG-1/2/2.5 audio, layers I to III: ISO/IEC 11172-3, 2.4 and 13818-3."""

from __future__ import annotations

from gateway.detection.formats.frames import FEW, Chain
from gateway.detection.source import Source
from gateway.detection.verdict import DurationSource, Look, Structure, Track

_V1_L1 = (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
_V1_L2 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_V1_L3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V2_L1 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_V2_L23 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = (44_100, 48_000, 32_000)


def frame(data: bytes) -> tuple[int, object] | None:
    """Return length and version, layer and rate of the frame header at the start of the bytes."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    bitrate_index = data[2] >> 4
    # Index 0 is free format, which no common decoder plays; 15 and the others are reserved. Emphasis 2 as well.
    reserved = data[1] & 0x18 == 0x08 or not data[1] & 0x06 or data[2] & 0x0C == 0x0C or data[3] & 3 == 2
    if reserved or bitrate_index in (0, 15):
        return None
    version, layer, rate = _fields(data)
    padding = data[2] >> 1 & 1
    bitrate = _bitrates(version, layer)[bitrate_index] * 1000
    if layer == 1:
        length = (12 * bitrate // rate + padding) * 4
    else:
        slots = 72 if layer == 3 and version != 3 else 144
        length = slots * bitrate // rate + padding
    return length, (version, layer, rate)


def _fields(data: bytes) -> tuple[int, int, int]:
    """Return version (3 for MPEG-1, 2, 0 for 2.5), layer and sample rate of a header that is known to be one."""
    version = data[1] >> 3 & 3
    return (
        version,
        4 - (data[1] >> 1 & 3),
        _RATES[data[2] >> 2 & 3] >> (0 if version == 3 else 1 if version == 2 else 2),
    )


def _bitrates(version: int, layer: int) -> tuple[int, ...]:
    if version == 3:
        return (_V1_L1, _V1_L2, _V1_L3)[layer - 1]
    return _V2_L1 if layer == 1 else _V2_L23


def facts(data: bytes) -> tuple[str, int, int] | None:
    """Return codec, channels and samples a second of the frame header at the start of the bytes."""
    if frame(data) is None:
        return None
    _, layer, rate = _fields(data)
    return f"mp{layer}", 1 if data[3] >> 6 == 3 else 2, rate


def samples_of(header: bytes) -> int:
    """Return samples in the frame whose header is given."""
    version, layer, _ = _fields(header)
    return samples_per_frame(version, layer)


def samples_per_frame(version: int, layer: int) -> int:
    """Return samples in one frame of a channel."""
    if layer == 1:
        return 384
    return 576 if layer == 3 and version != 3 else 1152


def info_frame(source: Source, start: int) -> Look[int | None]:
    """Return the frame count that a Xing, Info or VBRI frame states, None when there is no such frame, 0 if unsaid."""
    data = yield from source.at(start, 64)
    mono = len(data) > 3 and data[3] >> 6 == 3
    version_1 = data[1:2] and data[1] >> 3 & 3 == 3
    side = (17 if mono else 32) if version_1 else (9 if mono else 17)
    at = 4 + side
    if data[at : at + 4] in (b"Xing", b"Info"):
        has_count = int.from_bytes(data[at + 4 : at + 8]) & 1
        return int.from_bytes(data[at + 8 : at + 12]) if has_count else 0
    if data[36:40] == b"VBRI":
        return int.from_bytes(data[50:54])
    return None


def stated_bytes(source: Source, start: int) -> Look[int]:
    """Return the bytes of sound that a Xing or Info frame states, itself included; 0 where it does not."""
    data = yield from source.at(start, 64)
    at = max(data.find(b"Xing", 0, 40), data.find(b"Info", 0, 40))
    flags = int.from_bytes(data[at + 4 : at + 8]) if at > 0 else 0
    if not flags & 2:
        return 0
    place = at + 8 + (4 if flags & 1 else 0)
    return int.from_bytes(data[place : place + 4])


def proves(source: Source, chain: Chain) -> Look[bool]:
    """Say whether the frames are sound; one is enough where it is an info frame and ends with the file."""
    # A header has 17 bits that fit by chance once in many thousand: two frames and the header of a cut one are enough.
    if chain.proves or (chain.cut_short and chain.far and chain.count >= FEW):
        return True
    return chain.count > 0 and chain.complete and (yield from info_frame(source, chain.start)) is not None


def describe(source: Source, chain: Chain) -> Look[Structure]:
    """Name layer, channels, rate and duration from the first frame."""
    version, layer, rate = _fields(chain.first)
    channels = 1 if chain.first[3] >> 6 == 3 else 2
    frames = yield from info_frame(source, chain.start)
    duration = round(frames * samples_per_frame(version, layer) / rate, 3) if frames else None
    name = f"mp{layer}"
    track = Track("audio", name, channels=channels, sample_rate_hz=rate)
    how: DurationSource | None = "stated" if duration else None
    return Structure(name, "mpeg-audio", "audio/mpeg", "audio", (track,), duration, duration_is=how)
