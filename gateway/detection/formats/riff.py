"""Prove WAV, RF64, BW64 and Sony Wave64: Microsoft RIFF, EBU Tech 3306, ITU-R BS.2088."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.detection.formats.payload import SPAN, read_padding, refuse_hidden, refuse_text
from gateway.detection.formats.wave_format import WaveFormat, describe, duration_of
from gateway.detection.source import Source
from gateway.detection.verdict import DurationSource, Look, Structure, broken, truncated

MAX_CHUNKS = 32
# A size that the writer did not know: a stream, or more than 4 GiB.
OPEN_SIZE = 0xFFFFFFFF
# A header promises sound; fewer bytes than this after it are none.
LEAST_SOUND = 1024
# Chunks that contain text by definition: INFO lists, notes of broadcasters and editors, tags.
TAG_CHUNKS = frozenset((b"LIST", b"bext", b"iXML", b"axml", b"_PMX", b"id3 ", b"ID3 ", b"cart", b"afsp", b"DISP",
                        b"aXML", b"note", b"labl", b"ltxt", b"adtl", b"umid", b"SMED", b"LGWV"))  # fmt: skip
_PADDING = frozenset((b"JUNK", b"junk", b"PAD ", b"FLLR", b"filr"))
_PRINTABLE = frozenset((*range(0x20, 0x7F), 9, 10, 13))
_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_WAVE = bytes.fromhex("77617665f3acd3118cd100c04f8edb8a")
_W64_SUFFIX = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_W64_HEADER = 24


@dataclass(slots=True)
class _Wave:
    """The numbers of the chunks before the sound."""

    riff_size: int
    long_sizes: dict[bytes, int] = field(default_factory=dict)
    format: WaveFormat | None = None
    samples: int = 0


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like RIFF audio."""
    return (head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE") or head[:16] == _W64_RIFF


def look(source: Source) -> Look[Structure]:
    """Walk the chunks to fmt and data."""
    head = yield from source.at(0, 40)
    if head[:16] == _W64_RIFF:
        return (yield from _wave64(source, head))
    return (yield from _wave(source, head))


def refuse_text_size(raw: bytes, stated_end: int, source: Source, container: str) -> None:
    """Raise Refused when the size of the file is text: `RIFF=1/*` begins a program in JavaScript or of a shell."""
    if all(byte in _PRINTABLE for byte in raw) and not stated_end <= source.size <= stated_end + 64:
        raise broken("The size in the header is text", container)


def _wave(source: Source, head: bytes) -> Look[Structure]:
    refuse_text_size(head[4:8], 8 + int.from_bytes(head[4:8], "little"), source, "wav")
    wave = _Wave(int.from_bytes(head[4:8], "little"))
    position = 12
    for _ in range(MAX_CHUNKS):
        header = yield from source.at(position, 8)
        if len(header) < 8:
            break
        name, size = header[:4], int.from_bytes(header[4:8], "little")
        body = position + 8
        if name == b"data":
            return (yield from _data(source, wave, body, size))
        if not name.isascii() or not name.strip(b"\x00 "):
            # A writer that forgot, or doubled, the pad byte of an odd chunk: find the next name within a few bytes.
            position = yield from _resync(source, position)
            continue
        yield from _note(source, wave, name, body, size)
        position = body + size + (size & 1)
    if wave.format is None:
        raise broken("The file has no format chunk (fmt)", "wav")
    raise truncated("its header, before the sound data", "wav")


def _note(source: Source, wave: _Wave, name: bytes, body: int, size: int) -> Look[None]:
    """Read one chunk before the sound."""
    if name == b"ds64" and body == 20:
        sizes = yield from source.at(body, 24)
        wave.long_sizes = {
            b"data": int.from_bytes(sizes[8:16], "little"),
            b"RIFF": int.from_bytes(sizes[:8], "little"),
        }
    elif name == b"fmt ":
        if size > 4096:
            raise broken("The format chunk has an impossible size", "wav")
        wave.format = describe((yield from source.at(body, size)))
    else:
        if name == b"fact":
            wave.samples = int.from_bytes((yield from source.at(body, 4)), "little")
        yield from refuse_hidden(source, name, body, "wav", skip=4)
        if name in TAG_CHUNKS:
            source.mark_tag(body, body + size)
        elif name in _PADDING:
            yield from read_padding(source, body, body + size, "wav")


def _resync(source: Source, position: int) -> Look[int]:
    near = yield from source.at(position, 12)
    for shift in range(1, 5):
        if near[shift : shift + 4] in (b"data", b"LIST", b"fact", b"id3 ", b"ID3 ", b"fmt ", b"bext", b"JUNK"):
            return position + shift
    raise broken("A chunk has an impossible name", "wav")


def _data(source: Source, wave: _Wave, body: int, size: int) -> Look[Structure]:
    if wave.format is None:
        raise broken("The sound data comes before its format (fmt)", "wav")
    is_open = size == OPEN_SIZE and not wave.long_sizes
    if size == OPEN_SIZE:
        size = wave.long_sizes.get(b"data", source.size - body)
    there = max(0, source.size - body)
    # A recorder that died leaves a long promise and real sound; a header with a few bytes after it is neither.
    if size > there and there < min(LEAST_SOUND, size // 2 + 1):
        raise truncated("its sound data", "wav")
    if not size and there > LEAST_SOUND and not wave.riff_size:
        # Recorders that died before they wrote any size.
        size, is_open = there, True
    yield from refuse_hidden(source, b"data", body, "wav")
    yield from _refuse_text(source, body, size)
    sound = min(size, there)
    end = body + sound
    outer = wave.long_sizes.get(b"RIFF", wave.riff_size) + 8
    yield from source.tail()
    mark_chunks(source, end + (end & 1), "little")
    seconds, how = _seconds(wave, sound, cut=size > there)
    return Structure(
        "wav",
        "wav",
        "audio/vnd.wave",
        "audio",
        (wave.format.track,),
        seconds,
        None if is_open else max(end, min(outer, source.size)),
        how,
        None if is_open else size <= there,
        seconds if size > there else None,
    )


def _seconds(wave: _Wave, sound: int, *, cut: bool) -> tuple[float | None, DurationSource | None]:
    assert wave.format is not None
    counted = wave.format.seconds(sound)
    if wave.format.block_samples or cut or not wave.samples:
        return counted, "counted" if counted is not None and wave.format.block_samples else "estimated"
    return duration_of(wave.samples, wave.format.track.sample_rate_hz) or counted, "stated"


def mark_chunks(source: Source, position: int, order: str) -> None:
    """Mark the tags after the sound in the bytes that were read already."""
    for _ in range(MAX_CHUNKS):
        header = source.cached(position, 8)
        if not header or len(header) < 8:
            return
        size = int.from_bytes(header[4:8], "little" if order == "little" else "big")
        if header[:4] in TAG_CHUNKS or header[:4] in (b"NAME", b"AUTH", b"(c) ", b"ANNO", b"COMT"):
            source.mark_tag(position + 8, position + 8 + size)
        position += 8 + size + (size & 1)


def _refuse_text(source: Source, body: int, size: int) -> Look[None]:
    """Check the sound, and where there is nearly none the bytes that stand in its place."""
    yield from refuse_text(source, body, "wav", size)
    after = body + size + (size & 1)
    if size < SPAN and after < source.size:
        # A recorder that died has written no size, or a chunk follows. Other bytes may be text.
        header = yield from source.at(after, 8)
        fits = after + 8 + int.from_bytes(header[4:8], "little") <= source.size + 1
        if not (fits and header[:4].isascii()):
            yield from refuse_text(source, after, "wav")


def _wave64(source: Source, head: bytes) -> Look[Structure]:
    """Sony Wave64: GUIDs and 64-bit sizes that include the 24-byte header, aligned to 8."""
    if head[24:40] != _W64_WAVE:
        raise broken("The Wave64 file does not say that it is sound", "w64")
    sound_format: WaveFormat | None = None
    stated = int.from_bytes(head[16:24], "little")
    position = 40
    for _ in range(MAX_CHUNKS):
        header = yield from source.at(position, _W64_HEADER)
        if len(header) < _W64_HEADER:
            break
        size = int.from_bytes(header[16:24], "little")
        if size < _W64_HEADER:
            raise broken("A chunk has an impossible size", "w64")
        if header[4:16] == _W64_SUFFIX and header[:4] == b"fmt ":
            sound_format = describe((yield from source.at(position + _W64_HEADER, min(size - _W64_HEADER, 4096))))
        elif header[4:16] == _W64_SUFFIX and header[:4] == b"data":
            if sound_format is None:
                raise broken("The sound data comes before its format (fmt)", "w64")
            return (yield from _w64_data(source, sound_format, position, size, stated))
        position += (size + 7) & ~7
    raise truncated("its header, before the sound data", "w64")


def _w64_data(source: Source, sound_format: WaveFormat, position: int, size: int, stated: int) -> Look[Structure]:
    there = source.size - position
    if size > there and there < LEAST_SOUND:
        raise truncated("its sound data", "w64")
    yield from refuse_text(source, position + _W64_HEADER, "w64")
    # FFmpeg writes the largest number where it cannot go back.
    is_open = size >= 1 << 62
    seconds = sound_format.seconds(min(size, there) - _W64_HEADER)
    cut = size > there and not is_open
    end = max(min(stated, source.size), position + min(size, there))
    return Structure(
        "w64",
        "wav",
        "audio/x-w64",
        "audio",
        (sound_format.track,),
        seconds,
        None if is_open else end,
        "counted" if sound_format.block_samples else "estimated",
        None if is_open else not cut,
        seconds if cut else None,
    )
