"""Prove WAV, RF64, BW64 and Sony Wave64: Microsoft RIFF, EBU Tech 3306, ITU-R BS.2088."""

from __future__ import annotations

from gateway.detection.formats.payload import SPAN, refuse_hidden, refuse_text
from gateway.detection.formats.wave_format import describe
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Structure, Track, broken, truncated

MAX_CHUNKS = 32
_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_WAVE = bytes.fromhex("77617665f3acd3118cd100c04f8edb8a")
_W64_SUFFIX = bytes.fromhex("f3acd3118cd100c04f8edb8a")


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like RIFF audio."""
    return (head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE") or head[:16] == _W64_RIFF


def look(source: Source) -> Look[Structure]:
    """Walk the chunks to fmt and data."""
    head = yield from source.at(0, 40)
    if head[:16] == _W64_RIFF:
        return (yield from _wave64(source, head))
    return (yield from _wave(source, head))


def _wave(source: Source, head: bytes) -> Look[Structure]:
    container = "wav"
    riff_size = int.from_bytes(head[4:8], "little")
    long_sizes: dict[bytes, int] = {}
    track: Track | None = None
    byte_rate = 0
    position = 12
    for _ in range(MAX_CHUNKS):
        header = yield from source.at(position, 8)
        if len(header) < 8:
            break
        name, size = header[:4], int.from_bytes(header[4:8], "little")
        body = position + 8
        if name == b"ds64" and position == 12:
            sizes = yield from source.at(body, 24)
            long_sizes = {b"data": int.from_bytes(sizes[8:16], "little"), b"RIFF": int.from_bytes(sizes[:8], "little")}
        elif name == b"fmt ":
            if size > 4096:
                raise broken("The format chunk has an impossible size", container)
            track, byte_rate, _ = describe((yield from source.at(body, size)))
        elif name == b"data":
            return (yield from _data(source, body, size, track, byte_rate, long_sizes, riff_size))
        elif not name.isascii() or not name.strip(b"\x00 "):
            # A writer that forgot, or doubled, the pad byte of an odd chunk: find the next name within a few bytes.
            position = yield from _resync(source, position)
            continue
        else:
            yield from refuse_hidden(source, name, body, container, skip=4)
        position = body + size + (size & 1)
    if track is None:
        raise broken("The file has no format chunk (fmt)", container)
    raise truncated("its header, before the sound data", container)


def _resync(source: Source, position: int) -> Look[int]:
    near = yield from source.at(position, 12)
    for shift in range(1, 5):
        if near[shift : shift + 4] in (b"data", b"LIST", b"fact", b"id3 ", b"ID3 ", b"fmt ", b"bext", b"JUNK"):
            return position + shift
    raise broken("A chunk has an impossible name", "wav")


def _data(
    source: Source, body: int, size: int, track: Track | None, byte_rate: int, long_sizes: dict[bytes, int], riff: int
) -> Look[Structure]:
    if track is None:
        raise broken("The sound data comes before its format (fmt)", "wav")
    if size == 0xFFFFFFFF:
        size = long_sizes.get(b"data", source.size - body)
    there = max(0, source.size - body)
    # A recorder that died leaves a long promise and real sound; a header with a few bytes behind it is neither.
    if size > there and there < 1024:
        raise truncated("its sound data", "wav")
    yield from refuse_hidden(source, b"data", body, "wav")
    yield from _refuse_text(source, body, size)
    end = body + min(size, there)
    duration = round(min(size, there) / byte_rate, 3) if byte_rate else None
    outer = long_sizes.get(b"RIFF", riff) + 8
    end = max(end, min(outer, source.size))
    return Structure("wav", "wav", "audio/vnd.wave", "audio", (track,), duration, end)


def _refuse_text(source: Source, body: int, size: int) -> Look[None]:
    """Look at the sound, and where there is nearly none at what stands in its place."""
    yield from refuse_text(source, body, "wav", size)
    behind = body + size + (size & 1)
    if size < SPAN and behind < source.size:
        # A recorder that died has written no size, or a chunk follows. What is neither may be text.
        header = yield from source.at(behind, 8)
        fits = behind + 8 + int.from_bytes(header[4:8], "little") <= source.size + 1
        if not (fits and header[:4].isascii()):
            yield from refuse_text(source, behind, "wav")


def _wave64(source: Source, head: bytes) -> Look[Structure]:
    """Sony Wave64: GUIDs and 64-bit sizes that include the 24-byte header, aligned to 8."""
    if head[24:40] != _W64_WAVE:
        raise broken("The Wave64 file does not say that it is sound", "w64")
    track: Track | None = None
    byte_rate = 0
    position = 40
    for _ in range(MAX_CHUNKS):
        header = yield from source.at(position, 24)
        if len(header) < 24:
            break
        size = int.from_bytes(header[16:24], "little")
        if size < 24:
            raise broken("A chunk has an impossible size", "w64")
        if header[4:16] == _W64_SUFFIX and header[:4] == b"fmt ":
            track, byte_rate, _ = describe((yield from source.at(position + 24, min(size - 24, 4096))))
        elif header[4:16] == _W64_SUFFIX and header[:4] == b"data":
            there = source.size - position
            if track is None:
                raise broken("The sound data comes before its format (fmt)", "w64")
            if size > there and there < 1024:
                raise truncated("its sound data", "w64")
            yield from refuse_text(source, position + 24, "w64")
            duration = round(min(size, there) / byte_rate, 3) if byte_rate else None
            return Structure("w64", "wav", "audio/x-w64", "audio", (track,), duration)
        position += (size + 7) & ~7
    raise truncated("its header, before the sound data", "w64")
