"""Prove DTS Coherent Acoustics: ETSI TS 102 114, 5.3 and annex on 14-bit words."""

from __future__ import annotations

from gateway.detection.formats.bits import BitReader
from gateway.detection.formats.frames import EMPTY
from gateway.detection.verdict import Structure, Track

# Sync words of 16-bit streams, big and little endian. Streams of 14-bit words exist on CDs alone.
BIG, LITTLE = b"\x7f\xfe\x80\x01", b"\xfe\x7f\x01\x80"
_EXTENSION = b"\x64\x58\x20\x25"
HEADER = 16
# Table 5-5: samples a second by code, 0 for codes that are not valid.
_RATES = (0, 8_000, 16_000, 32_000, 0, 0, 11_025, 22_050, 44_100, 0, 0, 12_000, 24_000, 48_000, 96_000, 192_000)
# Table 5-4: channels by arrangement; from 10 on six and more.
_CHANNELS = (1, 2, 2, 2, 2, 3, 3, 4, 4, 5, 6, 6, 6, 7, 8, 8)
# A frame has at least 95 bytes and six blocks of 32 samples (5.3.1).
_LEAST_BYTES, _LEAST_BLOCKS = 95, 5


def _fields(data: bytes) -> tuple[int, int, int, int] | None:
    """Return length in bytes, samples, channels and rate of the frame header at the start of the bytes."""
    if len(data) < 14 or data[:4] not in (BIG, LITTLE):
        return None
    if data[:2] == LITTLE[:2]:
        data = b"".join(data[at : at + 2][::-1] for at in range(0, len(data) & ~1, 2))
    bits = BitReader(data[4:])
    is_normal, short = bits.take(1), bits.take(5)
    bits.skip(1)
    blocks, length, mode, rate = bits.take(7), bits.take(14), bits.take(6), _RATES[bits.take(4)]
    bits.skip(5 + 1 + 1 + 1 + 1 + 1 + 3 + 1 + 1)
    low = bits.take(2)
    whole = length >= _LEAST_BYTES and blocks >= _LEAST_BLOCKS
    if not whole or not rate or low == 3 or mode >= len(_CHANNELS) or (is_normal and short != 31):
        return None
    return length + 1, 32 * (blocks + 1), _CHANNELS[mode] + (low > 0), rate


def frame(data: bytes) -> tuple[int, object] | None:
    """Return length and what stays the same of the core frame or extension at the start of the bytes."""
    if data[:4] == _EXTENSION and len(data) >= HEADER:
        return _extension_bytes(data), EMPTY
    found = _fields(data)
    return (found[0], ("dts", found[1], found[3])) if found else None


def _extension_bytes(data: bytes) -> int:
    """Return the length of an extension substream (DTS-HD), which follows the core frame that it belongs to (7.4.1)."""
    bits = BitReader(data[4:HEADER])
    bits.skip(8 + 2)
    is_long = bits.take(1)
    bits.skip(12 if is_long else 8)
    return bits.take(20 if is_long else 16) + 1


def samples_of(data: bytes) -> int:
    """Return samples of a channel in the frame at the start of the bytes."""
    found = _fields(data)
    return found[1] if found else 0


def structure() -> Structure:
    """Describe a DTS stream; its frames state channels and rate, and nothing states how long it is."""
    return Structure("dts", "dts", "audio/vnd.dts", "audio", (Track("audio", "dts"),))


def facts(data: bytes) -> tuple[str, int, int] | None:
    """Return codec, channels and samples a second of the frame header at the start of the bytes."""
    found = _fields(data)
    return ("dts", found[2], found[3]) if found else None
