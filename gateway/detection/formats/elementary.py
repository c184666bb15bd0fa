"""Prove audio that begins with frames, bare or behind an ID3 tag: MPEG audio, AAC, AC-3, FLAC."""

from __future__ import annotations

from collections.abc import Callable

from gateway.detection.beginnings import refuse_beginning
from gateway.detection.formats import aac, ac3, flac, id3, mpeg_audio, ogg
from gateway.detection.formats.frames import HEADER, FrameHeader, follow
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Refused, Structure, truncated

# Longest MPEG audio frame (layer II, 384 kbit/s, 32 kHz, padded): a recording cut out of a stream may begin inside one.
MAX_FRAME = 1729
# Taggers leave zeros behind a tag, and some get its size wrong by a few bytes.
BEHIND_TAG = 8 * 1024
TRIES = 256
_HEADERS: dict[int, tuple[FrameHeader, ...]] = {
    0xFF: (mpeg_audio.frame, aac.adts),
    0x0B: (ac3.frame,),
    0x56: (aac.loas,),
}


def look(source: Source) -> Look[Structure | None]:
    """Step over tags and zeros, then find frames that lead to one another; None when there are none."""
    start = yield from id3.skip(source)
    tagged = start > 0
    head = yield from source.at(start, HEADER)
    if tagged and not head:
        raise truncated("its ID3 tag: no sound follows", "mp3")
    if tagged:
        refuse_beginning((yield from source.at(start, 1024)))
        if flac.looks_like(head):
            return (yield from flac.look(source, start))
        if ogg.looks_like(head):
            return (yield from ogg.look(source, start))
        if aac.looks_like(head):
            return (yield from aac.look(source, start))
    if not tagged and is_text(head):
        return None
    start = yield from _behind_zeros(source, start)
    found = yield from _search(source, start, BEHIND_TAG if tagged else MAX_FRAME)
    if found is None and tagged:
        raise Refused("structure", "An ID3 tag is there, but no sound follows it.", "mp3")
    return found


def is_text(head: bytes) -> bool:
    """Say whether the first bytes are plain ASCII, which the middle of a frame is once in two thousand files."""
    return all(0x20 <= byte < 0x7F or byte in b"\t\n\r" for byte in head[:8])


def _behind_zeros(source: Source, start: int) -> Look[int]:
    """Skip padding of zeros, a few reads of it at most."""
    for _ in range(4):
        data = yield from source.at(start, 4096)
        rest = data.lstrip(b"\x00")
        start += len(data) - len(rest)
        if rest or not data:
            break
    return start


def _search(source: Source, start: int, within: int) -> Look[Structure | None]:
    data = yield from source.at(start, within + HEADER)
    tries = 0
    for at, byte in enumerate(data[:within]):
        header = data[at : at + HEADER]
        if not any(parse(header) for parse in _HEADERS.get(byte, ())):
            continue
        found = yield from _at(source, start + at, header)
        if found is not None:
            return found
        tries += 1
        if tries >= TRIES:
            break
    return None


def _at(source: Source, position: int, header: bytes) -> Look[Structure | None]:
    """Answer what frames begin here."""
    if header[0] == 0xFF:
        if mpeg_audio.frame(header):
            chain = yield from mpeg_audio.proves(source, position)
            return (yield from mpeg_audio.describe(source, chain)) if chain else None
        return (yield from _plain(source, position, aac.adts, lambda _: aac.adts_structure()))
    if header[0] == 0x0B:
        return (yield from _plain(source, position, ac3.frame, ac3.structure))
    return (yield from _plain(source, position, aac.loas, lambda _: aac.loas_structure()))


def _plain(
    source: Source,
    position: int,
    header: FrameHeader,
    structure: Callable[[bytes], Structure],
) -> Look[Structure | None]:
    chain = yield from follow(source, position, header)
    if header is not ac3.frame:
        return structure(chain.first) if chain.proves else None
    # AC-3 has a checksum: with it, one frame that is the whole file is enough, and without it no number of frames is.
    enough = chain.proves or (chain.count > 0 and chain.complete)
    return structure(chain.first) if enough and (yield from _checks(source, position)) else None


def _checks(source: Source, position: int) -> Look[bool]:
    """Say whether one of the first two AC-3 frames has its checksum; the first may be damaged."""
    for _ in range(2):
        parsed = ac3.frame((yield from source.at(position, HEADER)))
        if parsed is None:
            return False
        if ac3.checksum_is_right((yield from source.at(position, parsed[0]))):
            return True
        position += parsed[0]
    return False
