"""Prove AC-3 and E-AC-3: ETSI TS 102 366 (ATSC A/52)."""

from __future__ import annotations

from gateway.detection.verdict import Structure, Track

_KBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_RATES = (48_000, 44_100, 32_000)


def frame(data: bytes) -> tuple[int, object] | None:
    """Return length and what stays the same of the syncframe at the start of the bytes."""
    if len(data) < 7 or data[:2] != b"\x0b\x77":
        return None
    stream_id = data[5] >> 3
    if stream_id <= 10:
        return _ac3(data, stream_id)
    if stream_id <= 16:
        return _eac3(data)
    return None


def _ac3(data: bytes, stream_id: int) -> tuple[int, object] | None:
    rate, code = data[4] >> 6, data[4] & 0x3F
    if rate == 3 or code > 37:
        return None
    kbits = _KBITS[code >> 1]
    # Table 4.13: 1,536 samples at the bit rate, in words of 16 bits; 44.1 kHz alternates by one word.
    words = kbits * 96_000 // _RATES[rate] + (code & 1 if rate == 1 else 0)
    return words * 2, ("ac3", rate, stream_id)


def _eac3(data: bytes) -> tuple[int, object] | None:
    length = (((data[2] & 7) << 8 | data[3]) + 1) * 2
    if data[2] >> 6 == 3 or length < 8:
        return None
    # Dependent substreams of other sizes may stand between: only the sample rate is held still.
    return length, ("eac3", data[4] >> 6)


_CHANNELS = (2, 1, 2, 3, 3, 4, 4, 5)


def facts(data: bytes) -> tuple[str, int, int] | None:
    """Return codec, channels and samples a second of the syncframe at the start of the bytes."""
    if frame(data) is None:
        return None
    if data[5] >> 3 <= 10:
        mode = data[6] >> 5
        # The flag of the low-frequency channel follows the mix levels, which depend on the mode (table 4.3).
        skipped = (2 if mode & 1 and mode != 1 else 0) + (2 if mode & 4 else 0) + (2 if mode == 2 else 0)
        low = int.from_bytes(data[6:8]) >> (12 - skipped) & 1
        return "ac3", _CHANNELS[mode] + low, _RATES[data[4] >> 6] >> max(0, (data[5] >> 3) - 8)
    code = data[4] >> 6
    rate = _RATES[code] if code < 3 else (24_000, 22_050, 16_000, 0)[data[4] >> 4 & 3]
    return "eac3", _CHANNELS[data[4] >> 1 & 7] + (data[4] & 1), rate


def samples_of(data: bytes) -> int:
    """Return samples in the syncframe at the start of the bytes: six blocks, or as many as E-AC-3 states."""
    if data[5] >> 3 <= 10 or data[4] >> 6 == 3:
        return 1536
    return 256 * (1, 2, 3, 6)[data[4] >> 4 & 3]


def _table() -> tuple[int, ...]:
    """Compute the CRC-16 of each byte, polynomial 0x8005 (ETSI TS 102 366, 6.1.7)."""
    values = []
    for byte in range(256):
        crc = byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x8005) & 0xFFFF if crc & 0x8000 else crc << 1
        values.append(crc)
    return tuple(values)


_CRC = _table()


def checksum_is_right(whole: bytes) -> bool:
    """Check a whole frame, AC-3 or E-AC-3, by its second CRC, which covers all behind the sync word."""
    crc = 0
    for byte in whole[2:]:
        crc = (crc << 8 & 0xFFFF) ^ _CRC[crc >> 8 ^ byte]
    return len(whole) > 7 and crc == 0


def structure(first: bytes) -> Structure:
    """Describe the stream that begins with this frame."""
    name = "ac3" if first[5] >> 3 <= 10 else "eac3"
    return Structure(name, "ac3", f"audio/{name}", "audio", (Track("audio", name),))
