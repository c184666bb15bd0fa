"""Compute the unreflected CRC-32 of Ogg and MPEG-TS at the speed of zlib, which has only the reflected one.

Both use the polynomial 0x04C11DB7. Mirroring every byte in, and the result out, turns one into the other.
"""

from __future__ import annotations

import zlib

_MIRROR = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_ONES = 0xFFFFFFFF


def _mirrored(value: int) -> int:
    return int.from_bytes(value.to_bytes(4).translate(_MIRROR), "little")


def ogg_crc(page: bytes) -> int:
    """Return the checksum of a page whose checksum field is zero: register starts at 0 (RFC 3533, section 6)."""
    return _mirrored(zlib.crc32(page.translate(_MIRROR), _ONES) ^ _ONES)


def mpeg_crc(section: bytes) -> int:
    """Return the CRC of a PSI section with its CRC: 0 when it is right (ISO/IEC 13818-1, annex A)."""
    return _mirrored(zlib.crc32(section.translate(_MIRROR)) ^ _ONES)
