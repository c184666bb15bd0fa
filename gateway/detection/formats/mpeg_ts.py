"""Prove MPEG transport streams by stride 188, 192 (Blu-ray, AVCHD) or 204 (with FEC): ISO/IEC 13818-1."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gateway.detection.formats.crc import mpeg_crc
from gateway.detection.formats.endings import something_follows
from gateway.detection.formats.payload import holds_text
from gateway.detection.formats.payload import is_text as is_prose
from gateway.detection.formats.stream_facts import add_facts
from gateway.detection.source import HEAD, Source
from gateway.detection.verdict import Kind, Look, Refused, Structure, Track, broken, text

SYNC = 0x47
PACKET = 188
# (stride, offset of the first sync byte): a Blu-ray packet has four bytes of time code first.
LAYOUTS = ((188, 0), (192, 4), (204, 0))
ENOUGH = 5
# A recording may begin inside a packet.
MAX_OFFSET = 204
MAX_PACKETS = 640
# PAT and PMT come every 100 ms (ETSI TR 101 290, 5.2.1): at 8 Mbit/s that is 100 KB.
WINDOWS = 5
WINDOW = 32 * 1024
_TAIL_PACKETS = 340
# The sync bytes of the last packets show whether the stream reaches the end of the file.
_LAST_PACKETS = 20
_VIDEO = {0x01: "mpeg1video", 0x02: "mpeg2video", 0x10: "mpeg4", 0x1B: "h264", 0x20: "h264", 0x24: "hevc",
          0x33: "vvc", 0x42: "cavs", 0xD1: "dirac", 0xEA: "vc1"}  # fmt: skip
_AUDIO = {0x03: "mp2", 0x04: "mp2", 0x0F: "aac", 0x11: "aac_latm", 0x1C: "aac", 0x2D: "mpegh", 0x2E: "mpegh",
          0x80: "pcm_bluray", 0x81: "ac3", 0x82: "dts", 0x83: "truehd", 0x84: "eac3", 0x85: "dts", 0x86: "dts",
          0x87: "eac3", 0xA1: "eac3", 0xA2: "dts"}  # fmt: skip
_PRIVATE = {0x6A: "ac3", 0x7A: "eac3", 0x7B: "dts", 0x7C: "aac", 0x7F: "opus", 0x73: "dts"}
_LANGUAGE = 0x0A
_ENOUGH_SOUND = 512
# A clock of 33 bits at 90 kHz starts again after 26.5 hours (2.4.3.7).
CLOCK_HZ, CLOCK_WRAPS = 90_000, 1 << 33


@dataclass(slots=True)
class _Stream:
    program_pids: set[int] = field(default_factory=set)
    tracks: dict[int, Track] = field(default_factory=dict)
    has_tables: bool = False
    packets: int = 0
    bad: int = 0
    starts: dict[int, int] = field(default_factory=dict)
    payloads: dict[int, bytes] = field(default_factory=dict)
    times: list[int] = field(default_factory=list)


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
    found = layout(head[:4096]) or _after_damage(head)
    if found is None:
        return None
    stride, position = found
    if 4 < position <= MAX_OFFSET and holds_text(head[:position]):
        return None
    if is_prose(head):
        raise broken("Sync bytes are there, but the rest is text", "ts")
    stream = _Stream()
    yield from _read_packets(source, stream, stride, position)
    complete = yield from _check_end(source, stride)
    last = _Stream(tracks=stream.tracks, program_pids=stream.program_pids)
    tail = yield from source.tail()
    start = next((at for at in range(stride) if _consistent(tail[-_LAST_PACKETS * stride :], at, stride)), 0)
    _packets(last, tail[-(len(tail) // stride) * stride + start :] if start else tail, stride)
    # A stream that begins late has its first payload behind what was read at the beginning.
    stream.payloads = last.payloads | stream.payloads
    structure = _structure(stream)
    seconds = _seconds(stream.times, last.times)
    return replace(structure, complete=complete, duration_seconds=seconds, duration_is="counted" if seconds else None)


def _after_damage(head: bytes) -> tuple[int, int] | None:
    """Find a stride that begins a few packets later: a packet near the beginning lost or gained bytes."""
    if head[0:1] != b"G":
        return None
    for at in range(PACKET, min(8 * PACKET, len(head))):
        if head[at] != SYNC:
            continue
        for stride in (188, 192):
            if _consistent(head[at : at + 20 * stride], 0, stride):
                return stride, at
    return None


def _read_packets(source: Source, stream: _Stream, stride: int, position: int) -> Look[None]:
    for window in range(WINDOWS):
        data = yield from source.at(position, WINDOW if window else HEAD, ahead=WINDOW)
        used = _packets(stream, data, stride)
        position += used
        if (stream.has_tables and stream.tracks) or not used or stream.bad > 2:
            break


def _check_end(source: Source, stride: int) -> Look[bool]:
    """Say whether the last packet is whole.

    Raises Refused when no packets stand at the end: something else follows the stream.
    """
    tail = yield from source.tail()
    last = tail.rstrip(b"\x00")[-(_LAST_PACKETS + 1) * stride :]
    for at in range(min(stride, len(last))):
        marks = last[at::stride]
        if last[at] == SYNC and marks.count(SYNC) >= len(marks) - 1:
            return (len(last) - at) % stride in (0, PACKET % stride) or len(tail.rstrip(b"\x00")) < len(tail)
    if tail[-_LAST_PACKETS * stride :].count(SYNC) < _LAST_PACKETS // 2 or source.size > len(tail):
        raise something_follows("transport stream")
    return False


def _packets(stream: _Stream, data: bytes, stride: int) -> int:
    at = 0
    while at + PACKET <= len(data) and stream.packets < MAX_PACKETS:
        stream.packets += 1
        if data[at] != SYNC and (again := _resync(data, at, stride)):
            at = again
        if data[at] != SYNC or not data[at + 3] & 0x30:
            stream.bad += 1
        elif data[at + 1] & 0x40:
            _packet(stream, data[at : at + PACKET])
        at += stride
    return at


def _resync(data: bytes, at: int, stride: int) -> int:
    """Return where packets go on after lost or added bytes, 0 where they do not within a few packets."""
    following = data.find(SYNC, at)
    for _ in range(8):
        if not 0 <= following < at + 4 * stride:
            return 0
        if data[following : following + 3 * stride : stride] == bytes((SYNC,)) * 3:
            return following
        following = data.find(SYNC, following + 1)
    return 0


def _packet(stream: _Stream, packet: bytes) -> None:
    """Read a packet in which a section or a PES packet begins."""
    pid = (packet[1] & 0x1F) << 8 | packet[2]
    # The header's error bit, or a packet that is all adaptation field: nothing to read in it. The bits for scrambling
    # may stand on clear packets; a section has a checksum.
    if packet[1] & 0x80 or not packet[3] & 0x10:
        return
    start = 4
    if packet[3] & 0x20:
        start += 1 + packet[4]
    payload = packet[start:]
    if pid == 0 or pid in stream.program_pids:
        _section(stream, pid, payload)
    elif payload[:3] == b"\x00\x00\x01" and len(payload) > 13 and payload[3] >= 0xBC:
        stream.starts[pid] = payload[3]
        body = payload[9 + payload[8] :]
        # A short first packet of sound may end before its header; the first packet of video has the parameter sets.
        if pid not in stream.payloads:
            stream.payloads[pid] = body
        elif payload[3] < 0xE0 and len(stream.payloads[pid]) < _ENOUGH_SOUND:
            stream.payloads[pid] += body
        if payload[7] & 0x80 and payload[3] != 0xBE:
            stream.times.append(clock(payload[9:14]))


def clock(raw: bytes) -> int:
    """Decode a time stamp of 33 bits in five bytes (2.4.3.7)."""
    return (raw[0] >> 1 & 7) << 30 | raw[1] << 22 | raw[2] >> 1 << 15 | raw[3] << 7 | raw[4] >> 1


def _seconds(first: list[int], last: list[int]) -> float | None:
    """Return the time between the earliest of the first and the latest of the last time stamps."""
    if not first or not last:
        return None
    begin = min(first[:16])
    span = (max(last[-16:]) - begin) % CLOCK_WRAPS
    seconds = span / CLOCK_HZ
    return round(seconds, 3) if 0 < seconds < CLOCK_WRAPS / CLOCK_HZ / 2 else None


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
    listed = _descriptors(descriptors)
    language = text(listed[_LANGUAGE][:3]) if _LANGUAGE in listed else None
    if kind in _VIDEO:
        return Track("video", _VIDEO[kind])
    if kind in _AUDIO:
        return Track("audio", _AUDIO[kind], language=language)
    if kind == 0x06:
        for tag, body in listed.items():
            if tag in _PRIVATE:
                return Track("audio", _PRIVATE[tag], language=language)
            if tag == 0x05:
                name = text(body[:4])
                is_video = name in ("HEVC", "AV01", "VC-1", "drac")
                return Track("video", name) if is_video else Track("audio", name, language=language)
    return Track("other", f"0x{kind:02x}")


def _descriptors(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 2 <= len(data):
        found.setdefault(data[at], data[at + 2 : at + 2 + data[at + 1]])
        at += 2 + data[at + 1]
    return found


def _structure(stream: _Stream) -> Structure:
    tracks = tuple(add_facts(track, stream.payloads.get(pid, b"")) for pid, track in stream.tracks.items())
    if not tracks:
        # Cut out of the middle: no tables in reach, but payloads that begin as audio (C0-DF) or video (E0-EF) PES.
        tracks = tuple(
            Track("video" if ident >= 0xE0 else "audio") for ident in stream.starts.values() if 0xBD <= ident <= 0xFD
        )
        if not tracks or stream.bad:
            raise broken("The stream has neither program tables nor packets of sound or pictures", "ts")
    if stream.bad * 2 > stream.packets:
        raise broken("Most packets have no sync byte", "ts")
    if not any(track.kind != "other" for track in tracks):
        raise Refused("tracks", "The stream announces no audio and no video.", "ts")
    kind: Kind = "video" if any(track.kind == "video" for track in tracks) else "audio"
    # RFC 3555 registers the stream under video only.
    return Structure("ts", "mpeg-ts", "video/mp2t", kind, tracks)
