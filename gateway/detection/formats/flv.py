"""Prove FLV: Adobe's "Video File Format Specification", version 10.1, annex E."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field, replace

from gateway.detection.formats.aac import audio_specific_config
from gateway.detection.formats.endings import something_follows
from gateway.detection.formats.nal import h264_picture
from gateway.detection.formats.payload import SPAN
from gateway.detection.source import Source
from gateway.detection.verdict import DurationSource, Kind, Look, Refused, Structure, Track, broken, text, truncated

MAX_TAGS = 12
# Tags may have 15 bytes: as many as fill the first 4 KiB, or half of a shorter file, must lead to one another.
MAX_SMALL_TAGS = 300
ENOUGH = 4
_AUDIO_TAG, _SCRIPT = 8, 18
_KINDS = frozenset((_AUDIO_TAG, 9, _SCRIPT))
_TAG = re.compile(rb"[\x08\x09\x12][\x00-\xff]{7}\x00\x00\x00")
_META = ("duration", "width", "height", "framerate")
_EXACT = {5_512: 5_512, 11_024: 11_025, 22_048: 22_050, 44_096: 44_100}
# More than this after the last tag is another file.
_FOREIGN = 4096
_AUDIO = {0: "pcm", 1: "adpcm_swf", 2: "mp3", 3: "pcm_s16le", 4: "nellymoser", 5: "nellymoser", 6: "nellymoser",
          7: "pcm_alaw", 8: "pcm_mulaw", 9: "enhanced", 10: "aac", 11: "speex", 14: "mp3"}  # fmt: skip
_VIDEO = {2: "h263", 3: "screen", 4: "vp6", 5: "vp6a", 6: "screen2", 7: "h264", 12: "hevc", 13: "av1"}


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like FLV."""
    return head[:4] == b"FLV\x01"


@dataclass(slots=True)
class _Film:
    """The facts seen in the tags so far."""

    tracks: dict[str, Track] = field(default_factory=dict)
    duration_seconds: float | None = None
    facts: dict[str, float] = field(default_factory=dict)
    has_data: bool = False


