"""Prove Creative Voice files: Creative Labs' "Creative Voice File (VOC) Format" (Sound Blaster developer kit)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.detection.formats.endings import something_follows
from gateway.detection.formats.payload import SPAN, refuse_hidden, refuse_text
from gateway.detection.formats.riff import LEAST_SOUND
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Structure, Track, broken, rounded, truncated

MAGIC = b"Creative Voice File\x1a"
# A header of 26 bytes and a version; the checksum is the complement of the version plus this.
HEADER, _CHECK = 26, 0x1234
MAX_BLOCKS = 96
# Blocks that are followed where each costs a read: FFmpeg writes thousands of small ones, a sound card few large ones.
MAX_HOPS = 6
# In the tail a block of sound begins with its type and a size of under 128 KiB.
_IN_TAIL = re.compile(rb"(?=[\x01\x02\x09][\x00-\xff]{2}[\x00\x01])")
MAX_STARTS = 256
MAX_TEXT = 4096
_END, _SOUND, _MORE, _SILENCE, _MARKER, _TEXT, _REPEAT, _REPEAT_END, _EXTRA, _SOUND_16 = range(10)
# Codecs by number, with bits of a sample.
_CODECS = {0: ("pcm_u8", 8.0), 1: ("adpcm_sbpro_4", 4.0), 2: ("adpcm_sbpro_3", 8 / 3), 3: ("adpcm_sbpro_2", 2.0),
           4: ("pcm_s16le", 16.0), 6: ("pcm_alaw", 8.0), 7: ("pcm_mulaw", 8.0), 0x200: ("adpcm_ct", 4.0)}  # fmt: skip


@dataclass(slots=True)
class _Voice:
    """The format of the sound and the time so far, seconds; `cut` says that the file ends inside a block."""

    codec: str = ""
    bits: float = 0.0
    channels: int = 1
    rate: int = 0
    seconds: float = 0.0
    extra: tuple[int, int] | None = None
    cut: bool = False
    ended: bool = False


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like a Creative Voice file."""
    return head.startswith(MAGIC)


def look(source: Source) -> Look[Structure]:
    """Follow the blocks from one to the next, to the block that ends the file or to its end."""
    head = yield from source.at(0, HEADER)
    if len(head) < HEADER:
        raise truncated("its header", "voc")
    start, version, check = (int.from_bytes(head[at : at + 2], "little") for at in (20, 22, 24))
    if start < HEADER or start > 1024 or (~version + _CHECK) & 0xFFFF != check:
        raise broken("The header is malformed", "voc")
    voice = _Voice()
    position = yield from _blocks(source, voice, start)
    is_counted = voice.ended or position >= source.size
    if not is_counted and voice.codec:
        position, voice.seconds = (
            (yield from _end(source, voice)), voice.seconds * (source.size - start) / (position - start)
        )  # fmt: skip
    if not voice.codec:
        if position >= source.size:
            raise truncated("its header, before the sound data", "voc")
        raise broken("No block holds sound", "voc")
    track = Track("audio", voice.codec, channels=voice.channels, sample_rate_hz=voice.rate)
    seconds = rounded(voice.seconds)
    complete = None if not (voice.cut or voice.ended) else not voice.cut
    return Structure(
        "voc", "voc", "audio/x-voc", "audio", (track,), seconds, min(position, source.size),
        ("counted" if is_counted else "estimated") if seconds else None, complete, seconds if voice.cut else None,
    )  # fmt: skip


def _blocks(source: Source, voice: _Voice, position: int) -> Look[int]:
    """Return the offset after the last block."""
    for number in range(MAX_BLOCKS):
        far = source.cached(position, 16) is None and (number >= MAX_HOPS or not source.can_read(64))
        if position >= source.size or (voice.codec and far):
            break
        header = yield from source.at(position, 4 + 12)
        if not header:
            # The object is shorter than its size says.
            raise truncated("a block", "voc")
        kind = header[0]
        if kind == _END:
            voice.ended = True
            return position + 1
        size = int.from_bytes(header[1:4], "little")
        if kind > _SOUND_16 or len(header) < 4:
            raise broken("A block is of no known type", "voc")
        body, end = position + 4, position + 4 + size
        if end > source.size and kind not in (_SOUND, _SOUND_16, _MORE):
            raise truncated("a block", "voc")
        yield from _note(source, voice, kind, header[4:], body, size)
        position = end
    return position


