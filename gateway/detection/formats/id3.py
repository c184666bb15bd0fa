"""Step over tags in front of sound: ID3v2 (id3.org, "ID3 tag version 2.4.0 - Main Structure") and APEv2."""

from __future__ import annotations

from gateway.detection.source import Source
from gateway.detection.verdict import Look, broken, truncated

# One is the rule; taggers that do not look leave two or three.
MAX_TAGS = 4


def skip(source: Source, position: int = 0) -> Look[int]:
    """Return the offset behind all tags that stand here."""
    for _ in range(MAX_TAGS):
        header = yield from source.at(position, 32)
        if header[:8] == b"APETAGEX" and len(header) == 32:
            # The size counts the items and the footer, not this header.
            position += 32 + int.from_bytes(header[12:16], "little")
            continue
        if header[:3] != b"ID3":
            return position
        if len(header) < 10:
            raise truncated("its ID3 tag", "mp3")
        if not 2 <= header[3] <= 4 or header[4] == 0xFF or max(header[6:10]) > 0x7F:
            raise broken("The ID3 tag is malformed", "mp3")
        size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
        footer = 10 if header[3] == 4 and header[5] & 0x10 else 0
        position += 10 + size + footer
        if position > source.size:
            raise truncated("its ID3 tag", "mp3")
    return position
