"""Prove Ogg by pages with their CRC: RFC 3533 and RFC 5334 (media types)."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.detection.formats.crc import ogg_crc
from gateway.detection.formats.endings import something_follows
from gateway.detection.formats.payload import SPAN, holds_text
from gateway.detection.source import MAX_READ, Source
from gateway.detection.verdict import DurationSource, Kind, Look, Refused, Structure, Track, broken, truncated

MAX_PAGES = 24
# An Ogg page header and its longest segment table.
HEADER = 27
MAX_TABLE = 255
MAX_PAGE = HEADER + MAX_TABLE + 255 * MAX_TABLE
# No position (RFC 3533, section 6): no packet ends on the page.
NO_POSITION = (1 << 64) - 1
MAX_POSITION = 1 << 62
# The last pages show the time of each stream, and whether they hold anything.
_LAST_PAGES = 8
_OPUS_RATE = 48_000
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
# Where packets of tags begin: after these bytes, or in the first block of FLAC metadata.
_COMMENTS = (b"\x03vorbis", b"OpusTags", b"\x81theora", b"\x84")


@dataclass(slots=True)
class _Page:
    flags: int
    granule: int
    serial: int
    body: bytes
    start: int
    end: int


@dataclass(slots=True)
class _Clock:
    """How a stream counts: positions per second, positions to skip at the start, bits of Theora's frame offset."""

    rate: float
    skip: int = 0
    shift: int = 0

    def seconds(self, granule: int) -> float:
        """Return the time of a granule position, seconds."""
        count = (granule >> self.shift) + (granule & ((1 << self.shift) - 1)) if self.shift else granule
        return max(0.0, (count - self.skip) / self.rate)


@dataclass(slots=True)
class _Streams:
    tracks: list[Track] = field(default_factory=list)
    clocks: dict[int, _Clock] = field(default_factory=dict)
    serials: set[int] = field(default_factory=set)


def looks_like(head: bytes) -> bool:
    """Say whether the file begins with an Ogg page."""
    return head[:4] == b"OggS"


def look(source: Source) -> Look[Structure]:
    """Read the first page of each stream, then check that pages lead on and go on to the end of the file."""
    streams = _Streams()
    position = 0
    for number in range(MAX_PAGES):
        if number and (yield from source.at(position, 4)) not in (b"OggS", b""):
            position = yield from _resync(source, position)
        page = yield from _page(source, position)
        position = page.end
        _mark_tags(source, page)
        if not page.flags & 2:
            break
        track, clock = _describe(page.body)
        streams.tracks.append(track)
        streams.serials.add(page.serial)
        if clock:
            streams.clocks[page.serial] = clock
    else:
        raise broken("The file begins more streams than any player takes", "ogg")
    if not streams.tracks:
        raise broken("The first page does not begin a stream", "ogg")
    start = yield from _lead_on(source, position, streams)
    return (yield from _structure(source, streams, start))


def _mark_tags(source: Source, page: _Page) -> None:
    """Mark a page that begins with a packet of tags: only text stands in it."""
    body = page.body
    if body.startswith(_COMMENTS) or (
        page.flags & 1 and source.tags and source.tags[-1][1] == source.base + page.start
    ):
        source.mark_tag(page.end - len(body), page.end)


