"""Prove AVI: Microsoft "AVI RIFF File Reference" and OpenDML 1.02."""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.detection.formats.payload import read_padding
from gateway.detection.formats.riff import mark_chunks, refuse_text_size
from gateway.detection.formats.wave_format import WAVE_CODECS, describe
from gateway.detection.source import Source
from gateway.detection.verdict import Kind, Look, Refused, Structure, Track, broken, text, truncated

MAX_CHUNKS = 32
MAX_STREAMS = 8
# OpenDML continues in further RIFF lists of about a gigabyte; each needs a read.
MAX_LISTS = 12
# Stream number and kind, an index, or a list of them; OpenDML writes the number in hex.
_IN_MOVIE = re.compile(rb"[0-9A-Fa-f]{2}[ -~]{2}|ix[0-9]{2}|idx1|LIST|JUNK")


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like AVI."""
    return head[:4] == b"RIFF" and head[8:12] == b"AVI "


def look(source: Source) -> Look[Structure]:
    """Walk to hdrl and its streams, then on to movi."""
    head = yield from source.at(0, 24)
    refuse_text_size(head[4:8], 8 + int.from_bytes(head[4:8], "little"), source, "avi")
    position = yield from _find_header(source)
    first = yield from source.at(position, 12)
    end = position + 8 + int.from_bytes(first[4:8], "little")
    if end > source.size:
        raise truncated("its header", "avi")
    tracks, duration = yield from _header(source, position + 12, end)
    if not {track.kind for track in tracks} & {"audio", "video"}:
        raise Refused("tracks", "The file holds no audio and no video stream.", "avi")
    yield from _movie(source, end + (end & 1))
    stated, is_open = yield from _end(source)
    kind: Kind = "video" if any(track.kind == "video" for track in tracks) else "audio"
    cut = stated > source.size
    available = round(duration * source.size / stated, 3) if cut and duration else None
    return Structure(
        "avi", "avi", "video/vnd.avi", kind, tracks, duration, None if is_open else min(stated, source.size),
        "stated" if duration else None, None if is_open else not cut, available,
    )  # fmt: skip


def _find_header(source: Source) -> Look[int]:
    """Return where the header list stands; padding and notes may come first."""
    position = 12
    for _ in range(MAX_CHUNKS):
        chunk = yield from source.at(position, 12)
        if len(chunk) < 12:
            raise truncated("its header", "avi")
        if chunk[:4] == b"LIST" and chunk[8:12] == b"hdrl":
            return position
        size = int.from_bytes(chunk[4:8], "little")
        if chunk[:4] not in (b"JUNK", b"LIST", b"PAD "):
            break
        yield from _skipped(source, chunk, position + 8, size)
        position += 8 + size + (size & 1)
    raise broken("The AVI header list (hdrl) is missing", "avi")


def _skipped(source: Source, chunk: bytes, body: int, size: int) -> Look[None]:
    """Mark the text of an INFO list, and check padding."""
    if chunk[:4] == b"LIST" and chunk[8:12] == b"INFO":
        source.mark_tag(body, body + size)
    elif chunk[:4] in (b"JUNK", b"PAD "):
        yield from read_padding(source, body, body + size, "avi")


def _end(source: Source) -> Look[tuple[int, bool]]:
    """Return the stated end of the last RIFF list, and whether the writer left its size open."""
    head = yield from source.at(0, 8)
    size = int.from_bytes(head[4:8], "little")
    end = 8 + size + (size & 1)
    if size < 64 or size == 0xFFFFFFFF:
        return source.size, True
    for _ in range(MAX_LISTS):
        if end + 12 > source.size:
            break
        header = yield from source.at(end, 12)
        if header[:4] != b"RIFF" or header[8:12] != b"AVIX":
            yield from source.tail()
            mark_chunks(source, end, "little")
            break
        size = int.from_bytes(header[4:8], "little")
        end += 8 + size + (size & 1)
    return end, False


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
        elif header[:4] == b"JUNK":
            yield from read_padding(source, position + 8, position + 8 + size, "avi")
        position += 8 + size + (size & 1)
    longest = max((track.duration_seconds or 0 for track in tracks if track.kind != "other"), default=0)
    return tuple(tracks), longest or duration


def _stream(source: Source, position: int) -> Look[Track]:
    """Read strh (56 bytes: type, handler, scale, rate, length) and the strf after it."""
    data = yield from source.at(position, 160)
    if data[:4] != b"strh":
        raise broken("A stream has no header (strh)", "avi")
    size = int.from_bytes(data[4:8], "little")
    kind, codec = data[8:12], data[12:16]
    following = 8 + size + (size & 1)
    format_body = data[following + 8 : following + 80] if size <= 64 else b""
    if data[following : following + 4] != b"strf":
        format_body = b""
    scale, rate = int.from_bytes(data[28:32], "little"), int.from_bytes(data[32:36], "little")
    length = int.from_bytes(data[40:44], "little")
    seconds = round(length * scale / rate, 3) if rate and scale and length else None
    if kind == b"vids":
        name = (format_body[16:20] or codec).strip(b"\x00 ") or codec.strip(b"\x00 ")
        width = int.from_bytes(format_body[4:8], "little") or None
        height = abs(int.from_bytes(format_body[8:12], "little", signed=True)) or None
        frame_rate = round(rate / scale, 3) if scale and rate else None
        return Track(
            "video", text(name) or "rawvideo", width=width, height=height, frame_rate=frame_rate,
            duration_seconds=seconds,
        )  # fmt: skip
    if kind == b"auds":
        return _sound(format_body, seconds)
    return Track("other", text(kind))


def _sound(format_body: bytes, seconds: float | None) -> Track:
    tag = int.from_bytes(format_body[:2], "little")
    rate, channels = int.from_bytes(format_body[4:8], "little"), int.from_bytes(format_body[2:4], "little")
    if len(format_body) >= 16 and 1 <= channels <= 1024 and 1 <= rate <= 3_072_000 and tag:
        return replace(describe(format_body).track, duration_seconds=seconds)
    return Track("audio", WAVE_CODECS.get(tag, f"0x{tag:04x}") if tag else None, duration_seconds=seconds)


def _movie(source: Source, position: int) -> Look[None]:
    """Find LIST movi after the header; INFO lists and JUNK may stand between."""
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
        yield from _skipped(source, header, position + 8, size)
        position += 8 + size + (size & 1)
    raise broken("The pictures (movi) were not found", "avi")
