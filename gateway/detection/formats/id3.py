"""Step over tags before the sound: ID3v2 (id3.org, "ID3 tag version 2.4.0 - Main Structure") and APEv2."""

from __future__ import annotations

import re

from gateway.detection.source import Source
from gateway.detection.verdict import Look, broken, truncated

# One tag is usual; careless taggers leave two or three.
MAX_TAGS = 4
MAX_FRAMES = 128
# Frames that hold text: titles, comments, lyrics, addresses, chapters (ID3v2.2 names have three letters).
_TEXT_FRAME = re.compile(rb"[TW][0-9A-Z]{2,3}|COMM?|USLT|ULT|SYLT|SLT|CHAP|CTOC|IPLS|IPL|MCDI|POPM|POP")
_NAME = re.compile(rb"[A-Z0-9]{3,4}")


def skip(source: Source, position: int = 0) -> Look[int]:
    """Return the offset after all tags that stand here, and mark the text frames in them."""
    for _ in range(MAX_TAGS):
        header = yield from source.at(position, 32)
        if header[:8] == b"APETAGEX" and len(header) == 32:
            # The size counts the items and the footer, not this header.
            end = position + 32 + int.from_bytes(header[12:16], "little")
            source.mark_tag(position, min(end, source.size))
            position = end
            continue
        if header[:3] != b"ID3":
            return position
        position = yield from _tag(source, position, header)
    return position


def _tag(source: Source, position: int, header: bytes) -> Look[int]:
    """Return the offset after one ID3v2 tag."""
    if len(header) < 10:
        raise truncated("its ID3 tag", "mp3")
    if not 2 <= header[3] <= 4 or header[4] == 0xFF or max(header[6:10]) > 0x7F:
        raise broken("The ID3 tag is malformed", "mp3")
    size = synchsafe(header[6:10])
    footer = 10 if header[3] == 4 and header[5] & 0x10 else 0
    end = position + 10 + size + footer
    if end > source.size:
        raise truncated("its ID3 tag", "mp3")
    _mark_text(source, position + 10, position + 10 + size, header[3])
    yield from ()
    return end


def _mark_text(source: Source, position: int, end: int, version: int) -> None:
    """Walk the frames that were read already and mark those that hold text."""
    name_bytes, header_bytes = (3, 6) if version == 2 else (4, 10)
    for _ in range(MAX_FRAMES):
        header = source.cached(position, header_bytes)
        if position + header_bytes > end or not header or not _NAME.fullmatch(header[:name_bytes]):
            return
        sizes = header[name_bytes : 2 * name_bytes]
        size = synchsafe(sizes) if version == 4 and max(sizes) < 0x80 else int.from_bytes(sizes)
        stop = position + header_bytes + size
        if stop > end:
            return
        if _TEXT_FRAME.fullmatch(header[:name_bytes]):
            source.mark_tag(position, stop)
        position = stop


def synchsafe(raw: bytes) -> int:
    """Decode an ID3v2 size: four bytes of seven bits."""
    return raw[0] << 21 | raw[1] << 14 | raw[2] << 7 | raw[3]
