"""Prove FLV: Adobe's "Video File Format Specification", version 10.1, annex E."""

from __future__ import annotations

import struct

from gateway.detection.formats.payload import SPAN
from gateway.detection.source import Source
from gateway.detection.verdict import Kind, Look, Refused, Structure, Track, broken, text, truncated

MAX_TAGS = 12
# Tags may have 15 bytes: as many as fill the first 4 KiB, or half of a shorter file, must lead to one another.
MAX_SMALL_TAGS = 300
ENOUGH = 4
_AUDIO = {0: "pcm", 1: "adpcm_swf", 2: "mp3", 3: "pcm_s16le", 4: "nellymoser", 5: "nellymoser", 6: "nellymoser",
          7: "pcm_alaw", 8: "pcm_mulaw", 9: "enhanced", 10: "aac", 11: "speex", 14: "mp3"}  # fmt: skip
_VIDEO = {2: "h263", 3: "screen", 4: "vp6", 5: "vp6a", 6: "screen2", 7: "h264", 12: "hevc", 13: "av1"}


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like FLV."""
    return head[:4] == b"FLV\x01"


def look(source: Source) -> Look[Structure]:
    """Follow tags, each of which must be repeated in size behind itself."""
    head = yield from source.at(0, 13)
    if len(head) < 13:
        raise truncated("its header", "flv")
    # A header of nine bytes and a first "previous size" of zero.
    if head[4] & 0xFA or int.from_bytes(head[5:9]) != 9 or any(head[9:13]):
        raise broken("The header is malformed", "flv")
    tracks: dict[str, Track] = {}
    duration = None
    position = 13
    far = min(SPAN, source.size // 2)
    for count in range(MAX_SMALL_TAGS):
        tag = yield from source.at(position, 16)
        if len(tag) < 16:
            break
        size = int.from_bytes(tag[1:4])
        if tag[0] & 0x1F not in (8, 9, 18) or tag[8:11] != b"\x00\x00\x00":
            raise broken("A tag is malformed", "flv")
        if position + 11 + size > source.size:
            break
        yield from _check_again(source, position + 11 + size, size)
        if tag[0] & 0x1F == 18:
            duration = duration or (yield from _meta(source, position + 11, size))
        elif size:
            track = _track(tag)
            tracks.setdefault(track.kind, track)
        position += 15 + size
        enough = count >= ENOUGH and len(tracks) == (head[4] & 1) + (head[4] >> 2 & 1)
        if position >= far and (enough or count >= MAX_TAGS):
            break
    return _structure(tracks, duration)


def _check_again(source: Source, position: int, size: int) -> Look[None]:
    """Check the size that stands again behind a tag."""
    again = yield from source.at(position, 4)
    # Some writers leave it out, others count the tag's data alone.
    if len(again) == 4 and int.from_bytes(again) not in (size + 11, size, 0):
        raise broken("A tag does not repeat its size", "flv")


def _track(tag: bytes) -> Track:
    if tag[0] & 0x1F == 8:
        return Track("audio", _AUDIO.get(tag[11] >> 4))
    # The high bit marks the extended header of Enhanced RTMP, whose codec is a four-character code.
    if tag[11] & 0x80:
        return Track("video", text(tag[12:16]))
    return Track("video", _VIDEO.get(tag[11] & 15))


def _meta(source: Source, start: int, size: int) -> Look[float | None]:
    """Find the number behind the name `duration` in onMetaData (AMF0)."""
    data = yield from source.at(start, min(size, 4096))
    at = data.find(b"\x00\x08duration\x00")
    if at < 0 or at + 19 > len(data):
        return None
    seconds: float = struct.unpack(">d", data[at + 11 : at + 19])[0]
    return round(seconds, 3) if 0 < seconds < 1e9 else None


def _structure(tracks: dict[str, Track], duration: float | None) -> Structure:
    if not tracks:
        raise Refused("truncated", "The file ends before its first sound or picture.", "flv")
    kind: Kind = "video" if "video" in tracks else "audio"
    return Structure("flv", "flv", f"{kind}/x-flv", kind, tuple(tracks.values()), duration)
