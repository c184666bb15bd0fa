"""Prove Ogg by pages with their CRC: RFC 3533 and RFC 5334 (media types)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.detection.formats.crc import ogg_crc
from gateway.detection.formats.payload import SPAN
from gateway.detection.source import Source
from gateway.detection.verdict import Kind, Look, Refused, Structure, Track, broken, truncated

MAX_PAGES = 24
MAX_PAGE = 27 + 255 + 255 * 255
# First bytes of a stream: (magic, kind, codec). Xiph's "MIME types and file extensions", RFC 7845, RFC 5574.
_CODECS: tuple[tuple[bytes, str, str | None], ...] = (
    (b"\x01vorbis", "audio", "vorbis"),
    (b"OpusHead", "audio", "opus"),
    (b"Speex   ", "audio", "speex"),
    (b"\x7fFLAC", "audio", "flac"),
    (b"fLaC", "audio", "flac"),
    (b"PCM     ", "audio", "pcm"),
    (b"CELT    ", "audio", "celt"),
    (b"\x80theora", "video", "theora"),
    (b"BBCD\x00", "video", "dirac"),
    (b"\x80daala", "video", "daala"),
    (b"OVP80", "video", "vp8"),
    (b"YUV4MPEG", "video", "yuv4mpeg"),
    (b"\x01video\x00", "video", None),
    (b"\x01audio\x00", "audio", None),
    (b"fishead\x00", "other", "skeleton"),
    (b"\x80kate\x00", "other", "kate"),
    (b"CMML\x00\x00\x00\x00", "other", "cmml"),
    (b"\x01text\x00", "other", None),
)


@dataclass(slots=True)
class _Page:
    flags: int
    granule: int
    serial: int
    body: bytes
    end: int


def looks_like(head: bytes) -> bool:
    """Say whether the file begins with an Ogg page."""
    return head[:4] == b"OggS"


def look(source: Source, position: int = 0) -> Look[Structure]:
    """Read the beginning-of-stream pages and one page behind them, each with its CRC."""
    tracks: list[Track] = []
    rate_of: dict[int, tuple[int, int]] = {}
    for _ in range(MAX_PAGES):
        page = yield from _page(source, position)
        position = page.end
        if not page.flags & 2:
            break
        track, rate, skip = _describe(page.body)
        tracks.append(track)
        if rate:
            rate_of[page.serial] = (rate, skip)
    else:
        raise broken("The file begins more streams than any player takes", "ogg")
    if not tracks:
        raise broken("The first page does not begin a stream", "ogg")
    yield from _lead_on(source, position)
    return _structure(tuple(tracks), (yield from _duration(source, rate_of)))


def _lead_on(source: Source, position: int) -> Look[None]:
    """Check that pages lead to pages through the first 4 KiB, or half of a shorter file: two may have 60 bytes."""
    far = min(SPAN, source.size // 2)
    while position < far:
        header = yield from source.at(position, 27)
        if len(header) < 27 or header[:5] != b"OggS\x00":
            raise broken("A page does not lead to the next", "ogg")
        table = yield from source.at(position + 27, header[26])
        position += 27 + header[26] + sum(table)


def _page(source: Source, position: int) -> Look[_Page]:
    header = yield from source.at(position, 27)
    if len(header) < 27 and (not header or b"OggS".startswith(header[:4]) or header[:4] == b"OggS"):
        raise truncated("its first pages", "ogg")
    if header[:4] != b"OggS" or header[4] != 0 or header[5] & ~7:
        raise broken("A page is malformed", "ogg")
    table = yield from source.at(position + 27, header[26])
    size = 27 + header[26] + sum(table)
    if len(table) < header[26] or position + size > source.size:
        raise truncated("its first pages", "ogg")
    whole = yield from source.at(position, size)
    if len(whole) < size:
        raise truncated("its first pages", "ogg")
    if ogg_crc(whole[:22] + bytes(4) + whole[26:]) != int.from_bytes(whole[22:26], "little"):
        raise broken("The checksum of a page is wrong", "ogg")
    granule, serial = int.from_bytes(whole[6:14], "little"), int.from_bytes(whole[14:18], "little")
    return _Page(header[5], granule, serial, whole[27 + header[26] :], position + size)


def _describe(body: bytes) -> tuple[Track, int, int]:
    """Return the track and, where a granule position counts samples, samples a second and samples to skip."""
    for magic, kind, codec in _CODECS:
        if body.startswith(magic):
            rate, skip = _rate(codec, body)
            if kind == "audio":
                return Track("audio", codec), rate, skip
            return Track("video" if kind == "video" else "other", codec), 0, 0
    return Track("other", None), 0, 0


def _rate(codec: str | None, body: bytes) -> tuple[int, int]:
    if codec == "opus" and len(body) >= 19:
        return 48_000, int.from_bytes(body[10:12], "little")
    if codec == "vorbis" and len(body) >= 16:
        return int.from_bytes(body[12:16], "little"), 0
    if codec == "speex" and len(body) >= 40:
        return int.from_bytes(body[36:40], "little"), 0
    if codec == "flac" and body[:5] == b"\x7fFLAC" and len(body) >= 51:
        return int.from_bytes(body[27:30]) >> 4, 0
    return 0, 0


def _duration(source: Source, rate_of: dict[int, tuple[int, int]]) -> Look[float | None]:
    """Take the granule position of the last page, which the tail read holds anyway."""
    if not rate_of:
        return None
    tail = yield from source.tail()
    at = tail.rfind(b"OggS")
    for _ in range(MAX_PAGES):
        if at < 0:
            return None
        page = tail[at : at + 27]
        if len(page) == 27 and page[4] == 0:
            rate, skip = rate_of.get(int.from_bytes(page[14:18], "little"), (0, 0))
            granule = int.from_bytes(page[6:14], "little")
            if rate and skip <= granule < 1 << 62:
                return round((granule - skip) / rate, 3)
        at = tail.rfind(b"OggS", 0, at)
    return None


def _structure(tracks: tuple[Track, ...], duration: float | None) -> Structure:
    kinds = {track.kind for track in tracks}
    if not kinds & {"audio", "video"}:
        raise Refused("tracks", "The file holds no audio and no video stream that is known here.", "ogg")
    kind: Kind = "video" if "video" in kinds else "audio"
    return Structure("ogg", "ogg", f"{kind}/ogg", kind, tracks, duration)
