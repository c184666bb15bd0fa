"""Prove WavPack: "WavPack 4 & 5 Binary File / Block Format" (wavpack.com, file_format.txt)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.detection.formats.endings import before_tags, is_foreign, something_follows
from gateway.detection.formats.payload import SPAN, is_text, refuse_text
from gateway.detection.source import TAIL, Source
from gateway.detection.verdict import DurationSource, Look, Structure, Track, broken, rounded, truncated

HEADER = 32
# libwavpack refuses longer blocks.
MAX_BLOCK = 1024 * 1024
# A block of many channels is one in a row that ends with a flag; more are followed only where they were read already.
MAX_BLOCKS = 16
MAX_PARTS = 64
MAX_TAIL_STARTS = 64
# Reads before the tail in which the last block is searched.
_WIDER = 2
_INITIAL, _FINAL, _MONO, _DSD = 1 << 11, 1 << 12, 1 << 2, 1 << 31
_RATES = (6_000, 8_000, 9_600, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000,
          192_000)  # fmt: skip
_UNKNOWN_TOTAL = 0xFFFFFFFF
# Parts of a block: the compressed sound, and a sample rate that the table does not list.
_SOUND = frozenset((0x0A, 0x0E))
_CUSTOM_RATE = 0x27


@dataclass(frozen=True, slots=True)
class _Block:
    """The numbers of one block's header."""

    length: int
    total: int | None
    index: int
    samples: int
    flags: int

    @property
    def channels(self) -> int:
        return 1 if self.flags & _MONO else 2


def _block(data: bytes) -> _Block | None:
    """Decode the block header at the start of the bytes; None where it is none."""
    if len(data) < HEADER or data[:4] != b"wvpk":
        return None
    length = 8 + int.from_bytes(data[4:8], "little")
    version = int.from_bytes(data[8:10], "little")
    total, index, samples, flags = (int.from_bytes(data[at : at + 4], "little") for at in range(12, 28, 4))
    if length & 1 or not HEADER <= length <= MAX_BLOCK or not 0x402 <= version <= 0x410 or samples > MAX_BLOCK:
        return None
    known = None if total == _UNKNOWN_TOTAL else total | data[11] << 32
    return _Block(length, known, index | data[10] << 32, samples, flags)


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like WavPack."""
    return head[:4] == b"wvpk"


def look(source: Source) -> Look[Structure]:
    """Check the parts of the first blocks, which fill them exactly, and find the last block at the end of the file."""
    position, channels, rate = 0, 0, 0
    first: _Block | None = None
    stop = yield from before_tags(source)
    for number in range(MAX_BLOCKS):
        block = _block((yield from source.at(position, HEADER)))
        if block is None:
            if not number:
                raise broken("The header of the first block is malformed", "wv")
            raise broken("A block does not lead to the next", "wv")
        yield from refuse_text(source, position + HEADER, "wv", block.length - HEADER)
        if position + block.length > stop:
            break
        rate = (yield from _parts(source, position, block)) or rate
        position += block.length
        if block.samples and (first is None or not block.flags & _INITIAL):
            first = first or block
            channels += block.channels
        if first and block.flags & _FINAL:
            return (yield from _structure(source, first, channels, rate, stop))
    raise truncated("its first blocks", "wv")


def _parts(source: Source, position: int, block: _Block) -> Look[int]:
    """Walk the parts of a block to its end; return the sample rate that one of them states, 0 where none does."""
    at, end = position + HEADER, position + block.length
    rate, has_sound = 0, False
    for _ in range(MAX_PARTS):
        if at >= end:
            break
        head = yield from source.at(at, 8)
        is_large = 3 if head[:1] and head[0] & 0x80 else 1
        size = 2 * int.from_bytes(head[1 : 1 + is_large], "little")
        kind = head[0] & 0x3F if head else 0
        if kind == _CUSTOM_RATE and size in (4, 2):
            rate = int.from_bytes(head[2:5], "little")
        has_sound = has_sound or (kind in _SOUND and size > 0)
        at += 1 + is_large + size
    if at != end or (block.samples and not has_sound):
        raise broken("The parts of the first block do not fill it", "wv")
    return rate


def _structure(source: Source, first: _Block, channels: int, rate: int, stop: int) -> Look[Structure]:
    code = first.flags >> 23 & 15
    rate = rate or (_RATES[code] if code < len(_RATES) else 0)
    done, complete = yield from _end(source, first, stop)
    track = Track("audio", "wavpack", channels=channels, sample_rate_hz=rate or None)
    total = first.total or done
    seconds = rounded(total / rate) if total and rate else None
    if seconds and first.flags & _DSD:
        # Eight samples of one bit are counted as one.
        track = Track("audio", "wavpack", channels=channels, sample_rate_hz=8 * rate)
    how: DurationSource | None = None if seconds is None else "stated" if first.total else "counted"
    if done is not None and first.total and done < first.total:
        complete = False
    available = rounded(done / rate) if done is not None and rate and complete is False else None
    return Structure("wv", "wavpack", "audio/x-wavpack", "audio", (track,), seconds, None, how, complete, available)


def _end(source: Source, first: _Block, stop: int) -> Look[tuple[int | None, bool | None]]:
    """Return the samples up to the end of the last block, None where it was not found, and whether it is whole.

    Raises Refused when something else than tags follows it.
    """
    tail = yield from source.tail()
    offset = source.size - len(tail)
    tail = tail[: max(0, stop - offset)]
    for _ in range(_WIDER):
        if tail.rfind(b"wvpk") >= 0 or not offset:
            break
        # A block of rich sound is longer than the tail.
        start = max(0, offset - TAIL)
        tail = (yield from source.at(start, offset - start)) + tail
        offset = start
    at = tail.rfind(b"wvpk")
    for _ in range(MAX_TAIL_STARTS):
        if at < 0:
            break
        block = _block(tail[at : at + HEADER])
        if block is not None:
            rest = tail[at + block.length :].rstrip(b"\x00")
            if is_foreign(rest):
                raise something_follows("WavPack")
            whole = at + block.length <= len(tail)
            if is_text(tail[at + HEADER : at + HEADER + SPAN]):
                raise broken("What should be sound is text", "wv")
            return block.index + (block.samples if whole else 0), whole
        at = tail.rfind(b"wvpk", 0, at)
    if offset > first.length and 2 * first.length < len(tail):
        raise something_follows("WavPack")
    return None, None
