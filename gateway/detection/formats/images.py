"""Prove PNG (W3C PNG), JPEG (ITU-T T.81), GIF (GIF89a) and WebP (RFC 9649) for policies that take images."""

from __future__ import annotations

import zlib

from gateway.detection.source import Source
from gateway.detection.verdict import Look, Structure, Track, broken, truncated

MAX_SEGMENTS = 20
_PNG = b"\x89PNG\r\n\x1a\n"
# Start-of-frame markers: C0 to CF without the tables DHT, JPG and DAC.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def looks_like(head: bytes) -> bool:
    """Say whether the file begins like one of the four."""
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return head[:8] == _PNG or head[:3] == b"\xff\xd8\xff" or head[:6] in (b"GIF87a", b"GIF89a") or webp


def look(source: Source) -> Look[Structure]:
    """Check the header, the size of the picture and the end of the file."""
    head = yield from source.at(0, 40)
    if head[:8] == _PNG:
        return (yield from _png(source, head))
    if head[:3] == b"\xff\xd8\xff":
        return (yield from _jpeg(source))
    if head[:3] == b"GIF":
        return (yield from _gif(source, head))
    return (yield from _webp(source, head))


def _picture(name: str, end: int | None) -> Structure:
    return Structure(name, name, f"image/{name}", "image", (Track("other", name),), None, end)


def _png(source: Source, head: bytes) -> Look[Structure]:
    if len(head) < 33:
        raise truncated("its header", "png")
    right = int.from_bytes(head[8:12]) == 13 and head[12:16] == b"IHDR" and any(head[16:20]) and any(head[20:24])
    if not right or zlib.crc32(head[12:29]) != int.from_bytes(head[29:33]):
        raise broken("The image header (IHDR) is wrong", "png")
    tail = yield from source.at(max(0, source.size - 4096), 4096)
    at = tail.rfind(b"\x00\x00\x00\x00IEND\xae\x42\x60\x82")
    if at < 0:
        raise truncated("the picture", "png")
    return _picture("png", source.size - len(tail) + at + 12)


def _jpeg(source: Source) -> Look[Structure]:
    position, has_frame = 2, False
    for _ in range(MAX_SEGMENTS):
        header = yield from source.at(position, 9)
        if len(header) < 9:
            raise truncated("its header", "jpeg")
        if header[0] != 0xFF or header[1] < 0xC0 or (length := int.from_bytes(header[2:4])) < 2:
            raise broken("A segment is malformed", "jpeg")
        if header[1] in _FRAMES:
            has_frame = any(header[5:7]) or any(header[7:9])
        if header[1] == 0xDA:
            break
        position += 2 + length
    if not has_frame:
        raise broken("The picture has no frame header", "jpeg")
    tail = yield from source.at(max(0, source.size - 4096), 4096)
    at = tail.rfind(b"\xff\xd9")
    if at < 0:
        raise truncated("the picture", "jpeg")
    return _picture("jpeg", source.size - len(tail) + at + 2)


def _gif(source: Source, head: bytes) -> Look[Structure]:
    if len(head) < 14:
        raise truncated("its header", "gif")
    if not any(head[6:8]) or not any(head[8:10]):
        raise broken("The picture has no size", "gif")
    table = 3 << (head[10] & 7) + 1 if head[10] & 0x80 else 0
    block = yield from source.at(13 + table, 1)
    if block not in (b"\x21", b"\x2c"):
        raise broken("No picture follows the header", "gif")
    tail = yield from source.at(max(0, source.size - 16), 16)
    if not tail.rstrip(b"\x00").endswith(b"\x3b"):
        raise truncated("the picture, or something stands behind it", "gif")
    return _picture("gif", source.size)


def _webp(source: Source, head: bytes) -> Look[Structure]:
    if len(head) < 30:
        raise truncated("its header", "webp")
    end = 8 + int.from_bytes(head[4:8], "little")
    first = 20 + int.from_bytes(head[16:20], "little")
    if head[12:16] not in (b"VP8 ", b"VP8L", b"VP8X") or first > end:
        raise broken("The first chunk is no picture", "webp")
    if end > source.size:
        raise truncated("the picture", "webp")
    yield from ()
    return _picture("webp", end)
