"""Prove AVI: Microsoft "AVI RIFF File Reference" and OpenDML 1.02."""

from __future__ import annotations

import re

from gateway.detection.formats.wave_format import WAVE_CODECS
from gateway.detection.source import Source
from gateway.detection.verdict import Kind, Look, Refused, Structure, Track, broken, text, truncated

MAX_CHUNKS = 32
MAX_STREAMS = 8
# Stream number and kind, an index, or a list of them; OpenDML writes the number in hex.
_IN_MOVIE = re.compile(rb"[0-9A-Fa-f]{2}[ -~]{2}|ix[0-9]{2}|idx1|LIST|JUNK")


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like AVI."""
    return head[:4] == b"RIFF" and head[8:12] == b"AVI "


def look(source: Source) -> Look[Structure]:
    """Walk hdrl to its streams, then on to movi."""
    first = yield from source.at(12, 12)
    if len(first) < 12:
        raise truncated("its header", "avi")
    if first[:4] != b"LIST" or first[8:12] != b"hdrl":
        raise broken("The AVI header list (hdrl) is missing", "avi")
    end = 20 + int.from_bytes(first[4:8], "little")
    if end > source.size:
        raise truncated("its header", "avi")
    tracks, duration = yield from _header(source, 24, end)
    if not {track.kind for track in tracks} & {"audio", "video"}:
        raise Refused("tracks", "The file holds no audio and no video stream.", "avi")
    yield from _movie(source, end + (end & 1))
    kind: Kind = "video" if any(track.kind == "video" for track in tracks) else "audio"
    return Structure("avi", "avi", "video/vnd.avi", kind, tracks, duration)


def _header(source: Source, position: int, end: int) -> Look[tuple[tuple[Track, ...], float | None]]:
    tracks: list[Track] = []
    duration = None
    for _ in range(MAX_CHUNKS):
        if position + 8 > end or len(tracks) >= MAX_STREAMS:
            break
        header = yield from source.at(position, 12)
        size = int.from_bytes(header[4:8], "little")
        if header[:4] == b"avih":
            data = yield from source.at(position + 8, 40)
            frames, micros = int.from_bytes(data[16:20], "little"), int.from_bytes(data[:4], "little")
            duration = round(frames * micros / 1e6, 3) or None
        elif header[:4] == b"LIST" and header[8:12] == b"strl":
            tracks.append((yield from _stream(source, position + 12)))
        elif not header[:4].isascii():
            raise broken("A chunk has an impossible name", "avi")
        position += 8 + size + (size & 1)
    return tuple(tracks), duration


def _stream(source: Source, position: int) -> Look[Track]:
    """Read strh (56 bytes: type, handler) and the strf behind it."""
    data = yield from source.at(position, 128)
    if data[:4] != b"strh":
        raise broken("A stream has no header (strh)", "avi")
    size = int.from_bytes(data[4:8], "little")
    kind, codec = data[8:12], data[12:16]
    following = 8 + size + (size & 1)
    format_body = data[following + 8 : following + 48] if size <= 64 else b""
    if data[following : following + 4] != b"strf":
        format_body = b""
    if kind == b"vids":
        name = (format_body[16:20] or codec).strip(b"\x00 ") or codec.strip(b"\x00 ")
        return Track("video", text(name))
    if kind == b"auds":
        tag = int.from_bytes(format_body[:2], "little")
        return Track("audio", WAVE_CODECS.get(tag, f"0x{tag:04x}") if tag else None)
    return Track("other", text(kind))


def _movie(source: Source, position: int) -> Look[None]:
    """Find LIST movi behind the header; INFO lists and JUNK may stand between."""
    for _ in range(MAX_CHUNKS):
        header = yield from source.at(position, 16)
        if len(header) < 12:
            raise truncated("its header, before any picture", "avi")
        if header[:4] == b"LIST" and header[8:12] == b"movi":
            if source.size - position < 32:
                raise truncated("its header, before any picture", "avi")
            if not _IN_MOVIE.fullmatch(header[12:16]):
                raise broken("The pictures (movi) begin with no chunk", "avi")
            return
        if not header[:4].isascii():
            raise broken("A chunk has an impossible name", "avi")
        size = int.from_bytes(header[4:8], "little")
        position += 8 + size + (size & 1)
    raise broken("The pictures (movi) were not found", "avi")
