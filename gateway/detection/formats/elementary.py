"""Prove audio that has frames and no header: MPEG audio, AAC (ADTS, LOAS), AC-3."""

from __future__ import annotations

from dataclasses import replace

from gateway.detection.foreign import advice_for
from gateway.detection.formats import aac, ac3, dts, mpeg_audio
from gateway.detection.formats.endings import Ending, find_end
from gateway.detection.formats.frames import ENOUGH, HEADER, Chain, FrameHeader, follow
from gateway.detection.formats.payload import SPAN, holds_text, refuse_lines, refuse_text
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Refused, Structure

# Longest MPEG audio frame (layer II, 384 kbit/s, 32 kHz, padded): a recording cut out of a stream may begin inside one.
MAX_FRAME = 1729
# Taggers leave zeros behind a tag, and some get its size wrong by a few bytes.
BEHIND_TAG = 8 * 1024
TRIES = 256
# Frames that are counted one by one in a short file.
MAX_COUNTED = 4096
# Sizes that differ by less are those of one file: taggers and encoders count differently.
_SAME = 1 / 16
_HEADERS: dict[int, tuple[FrameHeader, ...]] = {
    0xFF: (mpeg_audio.frame, aac.adts),
    0x0B: (ac3.frame,),
    0x56: (aac.loas,),
    0x7F: (dts.frame,),
    0xFE: (dts.frame,),
}


_FACTS = {aac.adts: aac.adts_facts, aac.loas: aac.latm_facts, ac3.frame: ac3.facts, dts.frame: dts.facts}
# One access unit of AAC; a LOAS frame holds one.
_LOAS_SAMPLES = 1024


def look(source: Source) -> Look[Structure | None]:
    """Find frames that lead to one another; None when there are none."""
    tagged = source.base > 0
    found = yield from _search(source, BEHIND_TAG if tagged else MAX_FRAME)
    if found is None and tagged:
        if advice := advice_for((yield from source.at(0, 32))):
            raise Refused("unknown", advice)
        raise Refused(
            "structure", "The file begins with an ID3 tag, but no sound that can be played follows it.", "mp3"
        )
    return found


def _search(source: Source, within: int) -> Look[Structure | None]:
    data = yield from source.at(0, within + SPAN + MAX_FRAME + HEADER)
    if holds_text(data[:24]):
        return None
    at = tries = 0
    while at < min(within, len(data)) and tries < TRIES:
        header = data[at : at + HEADER]
        parse = next((parse for parse in _HEADERS.get(header[0], ()) if parse(header)), None)
        at += 1
        if parse is None:
            continue
        tries += 1
        chain = yield from follow(source, at - 1, parse)
        if (yield from _proves(source, chain, parse)):
            _refuse_gap(data[: chain.start])
            return (yield from _describe(source, chain, parse))
        if chain.count >= ENOUGH:
            # A run of frames is no accident, and what breaks it breaks every run that begins inside it. One damaged
            # frame may stand between it and the next.
            at = chain.end
            within = max(within, at + MAX_FRAME)
    return None


def _refuse_gap(gap: bytes) -> None:
    """Raise Refused when text precedes the first frame: FFmpeg executes a script there."""
    if holds_text(gap):
        reason = "Text stands before the sound in this file, and some programs obey it. Export the recording again."
        raise Refused("hidden", reason, "mp3")


def _proves(source: Source, chain: Chain, parse: FrameHeader) -> Look[bool]:
    if parse is mpeg_audio.frame:
        return (yield from mpeg_audio.proves(source, chain))
    if parse is aac.adts and chain.count == 1 and chain.end == source.size and not chain.start:
        return True
    if parse is dts.frame and chain.cut_short:
        # Players want as many whole frames before they take a stream for DTS.
        return chain.proves and chain.count >= ENOUGH
    if parse is not ac3.frame:
        return chain.proves
    # AC-3 has a checksum: with it, one frame that is the whole file is enough, and without it no number of frames is.
    enough = chain.proves or (chain.count > 0 and chain.complete)
    return enough and (yield from _checks(source, chain.start))


