"""Prove MXF by its partitions and the triplets that lead from one to the next: SMPTE ST 377-1."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.detection.formats.endings import is_foreign, something_follows
from gateway.detection.formats.payload import SPAN, refuse_text
from gateway.detection.source import MAX_READ, Source
from gateway.detection.verdict import DurationSource, Kind, Look, Refused, Structure, Track, broken, rounded, truncated

_SMPTE = b"\x06\x0e\x2b\x34"
_PARTITION = bytes.fromhex("060e2b34020501010d01020101")
_SET = bytes.fromhex("060e2b34025301010d01010101")
_ESSENCE = bytes.fromhex("060e2b34010201010d010301")
# The byte after the key of a partition says which one, the one after that how complete it is (7.1).
_HEADER_PARTITION, _FOOTER_PARTITION = 0x02, 0x04
# Items by type: compound, picture, sound; frame-wrapped D-10 first (SMPTE ST 379-1).
_PICTURE_ITEMS, _SOUND_ITEMS = frozenset((0x05, 0x15)), frozenset((0x06, 0x16))
_COMPOUND_ITEMS = frozenset((0x07, 0x14, 0x17, 0x18))
_PICTURE_SETS, _SOUND_SETS = frozenset((0x27, 0x28, 0x29, 0x51)), frozenset((0x42, 0x47, 0x48))
_DESCRIPTORS = _PICTURE_SETS | _SOUND_SETS
_TRACK, _SEQUENCE = 0x3B, 0x0F
# The material package says what is played, the source package where it is: players need both (9.4).
_PACKAGES = frozenset((0x36, 0x37))
# Local tags of the descriptors (annex D).
_SAMPLE_RATE, _DURATION = 0x3001, 0x3002
_CODING, _HEIGHT, _WIDTH = 0x3201, 0x3202, 0x3203
_EDIT_RATE, _LENGTH, _LAYOUT = 0x4B01, 0x0202, 0x320C
_BITS, _SOUND_RATE, _CHANNELS = 0x3D01, 0x3D03, 0x3D07
# Picture codings by the end of their label (SMPTE registers RP 224).
_CODINGS = (
    (b"\x02\x02\x01\x32", "h264"), (b"\x02\x02\x01\x31", "h264"), (b"\x02\x02\x01\x20", "mpeg4"),
    (b"\x02\x02\x01", "mpeg2video"), (b"\x02\x02\x02", "dvvideo"), (b"\x02\x02\x03\x01", "jpeg2000"),
    (b"\x02\x02\x03\x06", "prores"), (b"\x02\x02\x71", "dnxhd"), (b"\x02\x01", "rawvideo"),
)  # fmt: skip
MAX_METADATA = 60 * 1024
MAX_TRIPLETS = 400
# 256 TiB; eight letters are more.
MAX_OFFSET = 1 << 48
# Triplets of the file's body that are stepped over where each costs a read.
MAX_HOPS = 12
MAX_AFTER_FOOTER = 64
MAX_TRACKS = 32


@dataclass(slots=True)
class _File:
    """The facts of the header partition and of the first essence."""

    footer: int = 0
    tracks: list[Track] = field(default_factory=list)
    duration_seconds: float | None = None
    edit_rate: float | None = None
    packages: set[int] = field(default_factory=set)
    items: set[int] = field(default_factory=set)
    essence_at: int = 0


def looks_like(head: bytes) -> bool:
    """Say whether the file begins with a header partition."""
    return head[:13] == _PARTITION and head[13:14] == bytes((_HEADER_PARTITION,))


def _triplet(data: bytes, position: int) -> tuple[bytes, int, int] | None:
    """Return the key, the start of the value and its end; None where the bytes are no triplet."""
    if len(data) < 17 or data[:4] != _SMPTE:
        return None
    width = data[16] & 0x7F if data[16] & 0x80 else 0
    if width > 8 or len(data) < 17 + width:
        return None
    length = int.from_bytes(data[17 : 17 + width]) if width else data[16]
    return data[:16], position + 17 + width, position + 17 + width + length


def look(source: Source) -> Look[Structure]:
    """Read the header partition and its metadata, step to the first essence, and check the footer."""
    found = _File()
    first = _triplet((yield from source.at(0, 32)), 0)
    if first is None:
        raise truncated("its first partition", "mxf")
    _, start, end = first
    pack = yield from source.at(start, 88)
    if len(pack) < 88 or end > source.size:
        raise truncated("its first partition", "mxf")
    # Version 1, this partition at 0, and a header of some bytes.
    if pack[:2] != b"\x00\x01" or any(pack[8:16]) or not 88 <= end - start <= 4096:
        raise broken("The first partition names impossible numbers", "mxf")
    found.footer = int.from_bytes(pack[24:32])
    if found.footer > MAX_OFFSET:
        raise broken("The first partition names impossible numbers", "mxf")
    metadata = min(int.from_bytes(pack[32:40]), MAX_METADATA)
    yield from source.at(end, min(metadata, MAX_READ), ahead=min(metadata, MAX_READ))
    yield from _walk(source, found, end)
    if found.packages != _PACKAGES:
        raise broken("The header describes no film", "mxf")
    if not found.essence_at:
        raise truncated("its header, before any sound or picture", "mxf")
    return (yield from _structure(source, found))


def _walk(source: Source, found: _File, position: int) -> Look[None]:
    """Step from triplet to triplet through metadata, fill and index tables to the first essence."""
    hops = 0
    for _ in range(MAX_TRIPLETS):
        if position >= source.size:
            return
        hops += source.cached(position, 32) is None
        if hops > MAX_HOPS:
            raise Refused(
                "budget", "The film is laid out so that its type cannot be proven from a few kilobytes.", "mxf"
            )
        triplet = _triplet((yield from source.at(position, 32)), position)
        if triplet is None:
            raise broken("A part of the film does not lead to the next", "mxf")
        key, start, end = triplet
        if key[:12] == _ESSENCE:
            found.items.add(key[12])
            if not found.essence_at and end > start and start < source.size:
                yield from refuse_text(source, start, "mxf", min(end - start, SPAN))
                found.essence_at = start
            if len(found.items) > 1 or source.cached(end, 32) is None:
                return
        elif key[:13] == _SET:
            source.mark_tag(start, end)
            found.packages.update({key[14]} & _PACKAGES)
            _note(found, key[14], source.cached(start, min(end - start, 4096)) or b"")
        position = end


def _note(found: _File, kind: int, data: bytes) -> None:
    """Read the local tags of a descriptor, of a track or of its sequence."""
    if kind not in _DESCRIPTORS | {_TRACK, _SEQUENCE} or len(found.tracks) >= MAX_TRACKS:
        return
    fields: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at + 2 : at + 4])
        fields[int.from_bytes(data[at : at + 2])] = data[at + 4 : at + 4 + size]
        at += 4 + size
    if kind == _TRACK:
        found.edit_rate = _ratio(fields.get(_EDIT_RATE, b""))
        return
    rate = found.edit_rate if kind == _SEQUENCE else _ratio(fields.get(_SAMPLE_RATE, b""))
    if kind == _SEQUENCE:
        fields[_DURATION] = fields.get(_LENGTH, b"")
    length = int.from_bytes(fields.get(_DURATION, b""))
    if rate and 0 < length < 1 << 40:
        found.duration_seconds = max(found.duration_seconds or 0.0, length / rate)
    if kind == _SEQUENCE:
        return
    found.tracks.append(_picture(fields, rate) if kind in _PICTURE_SETS else _sound(fields))


def _picture(fields: dict[int, bytes], rate: float | None) -> Track:
    label = fields.get(_CODING, b"")[10:]
    name = next((name for end, name in _CODINGS if label.startswith(end)), None)
    width, height = int.from_bytes(fields.get(_WIDTH, b"")), int.from_bytes(fields.get(_HEIGHT, b""))
    # The two fields of a picture are stored apart.
    height *= 2 if fields.get(_LAYOUT) == b"\x01" else 1
    return Track("video", name, width=width or None, height=height or None, frame_rate=round(rate, 3) if rate else None)


def _sound(fields: dict[int, bytes]) -> Track:
    rate, bits = _ratio(fields.get(_SOUND_RATE, b"")), int.from_bytes(fields.get(_BITS, b""))
    channels = int.from_bytes(fields.get(_CHANNELS, b""))
    name = f"pcm_s{bits}le" if bits in (16, 24, 32) else None
    return Track("audio", name, channels=channels or None, sample_rate_hz=round(rate) if rate else None)


def _ratio(raw: bytes) -> float | None:
    over, under = int.from_bytes(raw[:4]), int.from_bytes(raw[4:8])
    return over / under if over and under else None


def _structure(source: Source, found: _File) -> Look[Structure]:
    tracks = tuple(found.tracks) or tuple(
        Track("video" if item in _PICTURE_ITEMS else "audio")
        for item in sorted(found.items & (_PICTURE_ITEMS | _SOUND_ITEMS))
    )
    known = found.items & (_PICTURE_ITEMS | _SOUND_ITEMS | _COMPOUND_ITEMS)
    if not tracks or not known:
        raise Refused("tracks", "The film holds neither sound nor pictures.", "mxf")
    end, complete = yield from _end(source, found)
    kind: Kind = "video" if any(track.kind == "video" for track in tracks) else "audio"
    seconds = rounded(found.duration_seconds) if found.duration_seconds else None
    how: DurationSource | None = "stated" if seconds else None
    available = None
    if complete is False and seconds and found.footer:
        available = rounded(seconds * min(1.0, source.size / found.footer))
    return Structure("mxf", "mxf", "application/mxf", kind, tracks, seconds, end, how, complete, available)


def _open_end(source: Source, tail: bytes) -> tuple[int | None, bool | None]:
    """Return the end of a film that states no footer: a recording that never finished, or one that was streamed."""
    offset = source.size - len(tail)
    at = tail.rfind(_SMPTE)
    for _ in range(MAX_AFTER_FOOTER):
        triplet = _triplet(tail[at : at + 32], offset + at) if at >= 0 else None
        if triplet is not None:
            if triplet[2] <= source.size and is_foreign(tail[triplet[2] - offset :].rstrip(b"\x00")):
                raise something_follows("MXF")
            return min(triplet[2], source.size), None if triplet[2] <= source.size else False
        at = tail.rfind(_SMPTE, 0, at) if at > 0 else -1
    raise truncated("its last pictures, before its footer", "mxf")


def _end(source: Source, found: _File) -> Look[tuple[int | None, bool | None]]:
    """Return the end of the last triplet, and whether the footer is there.

    Raises Refused when the film states no footer and no triplets stand near the end.
    """
    tail = yield from source.tail()
    if found.footer >= source.size:
        return None, False
    position = found.footer
    if not position:
        return _open_end(source, tail)
    header = yield from source.at(position, 32)
    if header[:13] != _PARTITION or header[13] != _FOOTER_PARTITION:
        raise broken("The footer is not where the header says", "mxf")
    for _ in range(MAX_AFTER_FOOTER):
        triplet = _triplet((yield from source.at(position, 32)), position)
        if triplet is None or triplet[2] > source.size:
            break
        source.mark_tag(triplet[1], triplet[2])
        position = triplet[2]
    return position, True
