"""Make a valid media file of any size: a QuickTime movie of uncompressed sound, every byte of it accounted for.

The file is ftyp, moov, free, mdat with a 64-bit size. Its sound is 48 kHz, two channels of 16 bits, in chunks of 1 MiB
that `co64` places; `free` takes up what is left over, so that any size can be met to the byte. Most of it is silence
that takes no room on the disk (a sparse file), and each chunk begins with its own number, so that bytes in the wrong
place are seen.
"""

from __future__ import annotations

import struct
from pathlib import Path

CHUNK_BYTES = 1024 * 1024
RATE = 48_000
FRAME_BYTES = 4
_FRAMES = CHUNK_BYTES // FRAME_BYTES
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_EPOCH = 3_800_000_000


def make_movie(path: Path, size_bytes: int) -> Path:
    """Write a movie of exactly *size_bytes*, 2 MiB or more."""
    ftyp = _box(b"ftyp", b"qt  ", struct.pack(">I", 0x20050300), b"qt  ")
    chunks = size_bytes // CHUNK_BYTES
    # The tables grow with the number of chunks: take one less until header and chunks fit, with 8 bytes for `free`.
    while (left := size_bytes - len(ftyp) - len(_moov(chunks, 0)) - 16 - chunks * CHUNK_BYTES) < 8:
        chunks -= 1
    start = size_bytes - chunks * CHUNK_BYTES
    head = ftyp + _moov(chunks, start) + struct.pack(">I4s", left, b"free")
    mdat = struct.pack(">I4sQ", 1, b"mdat", 16 + chunks * CHUNK_BYTES)
    with path.open("wb") as file:
        file.write(head)
        file.seek(start - len(mdat))
        file.write(mdat)
        for number in range(chunks):
            file.seek(start + number * CHUNK_BYTES)
            file.write(struct.pack(">Q", number + 1))
        file.truncate(size_bytes)
    return path


def _box(kind: bytes, *payload: bytes) -> bytes:
    body = b"".join(payload)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full(kind: bytes, *payload: bytes) -> bytes:
    """Make a box with version 0 and no flags."""
    return _box(kind, bytes(4), *payload)


def _moov(chunks: int, start: int) -> bytes:
    frames = chunks * _FRAMES
    times = struct.pack(">4I", _EPOCH, _EPOCH, RATE, frames)
    mvhd = _full(b"mvhd", times, struct.pack(">IH10x", 0x10000, 0x100), _MATRIX, bytes(24), struct.pack(">I", 2))
    tkhd = _box(
        b"tkhd",
        struct.pack(">I", 0x7),
        struct.pack(">3I4xI8x2h", _EPOCH, _EPOCH, 1, frames, 0, 0),
        struct.pack(">H2x", 0x100),
        _MATRIX,
        bytes(8),
    )
    mdhd = _full(b"mdhd", times, bytes(4))
    hdlr = _full(b"hdlr", b"mhlrsoun", bytes(12), b"\x05sound")
    dref = _full(b"dref", struct.pack(">I", 1), _box(b"alis", struct.pack(">I", 1)))
    minf = _box(b"minf", _full(b"smhd", bytes(4)), _data_handler(), _box(b"dinf", dref), _tables(chunks, start))
    return _box(b"moov", mvhd, _box(b"trak", tkhd, _box(b"mdia", mdhd, hdlr, minf)))


def _data_handler() -> bytes:
    return _full(b"hdlr", b"dhlralis", bytes(12), b"\x04data")


def _tables(chunks: int, start: int) -> bytes:
    """Make the sample tables; a sample is a frame of both channels."""
    sound = struct.pack(">6xH", 1) + struct.pack(">HHIHHhHI", 0, 0, 0, 2, 16, 0, 0, RATE << 16)
    return _box(
        b"stbl",
        _full(b"stsd", struct.pack(">I", 1), _box(b"twos", sound)),
        _full(b"stts", struct.pack(">3I", 1, chunks * _FRAMES, 1)),
        _full(b"stsc", struct.pack(">4I", 1, 1, _FRAMES, 1)),
        _full(b"stsz", struct.pack(">2I", FRAME_BYTES, chunks * _FRAMES)),
        _full(b"co64", struct.pack(">I", chunks), *(_offset(start, number) for number in range(chunks))),
    )


def _offset(start: int, number: int) -> bytes:
    return struct.pack(">Q", start + number * CHUNK_BYTES)
