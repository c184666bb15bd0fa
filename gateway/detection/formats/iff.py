"""Prove AIFF, AIFF-C, CAF and Sun/NeXT AU: Apple's AIFF 1.3, AIFF-C draft, CAF 1.0; Sun's audio(4)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gateway.detection.formats.payload import read_padding, refuse_hidden, refuse_text
from gateway.detection.formats.riff import LEAST_SOUND, OPEN_SIZE, TAG_CHUNKS, mark_chunks, refuse_text_size
from gateway.detection.source import Source
from gateway.detection.verdict import DurationSource, Look, Structure, Track, broken, rounded, text, truncated

MAX_CHUNKS = 32
# Above every recorder.
MAX_RATE_HZ = 4_194_304
MAX_CHANNELS = 1024
# Three months, above every recording.
MAX_SECONDS = 8_000_000
# Sun's encodings with bytes a sample; 0 where samples are packed.
_AU = {1: ("pcm_mulaw", 1), 2: ("pcm_s8", 1), 3: ("pcm_s16be", 2), 4: ("pcm_s24be", 3), 5: ("pcm_s32be", 4),
       6: ("pcm_f32be", 4), 7: ("pcm_f64be", 8), 23: ("adpcm_g721", 0), 24: ("adpcm_g722", 0),
       25: ("adpcm_g723_3", 0), 26: ("adpcm_g723_5", 0), 27: ("pcm_alaw", 1)}  # fmt: skip
_AU_BITS = {23: 4, 24: 4, 25: 3, 26: 5}
_TEXT_CHUNKS = frozenset((b"NAME", b"AUTH", b"(c) ", b"ANNO", b"COMT")) | TAG_CHUNKS
# Samples of a channel in a block of compressed sound; COMM counts the blocks (QuickTime, "Sound Sample Descriptions").
_AIFC_PACKED = {b"ima4": 64, b"GSM ": 160, b"agsm": 160, b"MAC3": 6, b"MAC6": 6}
# AIFF-C types whose samples have a whole number of bytes.
_AIFC_PCM = {b"NONE": "be", b"twos": "be", b"sowt": "le", b"raw ": "be"}


@dataclass(frozen=True, slots=True)
class _Common:
    """The description of AIFF sound: track, frames, and the bytes of one frame (0 where packed)."""

    track: Track
    frames: int
    frame_bytes: int
    rate: float


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like AIFF, CAF or AU."""
    return (head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC")) or head[:4] in (b"caff", b".snd")


def look(source: Source) -> Look[Structure]:
    """Walk the chunks to the description and the sound data."""
    head = yield from source.at(0, 24)
    if head[:4] == b".snd":
        return (yield from _au(source, head))
    if head[:4] == b"caff":
        return (yield from _caf(source, head))
    return (yield from _aiff(source, head))


def _aiff(source: Source, head: bytes) -> Look[Structure]:
    refuse_text_size(head[4:8], 8 + int.from_bytes(head[4:8]), source, "aiff")
    common: _Common | None = None
    sound: tuple[int, int] | None = None
    position = 12
    for _ in range(MAX_CHUNKS):
        header = yield from source.at(position, 8)
        if len(header) < 8 or (common and sound):
            break
        name, size = header[:4], int.from_bytes(header[4:8])
        if name == b"COMM":
            data = yield from source.at(position + 8, 22)
            common = _common(data, size, compressed=head[8:12] == b"AIFC")
        elif name == b"SSND":
            sound = (position + 16, size - 8)
            there = source.size - position - 16
            if size > there + 8 and there < LEAST_SOUND:
                raise truncated("its sound data", "aiff")
            yield from refuse_text(source, position + 16, "aiff")
        elif not name.isascii() or not name.strip(b"\x00 "):
            raise broken("A chunk has an impossible name", "aiff")
        yield from refuse_hidden(source, name, position + 8, "aiff", skip=8 if name == b"SSND" else 0)
        if name in _TEXT_CHUNKS:
            source.mark_tag(position + 8, position + 8 + size)
        position += 8 + size + (size & 1)
    if common is None:
        raise truncated("its header, before the description of the sound (COMM)", "aiff")
    # A file without sound has nothing else either: its chunks end with it.
    if not sound and (common.frames or not -8 < position - source.size <= 1):
        raise truncated("its header, before the sound data", "aiff")
    yield from source.tail()
    mark_chunks(source, position, "big")
    end = min(8 + int.from_bytes(head[4:8]), source.size)
    return _aiff_structure(source, common, sound, max(end, min(position, source.size)))


def _aiff_structure(source: Source, common: _Common, sound: tuple[int, int] | None, end: int) -> Structure:
    cut = bool(sound and sound[0] + sound[1] > source.size)
    seconds = rounded(common.frames / common.rate)
    how: DurationSource | None = "stated" if seconds else None
    available = None
    if cut and sound and sound[1]:
        share = (source.size - sound[0]) / sound[1]
        available = round(common.frames * share / common.rate, 3)
    return Structure("aiff", "aiff", "audio/aiff", "audio", (common.track,), seconds, end, how, not cut, available)


def _common(data: bytes, size: int, *, compressed: bool) -> _Common:
    """Check COMM: channels, frames, bits, and the rate as an 80-bit float."""
    if len(data) < 18 or size < 18:
        raise truncated("the description of its sound (COMM)", "aiff")
    channels, frames, bits = int.from_bytes(data[:2]), int.from_bytes(data[2:6]), int.from_bytes(data[6:8])
    exponent, mantissa = int.from_bytes(data[8:10]), int.from_bytes(data[10:18])
    # 2**22 Hz is above every recorder; exponents are biased by 16,383.
    if not 1 <= channels <= MAX_CHANNELS or bits > 64 or not 16_383 <= exponent <= 16_405 or not mantissa >> 63:
        raise broken("The description of the sound (COMM) names impossible numbers", "aiff")
    rate = mantissa / 2.0 ** (63 - (exponent - 16_383))
    kind = data[18:22] if compressed and len(data) >= 22 else b"NONE"
    wide = (bits + 7) // 8
    codec = f"pcm_s{8 * wide}{_AIFC_PCM[kind]}" if kind in _AIFC_PCM and wide else text(kind)
    track = Track("audio", codec, channels=channels, sample_rate_hz=round(rate))
    packed = _AIFC_PACKED.get(kind, 1)
    return _Common(track, frames * packed, wide * channels if kind in _AIFC_PCM else 0, rate)


def _caf(source: Source, head: bytes) -> Look[Structure]:
    if len(head) < 24:
        raise truncated("its header", "caf")
    if head[4:6] != b"\x00\x01" or head[8:12] != b"desc" or int.from_bytes(head[12:20]) != 32:
        raise broken("The description of the sound (desc) does not come first", "caf")
    data = yield from source.at(20, 32)
    if len(data) < 32:
        raise truncated("the description of its sound (desc)", "caf")
    rate = struct.unpack(">d", data[:8])[0]
    channels = int.from_bytes(data[24:28])
    possible = 1 <= rate <= MAX_RATE_HZ and 1 <= channels <= MAX_CHANNELS
    if not possible or not data[8:12].isascii() or not data[8:12].strip(b"\x00 "):
        raise broken("The description of the sound (desc) names impossible numbers", "caf")
    return (yield from _caf_chunks(source, _caf_track(data, rate, channels), data, rate))


def _caf_track(data: bytes, rate: float, channels: int) -> Track:
    name = text(data[8:12])
    if name == "lpcm":
        flags, bits = int.from_bytes(data[12:16]), int.from_bytes(data[28:32])
        name = f"pcm_{'f' if flags & 1 else 's'}{bits}{'le' if flags & 2 else 'be'}"
    return Track("audio", name, channels=channels, sample_rate_hz=round(rate))


@dataclass(slots=True)
class _Caf:
    """The chunks seen so far: where the sound is and how long, and the frames of the packet table."""

    sound: tuple[int, int] | None = None
    has_table: bool = False
    frames: int = 0


def _caf_chunks(source: Source, track: Track, desc: bytes, rate: float) -> Look[Structure]:
    """Walk to the sound data and the packet table, which compressed sound cannot be played without."""
    packet_bytes, packet_frames = int.from_bytes(desc[16:20]), int.from_bytes(desc[20:24])
    position, caf = 52, _Caf()
    for _ in range(MAX_CHUNKS):
        chunk = yield from source.at(position, 12)
        if len(chunk) < 12 or (caf.sound and (caf.has_table or packet_bytes)):
            break
        name, size = chunk[:4], int.from_bytes(chunk[4:12], signed=True)
        yield from _caf_chunk(source, caf, name, position, size)
        position = source.size if size < 0 else position + 12 + size
    if caf.sound is None:
        raise truncated("its header, before the sound data", "caf")
    if not packet_bytes and not caf.has_table:
        raise truncated("its sound, before the table of its packets (pakt)", "caf")
    counted = _caf_seconds(source, caf, packet_bytes, packet_frames, rate)
    size, there = caf.sound[1], source.size - caf.sound[0]
    cut = size > there
    how: DurationSource = "counted" if packet_bytes else "stated"
    return Structure(
        "caf", "caf", "audio/x-caf", "audio", (track,), counted, None if size < 0 else min(position, source.size),
        how if counted else None, None if size < 0 else not cut, counted if cut else None,
    )  # fmt: skip


def _caf_seconds(source: Source, caf: _Caf, packet_bytes: int, packet_frames: int, rate: float) -> float | None:
    """Count the sound by its packets, or take the frames that the packet table states."""
    assert caf.sound is not None
    start, size = caf.sound
    there = source.size - start
    # Four bytes of edit count stand before the samples.
    held = (min(size, there) if size >= 0 else there) - 4
    seconds = held / packet_bytes * packet_frames / rate if packet_bytes and packet_frames else caf.frames / rate
    # FFmpeg leaves the frames of FLAC unwritten in the table.
    return round(seconds, 3) if 0 < seconds < MAX_SECONDS else None


def _caf_chunk(source: Source, caf: _Caf, name: bytes, position: int, size: int) -> Look[None]:
    """Take the needed facts from one chunk."""
    yield from refuse_hidden(source, name, position + 12, "caf")
    if name == b"data":
        yield from _caf_data(source, position, size)
        caf.sound = (position + 12, size)
        return
    if size < 0 or not name.isascii():
        raise broken("A chunk has an impossible size", "caf")
    if name == b"pakt":
        caf.has_table = True
        caf.frames = int.from_bytes((yield from source.at(position + 20, 8)))
    elif name == b"free":
        yield from read_padding(source, position + 12, position + 12 + size, "caf")
    elif name in (b"info", b"strg"):
        source.mark_tag(position + 12, position + 12 + size)


def _caf_data(source: Source, position: int, size: int) -> Look[None]:
    there = source.size - position - 12
    if size > there and there < LEAST_SOUND:
        raise truncated("its sound data", "caf")
    yield from refuse_text(source, position + 16, "caf")


def _au(source: Source, head: bytes) -> Look[Structure]:
    if len(head) < 24:
        raise truncated("its header", "au")
    offset, size, encoding, rate, channels = (int.from_bytes(head[at : at + 4]) for at in range(4, 24, 4))
    # The annotation between header and sound is short text; 64 KiB is far beyond any.
    possible = 1 <= rate <= MAX_RATE_HZ and 1 <= channels <= MAX_CHANNELS
    if not 24 <= offset <= 65_536 or encoding not in _AU or not possible:
        raise broken("The header names impossible numbers", "au")
    if offset > source.size:
        raise truncated("its header", "au")
    yield from refuse_hidden(source, b"annotation", 24, "au")
    source.mark_tag(24, offset)
    yield from refuse_hidden(source, b"sound", offset, "au")
    yield from refuse_text(source, offset, "au")
    codec, width = _AU[encoding]
    there = source.size - offset
    is_open = size == OPEN_SIZE
    if not is_open and size > there and there < min(LEAST_SOUND, size // 4):
        raise truncated("its sound data", "au")
    sound = there if is_open else min(size, there)
    frame_bits = (8 * width or _AU_BITS[encoding]) * channels
    seconds = rounded(8 * sound / frame_bits / rate)
    track = Track("audio", codec, channels=channels, sample_rate_hz=rate)
    cut = not is_open and size > there
    return Structure(
        "au", "au", "audio/basic", "audio", (track,), seconds, None if is_open else offset + sound,
        "counted" if seconds else None, None if is_open else not cut, seconds if cut else None,
    )  # fmt: skip
