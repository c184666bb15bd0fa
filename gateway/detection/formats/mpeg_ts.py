"""Prove MPEG transport streams by stride 188, 192 (Blu-ray, AVCHD) or 204 (with FEC): ISO/IEC 13818-1."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.detection.formats.crc import mpeg_crc
from gateway.detection.formats.elementary import is_text
from gateway.detection.formats.payload import is_text as is_prose
from gateway.detection.source import HEAD, Source
from gateway.detection.verdict import Kind, Look, Refused, Structure, Track, broken, text

SYNC = 0x47
# (stride, offset of the first sync byte): a Blu-ray packet has four bytes of time code first.
LAYOUTS = ((188, 0), (192, 4), (204, 0))
ENOUGH = 5
# A recording may begin inside a packet.
MAX_OFFSET = 204
MAX_PACKETS = 640
# PAT and PMT come every 100 ms (ETSI TR 101 290, 5.2.1): at 8 Mbit/s that is 100 KB.
WINDOWS = 5
WINDOW = 32 * 1024
_VIDEO = {0x01: "mpeg1video", 0x02: "mpeg2video", 0x10: "mpeg4", 0x1B: "h264", 0x20: "h264", 0x24: "hevc",
          0x33: "vvc", 0x42: "cavs", 0xD1: "dirac", 0xEA: "vc1"}  # fmt: skip
_AUDIO = {0x03: "mp2", 0x04: "mp2", 0x0F: "aac", 0x11: "aac_latm", 0x1C: "aac", 0x80: "pcm_bluray", 0x81: "ac3",
          0x82: "dts", 0x83: "truehd", 0x84: "eac3", 0x85: "dts", 0x86: "dts", 0x87: "eac3", 0xA1: "eac3",
          0xA2: "dts"}  # fmt: skip
_PRIVATE = {0x6A: "ac3", 0x7A: "eac3", 0x7B: "dts", 0x7C: "aac", 0x7F: "opus", 0x73: "dts"}


@dataclass(slots=True)
class _Stream:
    program_pids: set[int] = field(default_factory=set)
    tracks: dict[int, Track] = field(default_factory=dict)
    has_tables: bool = False
    packets: int = 0
    bad: int = 0
    starts: dict[int, int] = field(default_factory=dict)


def layout(data: bytes) -> tuple[int, int] | None:
    """Return stride and first sync offset when sync bytes stand at one stride through these bytes."""
    for stride, offset in LAYOUTS:
        if _consistent(data, offset, stride):
            return stride, offset
    at = data.find(SYNC)
    for _ in range(8):
        if not 0 <= at < MAX_OFFSET:
            break
        for stride, _ in LAYOUTS:
            if _consistent(data, at, stride):
                return stride, at
        at = data.find(SYNC, at + 1)
    return None


def _consistent(data: bytes, offset: int, stride: int) -> bool:
    marks = data[offset::stride]
    return len(marks) >= ENOUGH and marks.count(SYNC) == len(marks)


def look(source: Source) -> Look[Structure | None]:
    """Find PAT and PMT with right CRCs, or packets whose payloads begin as PES; None when this is no such stream."""
    head = yield from source.at(0, HEAD)
    found = layout(head[:4096])
    if found is None:
        return None
    stride, position = found
    if position > 4 and is_text(head):
        return None
    if is_prose(head):
        raise broken("Sync bytes are there, but the rest is text", "ts")
    stream = _Stream()
    for _ in range(WINDOWS):
        data = yield from source.at(position, WINDOW if position else len(head), ahead=WINDOW)
        used = _packets(stream, data, stride)
        position += used
        if (stream.has_tables and stream.tracks) or not used or stream.bad > 2:
            break
    return _structure(stream)


def _packets(stream: _Stream, data: bytes, stride: int) -> int:
    at = 0
    while at + 188 <= len(data) and stream.packets < MAX_PACKETS:
        packet = data[at : at + 188]
        stream.packets += 1
        if packet[0] != SYNC or not packet[3] & 0x30:
            stream.bad += 1
        else:
            _packet(stream, packet)
        at += stride
    return at


def _packet(stream: _Stream, packet: bytes) -> None:
    pid = (packet[1] & 0x1F) << 8 | packet[2]
    # The header's error bit, scrambling, or a packet that is all adaptation field: nothing to read in it.
    if packet[1] & 0x80 or packet[3] & 0xC0 or not packet[3] & 0x10 or not packet[1] & 0x40:
        return
    start = 4
    if packet[3] & 0x20:
        start += 1 + packet[4]
    payload = packet[start:]
    if pid == 0 or pid in stream.program_pids:
        _section(stream, pid, payload)
    elif payload[:3] == b"\x00\x00\x01" and len(payload) > 3 and payload[3] >= 0xBC:
        stream.starts[pid] = payload[3]


def _section(stream: _Stream, pid: int, payload: bytes) -> None:
    """Read a PAT or PMT section that fits one packet, as nearly all do."""
    section = payload[1 + payload[0] :] if payload else b""
    if len(section) < 12:
        return
    length = 3 + ((section[1] & 15) << 8 | section[2])
    if length < 12:
        return
    whole = length <= len(section)
    if whole and mpeg_crc(section[:length]):
        return
    if pid == 0 and section[0] == 0 and whole:
        stream.program_pids.update(
            (section[at + 2] & 0x1F) << 8 | section[at + 3]
            for at in range(8, min(length - 4, 8 + 4 * 32), 4)
            if section[at] or section[at + 1]
        )
    elif pid and section[0] == 2 and length >= 16:
        stream.has_tables = True
        _programs(stream, section[: length - 4])


def _programs(stream: _Stream, section: bytes) -> None:
    at = 12 + ((section[10] & 15) << 8 | section[11])
    while at + 5 <= len(section) and len(stream.tracks) < 32:
        kind, pid = section[at], (section[at + 1] & 0x1F) << 8 | section[at + 2]
        length = (section[at + 3] & 15) << 8 | section[at + 4]
        stream.tracks[pid] = _track(kind, section[at + 5 : at + 5 + length])
        at += 5 + length


def _track(kind: int, descriptors: bytes) -> Track:
    if kind in _VIDEO:
        return Track("video", _VIDEO[kind])
    if kind in _AUDIO:
        return Track("audio", _AUDIO[kind])
    if kind == 0x06:
        at = 0
        while at + 2 <= len(descriptors):
            if descriptors[at] in _PRIVATE:
                return Track("audio", _PRIVATE[descriptors[at]])
            if descriptors[at] == 0x05:
                name = text(descriptors[at + 2 : at + 6])
                return Track("video" if name in ("HEVC", "AV01", "VC-1", "drac") else "audio", name)
            at += 2 + descriptors[at + 1]
    return Track("other", f"0x{kind:02x}")


def _structure(stream: _Stream) -> Structure:
    tracks = tuple(stream.tracks.values())
    if not tracks:
        # Cut out of the middle: no tables in reach, but payloads that begin as audio (C0-DF) or video (E0-EF) PES.
        tracks = tuple(
            Track("video" if ident >= 0xE0 else "audio") for ident in stream.starts.values() if 0xBD <= ident <= 0xFD
        )
        if not tracks or stream.bad:
            raise broken("Sync bytes are there, but neither program tables nor packets of sound or pictures", "ts")
    if stream.bad * 2 > stream.packets:
        raise broken("Most packets have no sync byte", "ts")
    if not any(track.kind != "other" for track in tracks):
        raise Refused("tracks", "The stream announces no audio and no video.", "ts")
    kind: Kind = "video" if any(track.kind == "video" for track in tracks) else "audio"
    # RFC 3555 registers the stream under video only.
    return Structure("ts", "mpeg-ts", "video/mp2t", kind, tracks)
