"""Prove native FLAC: RFC 9639."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.detection.formats.endings import before_tags, something_follows
from gateway.detection.formats.payload import read_padding, refuse_text
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Structure, Track, broken, truncated

# Eight kinds of block are defined; several pictures are usual, 128 are not.
MAX_BLOCKS = 32
# A writer may get the length of a block wrong; players then look for the next frame. So does this, within one read.
RESYNC = 4096
_PADDING, _COMMENT = 1, 4


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like native FLAC."""
    return head[:4] == b"fLaC"


@dataclass(frozen=True, slots=True)
class _Info:
    """The numbers of STREAMINFO (RFC 9639, section 8.2)."""

    channels: int
    rate: int
    samples: int
    most_samples: int
    most_bytes: int


def look(source: Source) -> Look[Structure]:
    """Check STREAMINFO, hop over the metadata blocks and check the first and the last frame's header."""
    raw = yield from source.at(0, 42)
    if len(raw) < 42:
        raise truncated("its stream header", "flac")
    if raw[4] & 0x7F or int.from_bytes(raw[5:8]) != 34:
        raise broken("The first block is not STREAMINFO", "flac")
    low, high = int.from_bytes(raw[8:10]), int.from_bytes(raw[10:12])
    rate = int.from_bytes(raw[18:21]) >> 4
    samples = int.from_bytes(raw[21:26]) & 0xFFFFFFFFF
    if not 16 <= low <= 65535 or not max(low, 16) <= high or not rate:
        raise broken("The stream header names impossible sizes", "flac")
    info = _Info((raw[20] >> 1 & 7) + 1, rate, samples, high, int.from_bytes(raw[15:18]))
    first = yield from _audio(source)
    done = yield from _end(source, info, first)
    track = Track("audio", "flac", channels=info.channels, sample_rate_hz=rate)
    complete = None if done is None else done >= samples
    available = round(done / rate, 3) if done is not None and done < samples else None
    seconds = samples or done
    return Structure(
        "flac", "flac", "audio/flac", "audio", (track,), round(seconds / rate, 3) if seconds else None, None,
        ("stated" if samples else "counted") if seconds else None, complete, available,
    )  # fmt: skip


def _audio(source: Source) -> Look[int]:
    """Return the offset of the first frame."""
    position = 4
    for _ in range(MAX_BLOCKS):
        header = yield from source.at(position, 4)
        if len(header) < 4:
            raise truncated("its header, before any sound", "flac")
        if header[0] & 0x7F == 127:
            break
        end = position + 4 + int.from_bytes(header[1:4])
        if header[0] & 0x7F == _COMMENT:
            source.mark_tag(position + 4, end)
        elif header[0] & 0x7F == _PADDING:
            yield from read_padding(source, position + 4, end, "flac")
        position = end
        if header[0] & 0x80:
            break
    if position >= source.size:
        raise truncated("its header, before any sound", "flac")
    return (yield from _first_frame(source, position))


def _first_frame(source: Source, position: int) -> Look[int]:
    data = yield from source.at(position, RESYNC)
    at = data.find(b"\xff")
    for _ in range(256):
        if at < 0:
            break
        if is_frame(data[at : at + 16]):
            yield from refuse_text(source, position + at, "flac")
            return position + at
        at = data.find(b"\xff", at + 1)
    raise broken("No sound follows the header", "flac")


def _end(source: Source, info: _Info, first: int) -> Look[int | None]:
    """Find the last frame and return the samples up to its end, None where frames are too long to find it.

    Raises Refused when no frame stands near the end: something else follows the sound.
    """
    stop = yield from before_tags(source)
    tail = yield from source.tail()
    tail = tail[: max(0, len(tail) - (source.size - stop))]
    offset = stop - len(tail)
    sync = yield from source.at(first, 2)
    end = len(tail)
    for _ in range(64):
        at = tail.rfind(sync, 0, end)
        if at < 0 or offset + at < first:
            break
        if is_frame(tail[at : at + 16]):
            if info.most_bytes and len(tail[at:].rstrip(b"\x00")) > info.most_bytes + RESYNC:
                raise something_follows("FLAC")
            return _samples_to(tail[at : at + 16], info)
        end = at + 1
    if offset > first and not (info.most_bytes == 0 or info.most_bytes >= len(tail)):
        raise something_follows("FLAC")
    return None


def _samples_to(header: bytes, info: _Info) -> int:
    """Return the samples up to the end of a frame, which counts frames or samples (RFC 9639, 9.1.5)."""
    length = _coded_number(header[4])
    number = header[4] & (0x7F >> length if length > 1 else 0x7F)
    for byte in header[5 : 4 + length]:
        number = number << 6 | byte & 0x3F
    code = header[2] >> 4
    extra = header[4 + length : 4 + length + 2]
    block = {1: 192, 6: extra[0] + 1, 7: int.from_bytes(extra) + 1}.get(code)
    if block is None:
        block = 576 << (code - 2) if code < 6 else 256 << (code - 8)
    return (number if header[1] & 1 else number * info.most_samples) + block


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
