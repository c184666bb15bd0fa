"""Prove RealMedia by its chunks and packets: RealNetworks' "RealMedia File Format" and FFmpeg's rmdec.c."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.detection.beginnings import strong_beginning
from gateway.detection.formats.endings import something_follows
from gateway.detection.formats.payload import SPAN, refuse_text
from gateway.detection.source import Source
from gateway.detection.verdict import Kind, Look, Refused, Structure, Track, broken, rounded, text, truncated

_CHUNK = 10
_PACKET = 12
# FFmpeg counts the header of the packets twice in their size.
_SLACK = 32
# More than this after the last chunk is another file.
_MORE = 4096
_BEGINNING = 512
MAX_CHUNKS = 40
MAX_STREAMS = 16
MAX_PACKETS = 40
MAX_MEDIA = 8 * 1024
_KNOWN = frozenset((b"PROP", b"CONT", b"MDPR", b"INDX", b"RMMD", b"RMJE"))
_SOUND = {"14_4": "ra_144", "28_8": "ra_288", "dnet": "ac3", "raac": "aac", "racp": "aac"}


@dataclass(slots=True)
class _Media:
    """The facts of the chunks before the packets."""

    tracks: list[Track] = field(default_factory=list)
    streams: set[int] = field(default_factory=set)
    seconds: float | None = None
    data: tuple[int, int] | None = None


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like RealMedia."""
    return head[:4] == b".RMF"


def look(source: Source) -> Look[Structure]:
    """Walk the chunks to the packets, which name a stream and lead to one another."""
    head = yield from source.at(0, 18)
    size = int.from_bytes(head[4:8])
    if len(head) < 18:
        raise truncated("its header", "rm")
    if not 16 <= size <= 32 or int.from_bytes(head[8:10]) > 1:
        raise broken("The header is malformed", "rm")
    found = _Media()
    yield from _chunks(source, found, size)
    kinds = {track.kind for track in found.tracks}
    if not kinds & {"audio", "video"}:
        raise Refused("tracks", "The file holds no audio and no video stream.", "rm")
    if found.data is None:
        raise truncated("its header, before any sound or picture", "rm")
    yield from _packets(source, found)
    kind: Kind = "video" if "video" in kinds else "audio"
    start, end = found.data
    cut = end > source.size + _SLACK
    position = yield from _after(source, end)
    available = None
    if cut and found.seconds:
        available = rounded(found.seconds * (source.size - start) / (end - start))
    return Structure(
        "rm", "realmedia", f"{kind}/vnd.rn-real{kind}", kind, tuple(found.tracks), found.seconds,
        min(position, source.size), "stated" if found.seconds else None, not cut, available,
    )  # fmt: skip


def _chunks(source: Source, found: _Media, position: int) -> Look[None]:
    for _ in range(MAX_CHUNKS):
        header = yield from source.at(position, _CHUNK + 8)
        if len(header) < _CHUNK:
            return
        name, size = header[:4], int.from_bytes(header[4:8])
        if name == b"DATA":
            # A recording that never ended states no size.
            if size < _CHUNK + 8:
                raise broken("The packets have no size", "rm")
            found.data = (position + _CHUNK + 8, position + size)
            return
        if name not in _KNOWN or size < _CHUNK:
            raise broken("A chunk is of no known type", "rm")
        if position + size > source.size:
            raise truncated("its header", "rm")
        body = yield from source.at(position + _CHUNK, min(size - _CHUNK, MAX_MEDIA))
        if name == b"PROP":
            seconds = int.from_bytes(body[20:24]) / 1000
            found.seconds = rounded(seconds)
        elif name == b"MDPR" and len(found.tracks) < MAX_STREAMS:
            found.streams.add(int.from_bytes(body[:2]))
            found.tracks.append(_stream(body))
        if name in (b"CONT", b"MDPR", b"RMMD"):
            source.mark_tag(position + _CHUNK, position + size)
        position += size


def _stream(body: bytes) -> Track:
    """Read the names of a stream, then the description of its codec."""
    at = 30
    at += 1 + (body[at] if at < len(body) else 0)
    at += 1 + (body[at] if at < len(body) else 0)
    special = body[at + 4 : at + 4 + int.from_bytes(body[at : at + 4])]
    if special[:4] == b".ra\xfd" and len(special) >= 56:
        return _sound(special)
    if special[4:8] == b"VIDO" and len(special) >= 26:
        rate = int.from_bytes(special[22:26]) / 65_536
        return Track(
            "video", (text(special[8:12]) or "").lower() or None, width=int.from_bytes(special[12:14]) or None,
            height=int.from_bytes(special[14:16]) or None, frame_rate=round(rate, 3) or None,
        )  # fmt: skip
    return Track("other")


def _sound(special: bytes) -> Track:
    version = int.from_bytes(special[4:6])
    if version == 5 and len(special) >= 70:
        rate, channels, name = special[54:56], special[60:62], special[66:70]
    else:
        rate, channels = special[48:50], special[54:56]
        skip = 57 + special[56] if len(special) > 56 else 57
        name = special[skip + 1 : skip + 5]
    own = text(name)
    return Track(
        "audio", _SOUND.get(own or "", own), channels=int.from_bytes(channels) or None,
        sample_rate_hz=int.from_bytes(rate) or None,
    )  # fmt: skip


def _packets(source: Source, found: _Media) -> Look[None]:
    """Check that packets lead to one another through the first 4 KiB."""
    assert found.data is not None
    position, end = found.data
    end = min(end, source.size)
    far = min(position + SPAN, end)
    count = 0
    while position < far and count < MAX_PACKETS:
        header = yield from source.at(position, _PACKET)
        size = int.from_bytes(header[2:4])
        if len(header) < _PACKET or position + size > end:
            break
        if int.from_bytes(header[:2]) > 1 or size < _PACKET or int.from_bytes(header[4:6]) not in found.streams:
            raise broken("A packet is malformed", "rm")
        if count < 2:
            yield from refuse_text(source, position + _PACKET, "rm", size - _PACKET)
        position, count = position + size, count + 1
    if not count:
        raise truncated("its header, before any sound or picture", "rm")


def _after(source: Source, position: int) -> Look[int]:
    """Return the end of the chunks after the packets: indexes and metadata."""
    yield from source.tail()
    for _ in range(MAX_CHUNKS):
        header = source.cached(position, _CHUNK) if position < source.size else b""
        size = int.from_bytes(header[4:8]) if header else 0
        if not header or header[:4] not in _KNOWN or size < _CHUNK:
            break
        if header[:4] != b"INDX":
            source.mark_tag(position + _CHUNK, position + size)
        position += size
    yield from _refuse_more(source, position)
    return position


def _refuse_more(source: Source, position: int) -> Look[None]:
    """Raise Refused where something else follows the last chunk, whose end may be stated some bytes too late."""
    if position >= source.size:
        return
    begin = max(0, position - _SLACK)
    rest = yield from source.at(begin, _MORE + _SLACK)
    starts = range(min(_SLACK, len(rest)) + 1)
    if source.size - position > _MORE or any(strong_beginning(rest[at : at + _BEGINNING]) for at in starts):
        raise something_follows("RealMedia")
