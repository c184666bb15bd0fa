"""Prove AIFF, AIFF-C, CAF and Sun/NeXT AU: Apple's AIFF 1.3, AIFF-C draft, CAF 1.0; Sun's audio(4)."""

from __future__ import annotations

import struct

from gateway.detection.formats.payload import refuse_hidden, refuse_text
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Structure, Track, broken, text, truncated

MAX_CHUNKS = 32
# Sun's encodings with bytes a sample; 0 where samples are packed.
_AU = {1: ("pcm_mulaw", 1), 2: ("pcm_s8", 1), 3: ("pcm_s16be", 2), 4: ("pcm_s24be", 3), 5: ("pcm_s32be", 4),
       6: ("pcm_f32be", 4), 7: ("pcm_f64be", 8), 23: ("adpcm_g721", 0), 24: ("adpcm_g722", 0),
       25: ("adpcm_g723_3", 0), 26: ("adpcm_g723_5", 0), 27: ("pcm_alaw", 1)}  # fmt: skip


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
    track: Track | None = None
    duration: float | None = None
    frames = has_data = 0
    position = 12
    for _ in range(MAX_CHUNKS):
        header = yield from source.at(position, 8)
        if len(header) < 8 or (track and has_data):
            break
        name, size = header[:4], int.from_bytes(header[4:8])
        if name == b"COMM":
            data = yield from source.at(position + 8, 22)
            track, frames, duration = _common(data, size, compressed=head[8:12] == b"AIFC")
        elif name == b"SSND":
            there = source.size - position - 16
            if size > there + 8 and there < 1024:
                raise truncated("its sound data", "aiff")
            has_data = 1
            yield from refuse_text(source, position + 16, "aiff")
        elif not name.isascii() or not name.strip(b"\x00 "):
            raise broken("A chunk has an impossible name", "aiff")
        yield from refuse_hidden(source, name, position + 8, "aiff", skip=8 if name == b"SSND" else 0)
        position += 8 + size + (size & 1)
    if track is None:
        raise truncated("its header, before the description of the sound (COMM)", "aiff")
    # A file without sound has nothing else either: its chunks end with it.
    if not has_data and (frames or not -8 < position - source.size <= 1):
        raise truncated("its header, before the sound data", "aiff")
    end = min(8 + int.from_bytes(head[4:8]), source.size)
    return Structure("aiff", "aiff", "audio/aiff", "audio", (track,), duration, max(end, min(position, source.size)))


def _common(data: bytes, size: int, *, compressed: bool) -> tuple[Track, int, float | None]:
    """Check COMM: channels, frames, bits, and the rate as an 80-bit float."""
    if len(data) < 18 or size < 18:
        raise truncated("the description of its sound (COMM)", "aiff")
    channels, frames, bits = int.from_bytes(data[:2]), int.from_bytes(data[2:6]), int.from_bytes(data[6:8])
    exponent, mantissa = int.from_bytes(data[8:10]), int.from_bytes(data[10:18])
    # 2**22 Hz is above every recorder; exponents are biased by 16,383.
    if not 1 <= channels <= 1024 or bits > 64 or not 16_383 <= exponent <= 16_405 or not mantissa >> 63:
        raise broken("The description of the sound (COMM) names impossible numbers", "aiff")
    rate = mantissa / 2.0 ** (63 - (exponent - 16_383))
    codec = text(data[18:22]) if compressed and len(data) >= 22 else "pcm"
    return Track("audio", codec), frames, round(frames / rate, 3)


def _caf(source: Source, head: bytes) -> Look[Structure]:
    if len(head) < 24:
        raise truncated("its header", "caf")
    if head[4:6] != b"\x00\x01" or head[8:12] != b"desc" or int.from_bytes(head[12:20]) != 32:
        raise broken("The description of the sound (desc) does not come first", "caf")
    data = yield from source.at(20, 32)
    if len(data) < 32:
        raise truncated("the description of its sound (desc)", "caf")
    rate = struct.unpack(">d", data[:8])[0]
    codec, packet_bytes, packet_frames = data[8:12], int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    channels = int.from_bytes(data[24:28])
    if not 1 <= rate <= 4_194_304 or not 1 <= channels <= 1024 or not codec.isascii() or not codec.strip(b"\x00 "):
        raise broken("The description of the sound (desc) names impossible numbers", "caf")
    position = 52
    for _ in range(MAX_CHUNKS):
        chunk = yield from source.at(position, 12)
        if len(chunk) < 12:
            break
        size = int.from_bytes(chunk[4:12], signed=True)
        yield from refuse_hidden(source, chunk[:4], position + 12, "caf")
        if chunk[:4] == b"data":
            there = source.size - position - 12
            if size > there and there < 1024:
                raise truncated("its sound data", "caf")
            yield from refuse_text(source, position + 16, "caf")
            # Four bytes of edit count stand before the samples.
            sound = (min(size, there) if size >= 0 else there) - 4
            known = packet_bytes and packet_frames
            duration = round(sound / packet_bytes * packet_frames / rate, 3) if known and sound > 0 else None
            track = Track("audio", text(codec))
            return Structure("caf", "caf", "audio/x-caf", "audio", (track,), duration)
        if size < 0 or not chunk[:4].isascii():
            raise broken("A chunk has an impossible size", "caf")
        position += 12 + size
    raise truncated("its header, before the sound data", "caf")


def _au(source: Source, head: bytes) -> Look[Structure]:
    if len(head) < 24:
        raise truncated("its header", "au")
    offset, size, encoding, rate, channels = (int.from_bytes(head[at : at + 4]) for at in range(4, 24, 4))
    # The annotation between header and sound is short text; 64 KiB is far beyond any.
    if not 24 <= offset <= 65_536 or encoding not in _AU or not 1 <= rate <= 4_194_304 or not 1 <= channels <= 1024:
        raise broken("The header names impossible numbers", "au")
    if offset > source.size:
        raise truncated("its header", "au")
    yield from refuse_hidden(source, b"annotation", 24, "au")
    yield from refuse_hidden(source, b"sound", offset, "au")
    yield from refuse_text(source, offset, "au")
    codec, width = _AU[encoding]
    there = source.size - offset
    if size != 0xFFFFFFFF and size > there and there < 1024:
        raise truncated("its sound data", "au")
    sound = there if size == 0xFFFFFFFF else min(size, there)
    duration = round(sound / (width * channels * rate), 3) if width else None
    return Structure("au", "au", "audio/basic", "audio", (Track("audio", codec),), duration)
