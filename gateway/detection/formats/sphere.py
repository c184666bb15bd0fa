"""Prove NIST SPHERE: the header of NIST's "Speech File Manipulation Software (SPHERE) Package", version 2.6."""

from __future__ import annotations

import re

from gateway.detection.formats.payload import refuse_hidden, refuse_text
from gateway.detection.formats.riff import LEAST_SOUND
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Refused, Structure, Track, broken, rounded, truncated

# The first line names the format, the second one the size of the header in seven characters.
_BEGIN = re.compile(rb"NIST_1A\n {0,6}(\d{1,7})\n")
_FIELD = re.compile(rb"([A-Za-z0-9_]{1,64}) -(i|r|s\d{1,4}) ([^\n]{0,1024})")
# The package writes 1,024 bytes; collections with long notes have some kilobytes.
MAX_HEADER = 16 * 1024
MAX_FIELDS = 256
_LINEAR = frozenset((b"pcm", b""))
_PACKED = {b"ulaw": "pcm_mulaw", b"mu-law": "pcm_mulaw", b"alaw": "pcm_alaw"}


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like NIST SPHERE."""
    return head[:8] == b"NIST_1A\n"


def look(source: Source) -> Look[Structure]:
    """Read the fields of the header and compare the size of the sound with the file's end."""
    begin = _BEGIN.match((yield from source.at(0, 16)))
    size = int(begin[1]) if begin else 0
    if not 64 <= size <= MAX_HEADER:
        raise broken("The header is malformed", "sph")
    header = yield from source.at(0, size)
    if len(header) < size:
        raise truncated("its header", "sph")
    fields = _fields(header)
    coding = fields.get(b"sample_coding", b"")
    if b"," in coding or coding.startswith((b"shorten", b"wavpack")):
        reason = "This is a compressed NIST SPHERE file, which is not accepted here. Export it as WAV."
        raise Refused("unknown", reason, "sph")
    track, width = _track(fields, coding)
    source.mark_tag(0, size)
    return (yield from _structure(source, fields, track, width, size))


def _fields(header: bytes) -> dict[bytes, bytes]:
    """Return the fields by name. Raises Refused where a line is none, or the last line is missing."""
    found: dict[bytes, bytes] = {}
    lines = header.split(b"\n")[2:]
    for line in (line.rstrip(b"\r ") for line in lines[:MAX_FIELDS]):
        if line == b"end_head":
            return found
        if not line or line.startswith(b";"):
            continue
        field = _FIELD.fullmatch(line)
        if field is None:
            raise broken("A line of the header is malformed", "sph")
        found[field[1]] = field[3].strip()
    raise broken("The header has no end", "sph")


def _count(fields: dict[bytes, bytes], name: bytes, most: int) -> int:
    value = fields.get(name, b"")
    number = int(value) if value.isdigit() and len(value) < 16 else 0
    if not 1 <= number <= most:
        raise broken("The header names impossible numbers", "sph")
    return number


def _track(fields: dict[bytes, bytes], coding: bytes) -> tuple[Track, int]:
    """Return the track and the bytes of one sample."""
    channels = _count(fields, b"channel_count", 64) if b"channel_count" in fields else 1
    rate = _count(fields, b"sample_rate", 3_072_000)
    if coding in _PACKED:
        return Track("audio", _PACKED[coding], channels=channels, sample_rate_hz=rate), 1
    if coding not in _LINEAR:
        raise broken("The header names a coding that no program knows", "sph")
    width = _count(fields, b"sample_n_bytes", 4)
    order = "be" if fields.get(b"sample_byte_format", b"").startswith(b"10") else "le"
    name = "pcm_s8" if width == 1 else f"pcm_s{8 * width}{order}"
    return Track("audio", name, channels=channels, sample_rate_hz=rate), width


def _structure(source: Source, fields: dict[bytes, bytes], track: Track, width: int, start: int) -> Look[Structure]:
    frame = width * (track.channels or 1)
    there = source.size - start
    count = _count(fields, b"sample_count", 1 << 48) if b"sample_count" in fields else there // frame
    size = count * frame
    if size > there and there < min(LEAST_SOUND, size // 2 + 1):
        raise truncated("its sound data", "sph")
    yield from refuse_hidden(source, b"sound", start, "sph")
    yield from refuse_text(source, start, "sph", size)
    cut = size > there
    seconds = rounded(count / (track.sample_rate_hz or 1))
    available = rounded(there / frame / (track.sample_rate_hz or 1)) if cut else None
    return Structure(
        "sph", "sphere", "audio/x-nist-sphere", "audio", (track,), seconds, start + min(size, there),
        "stated" if b"sample_count" in fields else "counted", not cut, available,
    )  # fmt: skip