def _end(source: Source, voice: _Voice) -> Look[int]:
    """Return the end of the blocks that lead to the end of the file. Raises Refused where there are none."""
    tail = yield from source.tail()
    offset = source.size - len(tail)
    for number, match in enumerate(_IN_TAIL.finditer(tail)):
        if number == MAX_STARTS:
            break
        at, count = match.start(), 0
        while at + 4 <= len(tail) and 0 < tail[at] <= _SOUND_16 and count < MAX_BLOCKS:
            at, count = at + 4 + int.from_bytes(tail[at + 1 : at + 4], "little"), count + 1
        voice.ended = at == len(tail) - 1 and tail[at] == _END
        voice.cut = at > len(tail)
        if voice.ended or at == len(tail) or (voice.cut and count > 2):
            return offset + min(len(tail), at + 1)
    raise something_follows("VOC")


def _note(source: Source, voice: _Voice, kind: int, data: bytes, body: int, size: int) -> Look[None]:
    """Take the needed facts from one block."""
    if kind in (_SOUND, _SOUND_16):
        skip = _describe(voice, kind, data, size)
        yield from _sound(source, voice, body + skip, size - skip)
    elif kind == _MORE:
        if not voice.codec:
            raise broken("The sound data comes before its format", "voc")
        yield from _sound(source, voice, body, size)
    elif kind == _SILENCE and min(size, len(data)) >= 3:
        voice.seconds += (int.from_bytes(data[:2], "little") + 1) / _rate_of(data[2])
    elif kind == _TEXT:
        if size > MAX_TEXT:
            raise broken("A text block is too long", "voc")
        source.mark_tag(body, body + size)
    elif kind == _EXTRA and min(size, len(data)) >= 4:
        # It replaces rate and channels of the sound block after it.
        channels = data[3] + 1
        divisor = 65_536 - int.from_bytes(data[:2], "little")
        voice.extra = (256_000_000 // divisor // channels, channels)


def _rate_of(divisor: int) -> int:
    return 1_000_000 // (256 - divisor)


def _describe(voice: _Voice, kind: int, data: bytes, size: int) -> int:
    """Read the format before the sound of a block and return its length."""
    if kind == _SOUND:
        rate, channels, codec, skip = _rate_of(data[0]) if data else 0, 1, data[1] if len(data) > 1 else -1, 2
        if voice.extra:
            rate, channels = voice.extra
            voice.extra = None
    else:
        skip = 12
        data = data.ljust(skip, b"\xff")
        rate, channels, codec = int.from_bytes(data[:4], "little"), data[5], int.from_bytes(data[6:8], "little")
        if codec in _CODECS and not 0 < data[4] <= 16:
            raise broken("A block names an impossible number of bits", "voc")
    if size < skip or codec not in _CODECS or not 1 <= channels <= 8 or not 1 <= rate <= 384_000:
        raise broken("A block names an impossible format", "voc")
    voice.codec, voice.bits = _CODECS[codec]
    voice.rate, voice.channels = rate, channels
    return skip


def _sound(source: Source, voice: _Voice, start: int, size: int) -> Look[None]:
    """Check the sound of one block and count its time."""
    there = max(0, source.size - start)
    if size > there:
        if there < min(LEAST_SOUND, size // 2 + 1) and not voice.seconds:
            raise truncated("its sound data", "voc")
        voice.cut = True
    if not voice.seconds or source.cached(start, min(size, SPAN)) is not None:
        yield from refuse_hidden(source, b"sound", start, "voc")
        yield from refuse_text(source, start, "voc", size)
    voice.seconds += 8 * min(size, there) / voice.bits / voice.channels / voice.rate