def look(source: Source) -> Look[Structure]:
    """Follow tags, each of which must be repeated in size after itself."""
    head = yield from source.at(0, 13)
    if len(head) < 13:
        raise truncated("its header", "flv")
    # A header of nine bytes and a first "previous size" of zero.
    if head[4] & 0xFA or int.from_bytes(head[5:9]) != 9 or any(head[9:13]):
        raise broken("The header is malformed", "flv")
    film = _Film()
    position = 13
    far = min(SPAN, source.size // 2)
    for count in range(MAX_SMALL_TAGS):
        tag = yield from source.at(position, 16)
        if len(tag) < 16:
            break
        size = int.from_bytes(tag[1:4])
        if tag[0] & 0x1F not in _KINDS or tag[8:11] != b"\x00\x00\x00":
            raise broken("A tag is malformed", "flv")
        if position + 11 + size > source.size:
            break
        yield from _check_again(source, position + 11 + size, size)
        yield from _note(source, film, tag, position, size)
        position += 15 + size
        enough = count >= ENOUGH and len(film.tracks) == (head[4] & 1) + (head[4] >> 2 & 1)
        if position >= far and (enough or count >= MAX_TAGS):
            break
    if not film.has_data:
        raise Refused("truncated", "The file ends before its first sound or picture.", "flv")
    return (yield from _structure(source, film))


def _note(source: Source, film: _Film, tag: bytes, position: int, size: int) -> Look[None]:
    """Take the needed facts from one tag."""
    kind = tag[0] & 0x1F
    if kind == _SCRIPT:
        data = yield from source.at(position + 11, min(size, 4096))
        source.mark_tag(position + 11, position + 11 + size)
        for name in _META:
            at = data.find(b"\x00" + bytes((len(name),)) + name.encode() + b"\x00")
            start = at + len(name) + 3
            if at >= 0 and start + 8 <= len(data):
                film.facts.setdefault(name, struct.unpack(">d", data[start : start + 8])[0])
        seconds = film.facts.get("duration", 0.0)
        film.duration_seconds = round(seconds, 3) if 0 < seconds < 1e9 else None
    elif size:
        track = _track(tag)
        seen = film.tracks.setdefault(track.kind, track)
        # The first tag of AAC and H.264 holds the configuration of the decoder, after a mark of zero.
        if track.codec_name not in ("aac", "h264") or tag[12] == 1:
            film.has_data = True
        elif tag[12] == 0 and seen.codec is None:
            body = yield from source.at(position + 11, min(size, 256))
            film.tracks[track.kind] = _configured(seen, body)


def _configured(track: Track, body: bytes) -> Track:
    if track.codec_name == "aac" and (config := audio_specific_config(body[2:])):
        codec = f"mp4a.40.{config.object_type}"
        return replace(track, codec=codec, channels=config.channels, sample_rate_hz=config.sample_rate_hz)
    if track.codec_name == "h264" and len(body) > 13:
        picture = h264_picture(body[13 : 13 + int.from_bytes(body[11:13])])
        if picture:
            return replace(
                track, codec=picture.codec, width=picture.width, height=picture.height, frame_rate=picture.frame_rate
            )
    return track


def _check_again(source: Source, position: int, size: int) -> Look[None]:
    """Check the size that stands again behind a tag."""
    again = yield from source.at(position, 4)
    # Some writers leave it out, others count the tag's data alone.
    if len(again) == 4 and int.from_bytes(again) not in (size + 11, size, 0):
        raise broken("A tag does not repeat its size", "flv")


def _track(tag: bytes) -> Track:
    if tag[0] & 0x1F == _AUDIO_TAG:
        flags = tag[11]
        codec = _AUDIO.get(flags >> 4)
        channels, rate = 1 + (flags & 1), 5_512 << (flags >> 2 & 3)
        if codec in ("pcm_alaw", "pcm_mulaw") or flags >> 4 == 5:
            rate, channels = 8_000, 1 if flags >> 4 == 5 else channels
        elif flags >> 4 == 4 or codec == "speex":
            rate, channels = 16_000, 1
        return Track("audio", codec, channels=channels, sample_rate_hz=_EXACT.get(rate, rate))
    # The high bit marks the extended header of Enhanced RTMP, whose codec is a four-character code.
    if tag[11] & 0x80:
        return Track("video", text(tag[12:16]))
    return Track("video", _VIDEO.get(tag[11] & 15))


def _structure(source: Source, film: _Film) -> Look[Structure]:
    kind: Kind = "video" if "video" in film.tracks else "audio"
    last, complete = yield from _end(source)
    video = film.tracks.get("video")
    if video and not video.width and 0 < film.facts.get("width", 0) < 1e5 and 0 < film.facts.get("height", 0) < 1e5:
        video = replace(video, width=int(film.facts["width"]), height=int(film.facts["height"]))
    if video and not video.frame_rate and 0 < film.facts.get("framerate", 0) < 1e3:
        video = replace(video, frame_rate=round(film.facts["framerate"], 3))
    if video:
        film.tracks["video"] = video
    stated = film.duration_seconds
    seconds = stated or last
    how: DurationSource | None = "stated" if stated else "counted" if seconds else None
    if stated and last and last < 0.9 * stated:
        complete = False
    return Structure(
        "flv", "flv", f"{kind}/x-flv", kind, tuple(film.tracks.values()), seconds, None, how, complete,
        None if complete else last,
    )  # fmt: skip


def _end(source: Source) -> Look[tuple[float | None, bool]]:
    """Return the time of the last tag and whether it is whole; each tag has its size after it.

    Raises Refused when no tag stands near the end: something else follows the film.
    """
    tail = (yield from source.tail()).rstrip(b"\x00")
    tail += bytes(min(4, source.size))
    at = _before_end(tail)
    if at is not None:
        return _time(tail[at:]), True
    found: int | None = None
    for match in _TAG.finditer(tail):
        size = int.from_bytes(tail[match.start() + 1 : match.start() + 4])
        end = match.start() + 11 + size
        if end > len(tail) - 4 or int.from_bytes(tail[end : end + 4]) in (size + 11, size):
            found = match.start()
    if found is None and source.size > len(tail):
        raise something_follows("FLV")
    if found is None:
        return None, False
    size = int.from_bytes(tail[found + 1 : found + 4])
    if found + 15 + size + _FOREIGN < len(tail):
        raise something_follows("FLV")
    return _time(tail[found:]), False


def _before_end(tail: bytes) -> int | None:
    """Find the tag whose size ends the file; the first zeros after it may belong to that size."""
    for zeros in range(5):
        end = len(tail) - zeros
        size = int.from_bytes(tail[end - 4 : end])
        at = end - 4 - size
        if size >= 11 and at >= 0 and tail[at] & 0x1F in _KINDS and int.from_bytes(tail[at + 1 : at + 4]) == size - 11:
            return at
    return None


def _time(tag: bytes) -> float | None:
    """Decode the time of a tag in milliseconds, whose highest byte comes last."""
    milliseconds = int.from_bytes(tag[4:7]) | tag[7] << 24
    return round(milliseconds / 1000, 3) or None
