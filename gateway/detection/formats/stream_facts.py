"""Read channels, rates and picture sizes from the first bytes of a stream that has no header in its container."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.detection.formats import aac, ac3, dts, mpeg_audio, nal
from gateway.detection.verdict import Track

# Bytes of a payload in which its first header is searched.
_WITHIN = 2048
_HEADER = 64
_SEQUENCE, _EXTENSION = b"\x00\x00\x01\xb3", b"\x00\x00\x01\xb5"
_FRAME_RATES = (0.0, 23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0)


_Facts = Callable[[bytes], tuple[str, int, int] | None]
# Which sound may begin with which bytes; None stands for a stream whose container does not name it.
_PARSERS: tuple[tuple[frozenset[str | None], bytes, _Facts], ...] = (
    (frozenset(("aac", None)), b"\xff", aac.adts_facts),
    (frozenset(("mp1", "mp2", "mp3", None)), b"\xff", mpeg_audio.facts),
    (frozenset(("aac_latm", "aac", None)), b"\x56", aac.latm_facts),
    (frozenset(("ac3", "eac3", "AC-3", "EAC3", None)), b"\x0b\x77", ac3.facts),
    (frozenset(("dts", "DTS1", "DTS2", "DTS3", None)), dts.BIG, dts.facts),
)


def add_facts(track: Track, payload: bytes) -> Track:
    """Return the track with the facts that its first payload states."""
    payload = payload[:_WITHIN]
    if track.kind == "video":
        return _add_picture(track, payload)
    if track.kind != "audio":
        return track
    for codecs, sync, facts_of in _PARSERS:
        if track.codec_name not in codecs:
            continue
        at = payload.find(sync)
        for _ in range(16):
            if at < 0:
                break
            if facts := facts_of(payload[at : at + _HEADER]):
                name, channels, rate = facts
                own = name if track.codec_name in (None, "mp1", "mp2", "mp3") else track.codec_name
                return replace(track, codec_name=own, channels=channels or None, sample_rate_hz=rate)
            at = payload.find(sync, at + 1)
    return track


def _add_picture(track: Track, payload: bytes) -> Track:
    at = payload.find(_SEQUENCE)
    if at >= 0 and len(payload) >= at + 8 and track.codec_name in (None, "mpeg1video", "mpeg2video"):
        width, height, rate = sequence_facts(payload[at:])
        name = track.codec_name or ("mpeg2video" if _EXTENSION in payload[at:] else "mpeg1video")
        return replace(track, codec_name=name, width=width, height=height, frame_rate=rate)
    picture = nal.picture_in(payload)
    if picture is None:
        return track
    name = "h264" if picture.codec.startswith("avc1") else "hevc"
    if track.codec_name not in (None, name, "HEVC"):
        return track
    return replace(
        track,
        codec_name=track.codec_name or name,
        codec=picture.codec,
        width=picture.width,
        height=picture.height,
        frame_rate=picture.frame_rate,
    )


def sequence_facts(header: bytes) -> tuple[int, int, float | None]:
    """Return width, height and pictures per second of an MPEG-1 or MPEG-2 sequence header."""
    width, height = header[4] << 4 | header[5] >> 4, (header[5] & 15) << 8 | header[6]
    code = header[7] & 15
    return width, height, _FRAME_RATES[code] if 0 < code < len(_FRAME_RATES) else None
