"""Read a sample table of an ISO media file: codec, channels, rates, picture size, and where the samples are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.detection.codecs import one_name
from gateway.detection.formats import aac, nal
from gateway.detection.source import Source
from gateway.detection.verdict import Look, broken, text

# An audio sample entry has 28 bytes of fixed fields after its header, a video one 78 (ISO/IEC 14496-12, 12.1 and 12.2).
_AUDIO_FIXED, _VIDEO_FIXED = 28, 78
_ENTRY_HEADER = 8
MAX_ENTRY = 4096
MAX_CHILDREN = 24
# A frame of compressed sound is far shorter; a table that says more points at other data.
MAX_SOUND_SAMPLE = 65_536
# Codecs that no decoder opens without the record of their configuration.
_NEEDS_RECORD: dict[bytes, tuple[bytes, ...]] = {
    b"mp4a": (b"esds", b"wave", b"dac3", b"chan", b"SA3D"),
    b"avc1": (b"avcC",),
    b"avc3": (b"avcC",),
    b"hvc1": (b"hvcC",),
    b"hev1": (b"hvcC",),
    b"av01": (b"av1C",),
    b"vp09": (b"vpcC",),
    b"Opus": (b"dOps",),
    b"fLaC": (b"dfLa",),
    b"alac": (b"alac", b"wave"),
}
# Object types of MPEG-4 systems that name other codecs than the sample entry (mp4ra.org, "Object Types").
_OBJECT_TYPES = {0x20: "mp4v", 0x21: "h264", 0x40: "aac", 0x60: "mpeg2video", 0x61: "mpeg2video", 0x62: "mpeg2video",
                 0x65: "mpeg2video", 0x66: "aac", 0x67: "aac", 0x68: "aac", 0x69: "mp3", 0x6A: "mpeg1video",
                 0x6B: "mp3", 0x6C: "jpeg", 0x6D: "png", 0xA5: "ac3", 0xA6: "eac3", 0xA9: "dts", 0xAD: "opus",
                 0xDD: "vorbis", 0xE1: "qcelp"}  # fmt: skip
# AMR has one channel and one rate (RFC 4867); sample entries of 3GPP say two.
_AMR = {b"samr": 8_000, b"sawb": 16_000}
_STILL_OBJECTS = frozenset(("jpeg", "png"))
# Still pictures: cover art, chapter images (QuickTime File Format, "Video Media").
STILL = frozenset((b"jpeg", b"png ", b"gif ", b"tiff"))
_FOUR_CC = re.compile(rb"[\x20-\x7e\xa9]{4}")


@dataclass(slots=True)
class SampleEntry:
    """The description of the samples of one track; `object_codec` is named by an MPEG-4 object type."""

    kind: bytes = b""
    object_codec: str | None = None
    codec: str | None = None
    channels: int | None = None
    sample_rate_hz: int | None = None
    width: int | None = None
    height: int | None = None

    @property
    def is_still(self) -> bool:
        """Say whether the samples are still pictures by their codec."""
        return self.kind in STILL or self.object_codec in _STILL_OBJECTS

    @property
    def name(self) -> str | None:
        """The container's own name of the codec."""
        return text(self.kind)

    @property
    def common_name(self) -> str | None:
        """The name by RFC 6381: from the record of the codec, else from the object type."""
        return self.codec or (one_name(self.object_codec) if self.object_codec else None)


def read_entry(source: Source, start: int, end: int, handler: bytes) -> Look[SampleEntry]:
    """Read the first sample entry of stsd, whose payload is given."""
    header = yield from source.at(start, 16)
    size = int.from_bytes(header[8:12])
    if not int.from_bytes(header[4:8]) or not 8 <= size <= end - start:
        return SampleEntry()
    data = yield from source.at(start + 8, min(size, MAX_ENTRY))
    entry = SampleEntry(data[4:8])
    if handler == b"soun":
        _sound(entry, data, whole=size <= MAX_ENTRY)
    else:
        _picture(entry, data, whole=size <= MAX_ENTRY)
    return entry


def _sound(entry: SampleEntry, data: bytes, *, whole: bool) -> None:
    if len(data) < _ENTRY_HEADER + _AUDIO_FIXED:
        return
    version = int.from_bytes(data[16:18])
    entry.channels = int.from_bytes(data[24:26]) or None
    entry.sample_rate_hz = int.from_bytes(data[32:34]) or None
    if version == 2 and len(data) >= 72:
        # QuickTime's version 2 has a 64-bit float and 32-bit counts ("Sound Sample Description (Version 2)").
        entry.channels = int.from_bytes(data[48:52]) or None
        entry.sample_rate_hz = _float_rate(data[40:48])
        if entry.kind == b"lpcm":
            bits, flags = int.from_bytes(data[56:60]), int.from_bytes(data[60:64])
            entry.object_codec = f"pcm_{'f' if flags & 1 else 's'}{bits}{'be' if flags & 2 else 'le'}"
    fixed = _AUDIO_FIXED + (16 if version == 1 else 36 if version == 2 else 0)
    records = _records(data, _ENTRY_HEADER + fixed)
    if b"wave" in records:
        records |= _records(records[b"wave"], 0)
    if version == 1 and not records:
        # Writers that set version 1 without its fields.
        records = _records(data, _ENTRY_HEADER + _AUDIO_FIXED)
    _require_record(entry, records, whole=whole, quicktime=version > 0)
    _sound_record(entry, records)