def _describe(source: Source, chain: Chain, parse: FrameHeader) -> Look[Structure]:
    ending = yield from find_end(source, chain, parse, "MP3" if parse is mpeg_audio.frame else "AAC, AC-3 or DTS")
    if parse is mpeg_audio.frame:
        found = yield from mpeg_audio.describe(source, chain)
    elif parse is ac3.frame:
        found = ac3.structure(chain.first)
    elif parse is dts.frame:
        found = dts.structure()
    else:
        found = aac.adts_structure() if parse is aac.adts else aac.loas_structure()
    yield from refuse_text(source, chain.start, found.container)
    yield from refuse_lines(source, chain.start, ending.end, found.container)
    return (yield from _with_facts(source, chain, parse, ending, found))


def _with_facts(source: Source, chain: Chain, parse: FrameHeader, ending: Ending, found: Structure) -> Look[Structure]:
    """Add channels, rate and duration: stated by an info frame, counted where all frames were read, else estimated."""
    head = yield from source.at(chain.start, HEADER)
    facts = _FACTS[parse]((yield from source.at(chain.start, 64))) if parse in _FACTS else None
    if facts:
        track = replace(found.tracks[0], channels=facts[1] or None, sample_rate_hz=facts[2] or None)
        found = replace(found, tracks=(track,))
    rate, samples = found.tracks[0].sample_rate_hz, _samples(head, parse)
    seconds, how = found.duration_seconds, found.duration_is
    complete, available = ending.complete, None
    if seconds is not None:
        share = yield from _share_there(source, chain, ending)
        if share < 1 - _SAME:
            # It was cut between two frames.
            complete, available = False, round(seconds * share, 3)
        elif share > 1 + _SAME:
            # Files that were joined: the first one states its own length.
            seconds = None
    if seconds is None and rate and samples and chain.count:
        frames, is_exact = _count(source, chain, parse, ending)
        seconds, how = round(frames * samples / rate, 3), "counted" if is_exact else "estimated"
    return replace(found, complete=complete, duration_seconds=seconds, duration_is=how, available_seconds=available)


def _share_there(source: Source, chain: Chain, ending: Ending) -> Look[float]:
    """Return the bytes of MPEG audio that are there, as a share of those that its info frame states."""
    stated = yield from mpeg_audio.stated_bytes(source, chain.start)
    return (ending.end - chain.start) / stated if stated else 1.0


def _samples(head: bytes, parse: FrameHeader) -> int:
    """Return the samples of one frame, 0 where its header does not tell."""
    if parse is mpeg_audio.frame:
        return mpeg_audio.samples_of(head)
    if parse is aac.adts:
        return 1024 * (1 + (head[6] & 3))
    if parse is dts.frame:
        return dts.samples_of(head)
    return ac3.samples_of(head) if parse is ac3.frame else _LOAS_SAMPLES


def _count(source: Source, chain: Chain, parse: FrameHeader, ending: Ending) -> tuple[float, bool]:
    """Return the number of frames, and whether all of them were seen: the rest of a long file is not read."""
    if not ending.mean_bytes:
        return chain.count, True
    rest = source.cached(chain.end, ending.end - chain.end)
    if rest is None:
        mean = ((chain.end - chain.start) / chain.count + ending.mean_bytes) / 2
        return (ending.end - chain.start) / mean, False
    count, at = chain.count, 0
    for _ in range(MAX_COUNTED):
        parsed = parse(rest[at : at + HEADER])
        if parsed is None or at + parsed[0] > len(rest):
            break
        count, at = count + 1, at + parsed[0]
    return (count, True) if at == len(rest) else (count + (len(rest) - at) / ending.mean_bytes, False)


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
