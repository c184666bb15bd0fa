"""Prove raw AAC: ADTS and ADIF (ISO/IEC 13818-7, 6.2 and annex A) and LOAS/LATM (ISO/IEC 14496-3, 1.7)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.detection.formats.bits import BitReader
from gateway.detection.formats.payload import refuse_text
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Structure, Track, broken, truncated


def adts(data: bytes) -> tuple[int, object] | None:
    """Return length and the fixed part of the ADTS header at the start of the bytes."""
    if len(data) < 7 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return None
    if data[2] >> 2 & 15 > 12:
        return None
    length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    # The header has 7 bytes, 9 with its CRC; a frame without sound does not count.
    if length <= (7 if data[1] & 1 else 9):
        return None
    # Profile, rate and channels stand still; private bit, copyright bits and the length do not.
    return length, (data[1], data[2] & 0xFD, data[3] & 0xC0)


RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
_CHANNELS = (None, 1, 2, 3, 4, 5, 6, 8)


def adts_facts(data: bytes) -> tuple[str, int, int] | None:
    """Return codec, channels and samples a second of the ADTS header at the start of the bytes; 0 for no channels."""
    if adts(data) is None:
        return None
    return "aac", _CHANNELS[(data[2] & 1) << 2 | data[3] >> 6] or 0, RATES[data[2] >> 2 & 15]


@dataclass(frozen=True, slots=True)
class AudioConfig:
    """The start of an AudioSpecificConfig; numbers are None where they stand elsewhere."""

    object_type: int
    sample_rate_hz: int | None
    channels: int | None


_SBR, _PS = 5, 29
# A backward compatible extension announces itself by these 11 bits (ISO/IEC 14496-3, 1.6.5).
_EXTENSION = 0x2B7


def audio_specific_config(data: bytes) -> AudioConfig | None:
    """Read an AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1): object type, rate and channels of the decoded sound."""
    if len(data) < 2:
        return None
    bits = BitReader(data)
    kind, rate = _object_type(bits), _rate(bits)
    channels = bits.take(4)
    named = kind
    if kind in (_SBR, _PS):
        rate = _rate(bits)
        channels = 1 if kind == _PS and channels == 1 else channels
    elif kind == 2 and len(data) >= 5:
        bits.skip(3)
        if bits.take(11) == _EXTENSION and _object_type(bits) == _SBR and bits.take(1):
            rate, named = _rate(bits), _SBR
    # Parametric stereo makes two channels of one.
    count = 2 if kind == _PS else _CHANNELS[channels] if channels < len(_CHANNELS) else None
    return AudioConfig(named, rate, count)


def _object_type(bits: BitReader) -> int:
    kind = bits.take(5)
    return 32 + bits.take(6) if kind == 31 else kind


def _rate(bits: BitReader) -> int | None:
    index = bits.take(4)
    if index == 15:
        return bits.take(24) or None
    return RATES[index] if index < len(RATES) else None


def latm_facts(data: bytes) -> tuple[str, int, int] | None:
    """Return codec, channels and samples a second of the LOAS frame at the start of the bytes (14496-3, 1.7.3)."""
    if loas(data) is None or len(data) < 8:
        return None
    bits = BitReader(data[3:64])
    # The same configuration as before, another version of the multiplex, and several programs: nothing to read.
    if bits.take(1) or bits.take(1):
        return None
    bits.skip(1 + 6)
    if bits.take(4) or bits.take(3):
        return None
    config = audio_specific_config(bits.rest())
    return ("aac_latm", config.channels or 0, config.sample_rate_hz or 0) if config else None


def loas(data: bytes) -> tuple[int, object] | None:
    """Return the length of the LOAS frame at the start of the bytes: 11 bits of sync, 13 of length."""
    if len(data) < 3 or data[0] != 0x56 or data[1] & 0xE0 != 0xE0:
        return None
    length = (data[1] & 0x1F) << 8 | data[2]
    return (3 + length, "loas") if length else None


def adts_structure() -> Structure:
    """Describe an ADTS stream; nothing in it says how long it is."""
    return Structure("aac", "aac", "audio/aac", "audio", (Track("audio", "aac"),))


def loas_structure() -> Structure:
    """Describe a LOAS stream: MPEG-4 audio with its multiplex headers (RFC 6416 names the type of its payload)."""
    return Structure("loas", "aac", "audio/mp4a-latm", "audio", (Track("audio", "aac"),))


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like ADIF."""
    return head[:4] == b"ADIF"


def look(source: Source, position: int = 0) -> Look[Structure]:
    """Check the one header of an ADIF file down to its first program configuration element."""
    head = yield from source.at(position, 40)
    if len(head) < 40:
        raise truncated("its header", "aac")
    bits = int.from_bytes(head[4:32])
    left = 28 * 8

    def take(count: int) -> int:
        nonlocal left
        left -= count
        return bits >> left & ((1 << count) - 1)

    if take(1):
        take(72)
    take(2)
    variable = take(1)
    bitrate = take(23)
    take(4)
    if not variable:
        take(20)
    take(4 + 2)
    if take(4) > 12 or not bitrate:
        raise broken("The header names an impossible sample rate", "aac")
    front, side, back = take(4), take(4), take(4)
    if not 1 <= front + side + back <= 48:
        raise broken("The header names no channels", "aac")
    yield from refuse_text(source, position + 40, "aac")
    return Structure("aac", "aac", "audio/aac", "audio", (Track("audio", "aac"),))