def _sound_record(entry: SampleEntry, records: dict[bytes, bytes]) -> None:
    """Read channels and rate from the record of the codec, which is right where the sample entry is not."""
    if entry.kind in _AMR:
        entry.channels, entry.sample_rate_hz = 1, _AMR[entry.kind]
    elif esds := records.get(b"esds"):
        _elementary(entry, esds)
    elif len(dops := records.get(b"dOps", b"")) > 1:
        entry.channels, entry.sample_rate_hz = dops[1], 48_000
    elif entry.kind == b"alac" and len(cookie := records.get(b"alac", b"")) >= 28:
        entry.channels, entry.sample_rate_hz = cookie[13], int.from_bytes(cookie[24:28]) or entry.sample_rate_hz
    elif entry.kind == b"fLaC" and len(info := records.get(b"dfLa", b"")) >= 21:
        entry.channels, entry.sample_rate_hz = (info[20] >> 1 & 7) + 1, int.from_bytes(info[18:21]) >> 4
    elif entry.kind == b"ac-3" and len(dac3 := records.get(b"dac3", b"")) >= 3:
        fields = int.from_bytes(dac3[:3])
        entry.channels = (2, 1, 2, 3, 3, 4, 4, 5)[fields >> 11 & 7] + (fields >> 10 & 1)


def _float_rate(raw: bytes) -> int | None:
    """Decode a 64-bit float sample rate."""
    exponent = (int.from_bytes(raw[:2]) >> 4 & 0x7FF) - 1023
    if not 0 <= exponent <= 24:
        return None
    mantissa = int.from_bytes(raw) & ((1 << 52) - 1) | 1 << 52
    return round(mantissa / 2.0 ** (52 - exponent))


def _picture(entry: SampleEntry, data: bytes, *, whole: bool) -> None:
    if len(data) < _ENTRY_HEADER + 28:
        return
    entry.width, entry.height = int.from_bytes(data[32:34]) or None, int.from_bytes(data[34:36]) or None
    records = _records(data, _ENTRY_HEADER + _VIDEO_FIXED)
    _require_record(entry, records, whole=whole, quicktime=False)
    if esds := records.get(b"esds"):
        _elementary(entry, esds)
    elif len(avc := records.get(b"avcC", b"")) >= 8:
        entry.codec = f"{text(entry.kind)}.{avc[1:4].hex()}"
        length = int.from_bytes(avc[6:8])
        if not entry.width and (picture := nal.h264_picture(avc[8 : 8 + length])):
            entry.width, entry.height = picture.width, picture.height
    elif len(hevc := records.get(b"hvcC", b"")) >= 13:
        entry.codec = f"{text(entry.kind)}.{hevc[1] & 0x1F}.{int.from_bytes(hevc[2:6]):X}.L{hevc[12]}"
    elif len(vpc := records.get(b"vpcC", b"")) >= 7:
        entry.codec = f"vp09.{vpc[4]:02d}.{vpc[5]:02d}.{vpc[6] >> 4:02d}"
    elif len(av1 := records.get(b"av1C", b"")) >= 4:
        depth = (8, 10, 10, 12)[av1[2] >> 5 & 3]
        entry.codec = f"av01.{av1[1] >> 5}.{av1[1] & 31:02d}{'H' if av1[2] & 128 else 'M'}.{depth:02d}"


def _require_record(entry: SampleEntry, records: dict[bytes, bytes], *, whole: bool, quicktime: bool) -> None:
    """Raise Refused when the record is missing without which no decoder opens the samples."""
    needed = _NEEDS_RECORD.get(entry.kind)
    if needed and whole and not quicktime and not any(name in records for name in needed):
        raise broken("A track does not say how its samples are decoded", "mp4")


def _records(data: bytes, at: int) -> dict[bytes, bytes]:
    """Return the boxes that stand side by side in these bytes, by type."""
    found: dict[bytes, bytes] = {}
    for _ in range(MAX_CHILDREN):
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if size < 8 or not _FOUR_CC.fullmatch(kind):
            break
        found.setdefault(kind, data[at + 8 : at + size])
        at += size
    return found


def _elementary(entry: SampleEntry, esds: bytes) -> None:
    """Read object type and decoder configuration of an elementary stream descriptor (ISO/IEC 14496-1, 7.2.6.5)."""
    at = _descriptor(esds, 4, 0x03)
    if at is None or at + 3 > len(esds):
        return
    flags = esds[at + 2]
    at += 3 + (2 if flags & 0x80 else 0) + (2 if flags & 0x20 else 0)
    if flags & 0x40:
        at += 1 + esds[at] if at < len(esds) else 1
    config = _descriptor(esds, at, 0x04)
    if config is None or config >= len(esds):
        return
    entry.object_codec = _OBJECT_TYPES.get(esds[config])
    special = _descriptor(esds, config + 13, 0x05)
    if special is None or entry.kind != b"mp4a":
        return
    if entry.object_codec == "aac" and (found := aac.audio_specific_config(esds[special : special + 64])):
        entry.codec = f"mp4a.40.{found.object_type}"
        entry.channels = found.channels or entry.channels
        entry.sample_rate_hz = found.sample_rate_hz or entry.sample_rate_hz
        if found.object_type in (32, 33, 34):
            entry.object_codec = f"mp{found.object_type - 31}"
            entry.codec = None


def _descriptor(data: bytes, at: int, tag: int) -> int | None:
    """Return the offset after tag and length of a descriptor (14496-1, 8.3.3), None where it does not stand here."""
    if at >= len(data) or data[at] != tag:
        return None
    at += 1
    for _ in range(4):
        if at >= len(data):
            return None
        at += 1
        if not data[at - 1] & 0x80:
            break
    return at
