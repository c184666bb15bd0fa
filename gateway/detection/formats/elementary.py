"""Prove audio that begins with frames, bare or behind an ID3 tag: MPEG audio, AAC, AC-3, FLAC."""

from __future__ import annotations

from gateway.detection.beginnings import refuse_beginning
from gateway.detection.formats import aac, ac3, flac, id3, mpeg_audio, ogg
from gateway.detection.formats.frames import ENOUGH, HEADER, Chain, FrameHeader, follow
from gateway.detection.formats.payload import SPAN, refuse_text
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
    data = yield from source.at(start, within + SPAN + MAX_FRAME + HEADER)
    at = tries = 0
    while at < min(within, len(data)) and tries < TRIES:
        header = data[at : at + HEADER]
        parse = next((parse for parse in _HEADERS.get(header[0], ()) if parse(header)), None)
        at += 1
        if parse is None:
            continue
        tries += 1
        chain = yield from follow(source, start + at - 1, parse)
        if (yield from _proves(source, chain, parse)):
            return (yield from _describe(source, chain, parse))
        if chain.count >= ENOUGH:
            # A run of frames is no accident, and what breaks it breaks every run that begins inside it. One damaged
            # frame may stand between it and the next.
            at = chain.end - start
            within = max(within, at + MAX_FRAME)
    return None


def _proves(source: Source, chain: Chain, parse: FrameHeader) -> Look[bool]:
    if parse is mpeg_audio.frame:
        return (yield from mpeg_audio.proves(source, chain))
    if parse is not ac3.frame:
        return chain.proves
    # AC-3 has a checksum: with it, one frame that is the whole file is enough, and without it no number of frames is.
    enough = chain.proves or (chain.count > 0 and chain.complete)
    return enough and (yield from _checks(source, chain.start))


def _describe(source: Source, chain: Chain, parse: FrameHeader) -> Look[Structure]:
    if parse is mpeg_audio.frame:
        found = yield from mpeg_audio.describe(source, chain)
    elif parse is ac3.frame:
        found = ac3.structure(chain.first)
    else:
        found = aac.adts_structure() if parse is aac.adts else aac.loas_structure()
    yield from refuse_text(source, chain.start, found.container)
    return found


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