def _lead_on(source: Source, position: int, streams: _Streams) -> Look[float]:
    """Check that pages with packets in them lead to pages through the first 4 KiB, or half of a shorter file.

    Return the time at which the stream begins: recordings of broadcasts count on.
    """
    far = min(SPAN, source.size // 2)
    begin, held, first_time = position, 0, None
    while position < far:
        header = yield from source.at(position, HEADER)
        if len(header) < HEADER or header[:5] != b"OggS\x00":
            position = yield from _resync(source, position)
            continue
        table = yield from source.at(position + HEADER, header[26])
        page_end = position + HEADER + header[26] + sum(table)
        held += sum(table)
        if header[5] & 1 and source.tags and source.tags[-1][1] == source.base + position:
            source.mark_tag(position, page_end)
        granule, clock = _position(header), streams.clocks.get(int.from_bytes(header[14:18], "little"))
        if first_time is None and clock and 0 < granule < MAX_POSITION:
            first_time = clock.seconds(granule)
        position = page_end
    # A page has at least 28 bytes, of which the packets of real sound are the larger part.
    if position > begin + 4 * HEADER and held * 4 < position - begin:
        raise broken("The pages hold nothing to play", "ogg")
    # The first page of a stream that begins at zero holds a second or two.
    return first_time if first_time is not None and first_time > 30 else 0.0


def _resync(source: Source, position: int) -> Look[int]:
    """Find the next page after lost bytes."""
    data = yield from source.at(position, 8 * 1024)
    following = data.find(b"OggS\x00", 1)
    if following < 0:
        if position + MAX_PAGE < source.size:
            data = yield from source.at(position, MAX_READ, ahead=MAX_READ)
            following = data.find(b"OggS\x00", 1)
        if following < 0:
            raise broken("A page does not lead to the next", "ogg")
    if holds_text(data[:following]):
        raise broken("Text stands between two pages", "ogg")
    return position + following


def _page(source: Source, position: int) -> Look[_Page]:
    header = yield from source.at(position, HEADER)
    if len(header) < HEADER and (not header or b"OggS".startswith(header[:4]) or header[:4] == b"OggS"):
        raise truncated("its first pages", "ogg")
    if header[:4] != b"OggS" or header[4] != 0 or header[5] & ~7:
        raise broken("A page is malformed", "ogg")
    table = yield from source.at(position + HEADER, header[26])
    size = HEADER + header[26] + sum(table)
    if len(table) < header[26] or position + size > source.size:
        raise truncated("its first pages", "ogg")
    whole = yield from source.at(position, size)
    if len(whole) < size:
        raise truncated("its first pages", "ogg")
    if ogg_crc(whole[:22] + bytes(4) + whole[26:]) != int.from_bytes(whole[22:26], "little"):
        raise broken("The checksum of a page is wrong", "ogg")
    body = whole[HEADER + header[26] :]
    return _Page(header[5], _position(whole), int.from_bytes(whole[14:18], "little"), body, position, position + size)


def _position(header: bytes) -> int:
    return int.from_bytes(header[6:14], "little")


def _describe(body: bytes) -> tuple[Track, _Clock | None]:
    """Return the track and, where granule positions can be read, how they count."""
    for magic, kind, codec in _CODECS:
        if body.startswith(magic):
            if kind == "audio":
                return _sound(codec, body)
            if codec == "theora" and len(body) >= 42:
                return _theora(body)
            if codec == "vp8" and len(body) >= 26:
                return _vp8(body), None
            return Track("video" if kind == "video" else "other", codec), None
    return Track("other", None), None


def _sound(codec: str | None, body: bytes) -> tuple[Track, _Clock | None]:
    rate = channels = skip = 0
    if codec == "opus" and len(body) >= 19:
        rate, channels, skip = _OPUS_RATE, body[9], int.from_bytes(body[10:12], "little")
    elif codec == "vorbis" and len(body) >= 16:
        rate, channels = int.from_bytes(body[12:16], "little"), body[11]
    elif codec == "speex" and len(body) >= 52:
        rate, channels = int.from_bytes(body[36:40], "little"), int.from_bytes(body[48:52], "little")
    elif codec == "flac" and body[:5] == b"\x7fFLAC" and len(body) >= 51:
        rate, channels = int.from_bytes(body[27:30]) >> 4, (body[29] >> 1 & 7) + 1
    track = Track("audio", codec, channels=channels or None, sample_rate_hz=rate or None)
    return track, _Clock(rate, skip) if rate else None


def _theora(body: bytes) -> tuple[Track, _Clock | None]:
    """Read the picture size, the frame rate and the shift of key frames (Theora specification, 6.2)."""
    width, height = int.from_bytes(body[14:17]), int.from_bytes(body[17:20])
    over, under = int.from_bytes(body[22:26]), int.from_bytes(body[26:30])
    rate = over / under if over and under else 0.0
    track = Track("video", "theora", width=width, height=height, frame_rate=round(rate, 3) or None)
    return track, _Clock(rate, 0, int.from_bytes(body[40:42]) >> 5 & 31) if rate else None


def _vp8(body: bytes) -> Track:
    """Read the picture size and the frame rate (WebM Project, "Ogg VP8 mapping")."""
    over, under = int.from_bytes(body[18:22]), int.from_bytes(body[22:26])
    rate = round(over / under, 3) if over and under else None
    width, height = int.from_bytes(body[8:10]), int.from_bytes(body[10:12])
    return Track("video", "vp8", width=width or None, height=height or None, frame_rate=rate)


def _structure(source: Source, streams: _Streams, start: float) -> Look[Structure]:
    tracks = tuple(streams.tracks)
    kinds = {track.kind for track in tracks}
    if not kinds & {"audio", "video"}:
        raise Refused("tracks", "The file holds no audio and no video stream that is known here.", "ogg")
    kind: Kind = "video" if "video" in kinds else "audio"
    seconds, complete, chained = yield from _end(source, streams)
    if seconds is not None:
        seconds = round(max(0.0, seconds - start), 3) or None
    how: DurationSource | None = None if seconds is None else "estimated" if chained else "counted"
    return Structure("ogg", "ogg", f"{kind}/ogg", kind, tracks, seconds, None, how, complete)


def _end(source: Source, streams: _Streams) -> Look[tuple[float | None, bool, bool]]:
    """Return the time of the last page, whether the file ends with a whole page, and whether other streams follow.

    Raises Refused when no page stands near the end: something else follows the sound.
    """
    tail = yield from source.tail()
    seconds: float | None = None
    complete: bool | None = None
    foreign = False
    pages = held = 0
    at = tail.rfind(b"OggS\x00")
    for _ in range(4 * MAX_PAGES):
        if at < 0 or (complete is not None and seconds is not None and pages >= _LAST_PAGES):
            break
        header = tail[at : at + HEADER]
        if len(header) == HEADER and not header[5] & ~7:
            if complete is None:
                complete = _is_last(tail, at)
            pages, held = pages + 1, held + sum(tail[at + HEADER : at + HEADER + header[26]])
            clock = streams.clocks.get(int.from_bytes(header[14:18], "little"))
            granule = _position(header)
            foreign = foreign or int.from_bytes(header[14:18], "little") not in streams.serials
            if clock and granule < MAX_POSITION:
                seconds = max(seconds or 0.0, clock.seconds(granule))
        at = tail.rfind(b"OggS\x00", 0, at)
    if complete is None:
        raise something_follows("Ogg")
    if pages >= _LAST_PAGES and not held:
        raise broken("The pages hold nothing to play", "ogg")
    return seconds, complete, foreign


def _is_last(tail: bytes, at: int) -> bool:
    """Say whether the page at this place of the tail is whole.

    Raises Refused when more than a damaged page follows it.
    """
    count = tail[at + 26]
    table = tail[at + HEADER : at + HEADER + count]
    end = at + HEADER + count + sum(table)
    if end > len(tail):
        return False
    rest = tail[end:].strip(b"\x00")
    if len(rest) > SPAN or holds_text(rest):
        raise something_follows("Ogg")
    return True
