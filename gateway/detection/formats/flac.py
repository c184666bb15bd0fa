"""Prove native FLAC: RFC 9639."""

from __future__ import annotations

from gateway.detection.formats.payload import refuse_text
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Structure, Track, broken, truncated

# Eight kinds of block are defined; several pictures are usual, 128 are not.
MAX_BLOCKS = 32
# A writer may get the length of a block wrong; players then look for the next frame. So does this, within one read.
RESYNC = 4096


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like native FLAC."""
    return head[:4] == b"fLaC"


def look(source: Source, position: int = 0) -> Look[Structure]:
    """Check STREAMINFO, hop over the metadata blocks and check the first frame's header."""
    info = yield from source.at(position, 42)
    if len(info) < 42:
        raise truncated("its stream header", "flac")
    if info[4] & 0x7F or int.from_bytes(info[5:8]) != 34:
        raise broken("The first block is not STREAMINFO", "flac")
    low, high = int.from_bytes(info[8:10]), int.from_bytes(info[10:12])
    rate = int.from_bytes(info[18:21]) >> 4
    samples = int.from_bytes(info[21:26]) & 0xFFFFFFFFF
    if not 16 <= low <= 65535 or not max(low, 16) <= high or not rate:
        raise broken("The stream header names impossible sizes", "flac")
    yield from _audio(source, position + 4)
    duration = round(samples / rate, 3) if samples else None
    return Structure("flac", "flac", "audio/flac", "audio", (Track("audio", "flac"),), duration)


def _audio(source: Source, position: int) -> Look[None]:
    for _ in range(MAX_BLOCKS):
        header = yield from source.at(position, 4)
        if len(header) < 4:
            raise truncated("its header, before any sound", "flac")
        if header[0] & 0x7F == 127:
            break
        position += 4 + int.from_bytes(header[1:4])
        if header[0] & 0x80:
            break
    if position >= source.size:
        raise truncated("its header, before any sound", "flac")
    data = yield from source.at(position, RESYNC)
    at = data.find(b"\xff", 0)
    for _ in range(256):
        if at < 0:
            break
        if is_frame(data[at : at + 16]):
            yield from refuse_text(source, position + at, "flac")
            return
        at = data.find(b"\xff", at + 1)
    raise broken("No sound follows the header", "flac")


def is_frame(data: bytes) -> bool:
    """Check a frame header with its CRC-8 (RFC 9639, section 9.1)."""
    if len(data) < 6 or data[0] != 0xFF or data[1] & 0xFE != 0xF8:
        return False
    block, rate = data[2] >> 4, data[2] & 15
    if block == 0 or rate == 15 or data[3] >> 4 > 10 or data[3] & 1:
        return False
    length = 4 + _coded_number(data[4])
    length += (block == 6) + 2 * (block == 7) + (rate == 12) + 2 * (rate in (13, 14))
    return length < len(data) and _crc8(data[:length]) == data[length]


def _coded_number(first: int) -> int:
    """Return the length of a number in the UTF-8-like code, 1 to 7 bytes."""
    ones = 8 - (first ^ 0xFF).bit_length()
    return max(ones, 1)


def _crc8(data: bytes) -> int:
    """Compute the CRC-8 with polynomial 0x07 of a header of at most 15 bytes."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1) ^ 0x107 if crc & 0x80 else crc << 1
    return crc
