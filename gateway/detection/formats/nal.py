"""Read picture size and rate from the parameter sets of H.264 (ITU-T H.264, 7.3.2.1) and HEVC (H.265, 7.3.2.2)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.detection.formats.bits import BitReader

_H264_SPS, _HEVC_SPS = 7, 33
# Profiles whose parameter set has the fields of chroma and scaling (H.264, 7.3.2.1.1).
_HIGH = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
# No level allows larger pictures; a parameter set is far shorter than this.
MAX_SIDE = 16_384
MAX_SPS = 512
_EXTENDED_ASPECT = 255


@dataclass(frozen=True, slots=True)
class Picture:
    """Size in pixels, pictures per second (None where not stated), and the codec name with profile and level."""

    width: int
    height: int
    frame_rate: float | None
    codec: str


def unescape(unit: bytes) -> bytes:
    """Remove the bytes that keep start codes out of a unit (H.264, 7.4.1)."""
    return unit.replace(b"\x00\x00\x03", b"\x00\x00")


def units(data: bytes, most: int = 64) -> list[bytes]:
    """Return the units between start codes, without those codes (H.264, annex B)."""
    found: list[bytes] = []
    at = data.find(b"\x00\x00\x01")
    while at >= 0 and len(found) < most:
        following = data.find(b"\x00\x00\x01", at + 3)
        found.append(data[at + 3 : following if following >= 0 else len(data)])
        at = following
    return found


def picture_in(data: bytes) -> Picture | None:
    """Return the picture of the first parameter set in a byte stream of H.264 or HEVC."""
    for unit in units(data):
        if len(unit) < 8:
            continue
        if unit[0] & 0x9F == _H264_SPS and (found := h264_picture(unit)):
            return found
        if unit[0] >> 1 & 0x3F == _HEVC_SPS and not unit[0] & 0x81 and (found := hevc_picture(unit)):
            return found
    return None


def h264_picture(unit: bytes) -> Picture | None:
    """Read an H.264 sequence parameter set, its header byte included; None where its numbers are impossible."""
    data = unescape(unit[:MAX_SPS])
    if len(data) < 6:
        return None
    bits = BitReader(data[4:])
    bits.unsigned()
    chroma = _skip_high_profile(bits) if data[1] in _HIGH else 1
    bits.unsigned()
    _skip_order_count(bits)
    bits.unsigned()
    bits.skip(1)
    width, height = 16 * (bits.unsigned() + 1), 16 * (bits.unsigned() + 1)
    whole_frames = bits.take(1)
    height *= 2 - whole_frames
    bits.skip(1 if whole_frames else 2)
    if bits.take(1):
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        width -= (left + right) * (2 if chroma in (1, 2) else 1)
        height -= (top + bottom) * (2 if chroma == 1 else 1) * (2 - whole_frames)
    rate = _h264_rate(bits) if bits.take(1) else None
    if bits.overrun or not 0 < width <= MAX_SIDE or not 0 < height <= MAX_SIDE:
        return None
    return Picture(width, height, rate, f"avc1.{data[1:4].hex()}")


def _skip_high_profile(bits: BitReader) -> int:
    """Pass over the fields of high profiles and return the chroma format."""
    chroma = bits.unsigned()
    if chroma == 3:
        bits.skip(1)
    bits.unsigned()
    bits.unsigned()
    bits.skip(1)
    if bits.take(1):
        for index in range(8 if chroma != 3 else 12):
            if bits.take(1):
                _skip_scaling(bits, 16 if index < 6 else 64)
    return chroma


def _skip_scaling(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _skip_order_count(bits: BitReader) -> None:
    kind = bits.unsigned()
    if kind == 0:
        bits.unsigned()
    elif kind == 1:
        bits.skip(1)
        bits.signed()
        bits.signed()
        for _ in range(min(bits.unsigned(), 255)):
            bits.signed()


def _h264_rate(bits: BitReader) -> float | None:
    """Read pictures per second from the usability information (H.264, annex E.1.1)."""
    if bits.take(1) and bits.take(8) == _EXTENDED_ASPECT:
        bits.skip(32)
    if bits.take(1):
        bits.skip(1)
    if bits.take(1):
        bits.skip(4)
        if bits.take(1):
            bits.skip(24)
    if bits.take(1):
        bits.unsigned()
        bits.unsigned()
    if not bits.take(1):
        return None
    units_in_tick, scale = bits.take(32), bits.take(32)
    rate = scale / (2 * units_in_tick) if units_in_tick else 0
    return round(rate, 3) if 0 < rate <= 1000 and not bits.overrun else None


def hevc_picture(unit: bytes) -> Picture | None:
    """Read an HEVC sequence parameter set, its two header bytes included; None where its numbers are impossible."""
    data = unescape(unit[:MAX_SPS])
    bits = BitReader(data[2:])
    bits.skip(4)
    layers = bits.take(3)
    bits.skip(1)
    profile = bits.take(8) & 0x1F
    bits.skip(80)
    level = bits.take(8)
    flags = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.skip(2 * (8 - layers))
    for has_profile, has_level in flags:
        bits.skip(88 * has_profile + 8 * has_level)
    bits.unsigned()
    chroma = bits.unsigned()
    if chroma == 3:
        bits.skip(1)
    width, height = bits.unsigned(), bits.unsigned()
    if bits.take(1):
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        width -= (left + right) * (2 if chroma in (1, 2) else 1)
        height -= (top + bottom) * (2 if chroma == 1 else 1)
    if bits.overrun or not 0 < width <= MAX_SIDE or not 0 < height <= MAX_SIDE or chroma > 3:
        return None
    return Picture(width, height, None, f"hvc1.{profile}.L{level}")
