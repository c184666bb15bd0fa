"""A few bytes of a format in front of text are not a file of that format."""

from __future__ import annotations

import struct

import pytest

from gateway.detection import inspect_bytes
from gateway.detection.formats import aac, ac3, mpeg_audio
from gateway.detection.formats.crc import ogg_crc
from gateway.detection.formats.payload import SPAN, is_text
from tests.unit.detection import media, test_handmade
from tests.unit.detection.media import chunk

pytestmark = pytest.mark.usefixtures("no_mistakes")

CSV = b"".join(b"%d,customer %d,%d.50,2026-01-%02d\n" % (row, row * 7, row * 13, row % 28 + 1) for row in range(700))
TEXTS: dict[str, bytes] = {
    "csv": CSV,
    "javascript": b"var total = 0;\nfor (const row of rows) { total += row.price * row.count; }\nrender(total);\n"
    * 200,
    "russian": "Съешь же ещё этих мягких французских булок, да выпей чаю.\n".encode() * 200,
    "short": b"(function(){fetch('/api/keys').then(send)})();\n" * 3,
}


def _page(serial: int, flags: int, body: bytes) -> bytes:
    head = b"OggS\0" + bytes((flags,)) + bytes(8) + struct.pack("<II", serial, 0)
    page = head + bytes(4) + bytes((1, len(body))) + body
    return head + struct.pack("<I", ogg_crc(page)) + bytes((1, len(body))) + body


def _element(ident: str, body: bytes) -> bytes:
    return bytes.fromhex(ident) + bytes((0x80 | len(body),)) + body


def _flv_tag(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + len(body).to_bytes(3) + bytes(7) + body + (11 + len(body)).to_bytes(4)


def _flac_frame() -> bytes:
    """Cut the first frame's header, with its CRC, out of a real file."""
    data = media.genuine("x.flac")
    at = 4
    while not data[at] & 0x80:
        at += 4 + int.from_bytes(data[at + 1 : at + 4])
    at += 4 + int.from_bytes(data[at + 1 : at + 4])
    return data[at : at + 12]


def _asf_object(guid: str, body: bytes) -> bytes:
    return bytes.fromhex(guid) + struct.pack("<Q", 24 + len(body)) + body


FMT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16_000, 2, 16))
COMM = b"COMM" + struct.pack(">IHIH", 18, 1, 0, 16) + bytes.fromhex("400bfa00000000000000")
PACK = b"\0\0\1\xba\x21" + bytes.fromhex("0001000180011b91")[:7]
MKV = _element("1a45dfa3", _element("4282", b"matroska")) + bytes.fromhex("1853806701ffffffffffffff")
TRACKS = _element("1654ae6b", _element("ae", _element("83", b"\1") + _element("86", b"V_MPEG4/ISO/AVC")))
STREAM = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b") + bytes(38) + b"\x61\1" + bytes(20)
ASF_OBJECTS = _asf_object("a1dcab8c47a9cf118ee400c00c205365", bytes(80)) + _asf_object(
    "9107dcb7b7a9cf118ee600c00c205365", STREAM
)
ASF = _asf_object("3026b2758e66cf11a6d900aa0062ce6c", b"\2\0\0\0\1\2" + ASF_OBJECTS)
STRL = b"LIST" + struct.pack("<I", 68) + b"strl" + chunk(b"strh", b"vidsXVID" + bytes(48))
TS_PACKET = b"G\x1f\xff\x10" + bytes(184)
FRAMES = {"bare.mp3": mpeg_audio.frame, "x.aac": aac.adts, "x.loas": aac.loas, "x.ac3": ac3.frame}
# What stands in front of the text.
PREFIXES: dict[str, bytes] = {
    "amr nothing sent": b"#!AMR\n||||||",
    "amr-wb nothing sent": b"#!AMR-WB\n" + b"|" * 64,
    "amr-wb lost": b"#!AMR-WB\ntttttttttttt",
    "amr silence": b"#!AMR\n" + (b"D" + bytes(5)) * 6,
    "adts": (b"\xff\xf1\x50\x80\x01\x1f\xfc\0") * 6,
    "adts and half a frame": (b"\xff\xf1\x50\x80\x01\x1f\xfc\0") * 4 + b"\xff\xf1\x50\x83\xff\xff\xfc",
    "loas": b"\x56\xe0\1\0" * 6,
    "loas and half a frame": b"\x56\xe0\1\0" * 4 + b"\x56\xff\xff",
    "loas and a tag": b"\x56\xe0\1\0" * 2 + b"TAG",
    "loas and an ape tag": b"\x56\xe0\1\0" * 2 + b"APETAGEX",
    "loas and lyrics": b"\x56\xe0\1\0" * 2 + b"LYRICSBEGIN",
    "loas and zeros": b"\x56\xe0\1\0" * 2 + bytes(16),
    "mp3": (b"\xff\xf3\x14\xc4" + bytes(20)) * 6,
    "mp3 in a tag": media.id3(b"") + (b"\xff\xf3\x14\xc4" + bytes(20)) * 6,
    "adif": test_handmade.adif()[:40],
    "flac": media.genuine("x.flac")[:4] + b"\x80" + media.genuine("x.flac")[5:42] + _flac_frame(),
    "ogg": _page(1, 2, b"\x01vorbis" + bytes(23)) + _page(1, 0, b"\x03vorbis"),
    "matroska": MKV + TRACKS,
    "matroska cluster": MKV + TRACKS + bytes.fromhex("1f43b67501ffffffffffffff"),
    "flv": b"FLV\1\1\0\0\0\x09\0\0\0\0" + _flv_tag(9, b"\x12") * 5,
    "wav": b"RIFF\xff\xff\xff\xffWAVE" + FMT + b"data\xff\xff\xff\xff",
    "wav without sound": b"RIFF\xff\xff\xff\xffWAVE" + FMT + b"data\0\0\0\0",
    "wav with little sound": b"RIFF\xff\xff\xff\xffWAVE" + FMT + chunk(b"data", bytes(8)),
    "aiff": b"FORM\0\0\xff\xffAIFF" + COMM + b"SSND\0\0\xff\xff" + bytes(8),
    "aiff without sound": b"FORM\0\0\xff\xffAIFF" + COMM,
    "caf": b"caff\0\1\0\0desc" + struct.pack(">qdIIIIIII", 32, 44_100.0, 0x6C70636D, 0, 2, 1, 1, 16, 0)[:40]
    + b"data" + b"\xff" * 8 + bytes(4),
    "au": b".snd" + struct.pack(">IIIII", 24, 0xFFFFFFFF, 3, 8000, 1),
    "asf": ASF + bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c"),
    "avi": b"RIFF\xff\xff\xff\x7fAVI LIST" + struct.pack("<I", 4 + len(STRL)) + b"hdrl" + STRL
    + b"LIST\xff\xff\xff\x7fmovi",
    "ps packets of nothing": b"\0\0\1\xe0\0\0" * 6,
    "ps small packets": b"\0\0\1\xe0\0\x08\x80\0\0\0\0\0\0\0" * 6,
    "ps packs": (PACK + b"\0\0\1\xe0\0\x08\x80\0\0\0\0\0\0\0") * 6,
    "ps end": PACK + b"\0\0\1\xe0\0\x08\x80\0\0\0\0\0\0\0" * 6 + b"\0\0\1\xb9",
    "ps zeros": PACK + b"\0\0\1\xe0\0\x08\x80\0\0\0\0\0\0\0" * 6 + bytes(16),
    "ps half a packet": PACK + b"\0\0\1\xe0\0\x08\x80\0\0\0\0\0\0\0\0\0\1\xe0\xff\xff\x80\0\0",
    "mpeg video": bytes.fromhex("000001b30b009013ffffe0180000010000 0fff f8 00000101 12000001021 2".replace(" ", "")),
    "ts": test_handmade.transport_stream((0x1B, b""))[: 188 * 2] + TS_PACKET * 22,
}  # fmt: skip


@pytest.mark.parametrize("name", PREFIXES)
def test_a_few_bytes_of_media_do_not_make_text_media(name: str) -> None:
    """CSV, JavaScript and prose behind the shortest beginning of each format are refused."""
    prefix = PREFIXES[name]
    # Text that is shorter than what stands in front of it is something appended to media.
    texts = {kind: body for kind, body in TEXTS.items() if len(body) > len(prefix)}
    assert [kind for kind, body in texts.items() if inspect_bytes(prefix + body).accepted] == []


@pytest.mark.parametrize("body", TEXTS)
def test_one_packet_of_text_is_no_film(body: str) -> None:
    """A packet whose length is right holds pictures or nothing."""
    text = TEXTS[body][:60_000]
    packet = b"\0\0\1\xe0" + struct.pack(">H", 3 + len(text)) + b"\x80\0\0" + text
    for stream in (packet, PACK + packet, PACK + packet * 6):
        assert inspect_bytes(stream).check == "structure"


def test_text_between_sync_bytes_is_no_stream() -> None:
    """Tables with right checksums in front, a sync byte at every stride, and text in between."""
    tables = test_handmade.transport_stream((0x1B, b""))[: 188 * 2]
    packets = [b"GAB7" + CSV[at : at + 184] for at in range(0, 15_000, 184)]
    assert inspect_bytes(tables + b"".join(packets)).check == "structure"


@pytest.mark.parametrize("name", ["bare.mp3", "x.aac", "x.loas"])
def test_one_damaged_frame_does_not_make_sound_nothing(name: str) -> None:
    """Broadcasts lose a frame, near the beginning too: the next ones lead on."""
    data, end = media.genuine(name), 0
    for _ in range(8):
        frame = FRAMES[name](data[end : end + 16])
        assert frame
        end += frame[0]
    damaged = data[:end] + bytes(16) + data[end + 16 :]
    for sound in (damaged, media.id3(media.id3_frame(b"TIT2", b"\0title")) + damaged):
        assert inspect_bytes(sound).family == inspect_bytes(data).family


def test_sound_with_silence_in_it_is_sound() -> None:
    """A recording that pauses, as recorders of speech do, is proven by the frames that hold something."""
    frame = b"\x3c" + bytes(range(31))
    for sound in (frame * 6 + b"|" * 40, b"|" * 40 + frame * 6, (frame + b"|" * 7) * 6):
        assert inspect_bytes(b"#!AMR\n" + sound).accepted


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize(
    "tag",
    [
        b"TAG" + bytes(125),
        bytes(3000),
        b"APETAGEX" + struct.pack("<IIII", 2000, 3000, 1, 0xA0000000) + bytes(8) + bytes(range(250)) * 12,
        b"APETAGEX" + struct.pack("<IIII", 2000, 3000, 1, 0xA0000000) + bytes(3008) + b"TAG" + bytes(125),
        b"LYRICSBEGIN" + b"LYR00900[00:01]la la la\n" * 38 + b"000923LYRICS200" + b"TAG" + bytes(125),
        media.id3(bytes(3000)),
    ],
    ids=["id3v1", "zeros", "ape", "ape and id3v1", "lyrics", "id3v2"],
)
def test_short_sound_with_a_tag_behind_it_is_sound(name: str, tag: bytes) -> None:
    """Two frames and a tag that ends with the file are a file."""
    data, end = media.genuine(name), 0
    parse = FRAMES[name]
    for _ in range(3):
        frame = parse(data[end : end + 16])
        assert frame
        end += frame[0]
    assert inspect_bytes(data[:end] + tag).family == inspect_bytes(data).family


@pytest.mark.parametrize("name", [recipe.name for recipe in media.RECIPES])
def test_no_part_of_a_genuine_file_is_text(name: str) -> None:
    """What is sound or pictures is never taken for text, wherever it is looked at."""
    data = media.genuine(name)
    texts = [at for at in range(0, len(data) - SPAN, 512) if is_text(data[at : at + SPAN])]
    assert texts == []


@pytest.mark.parametrize("level", [0x55, 0x70, 0x7A])
def test_quiet_sound_among_the_printable_bytes_is_sound(level: int) -> None:
    """Eight-bit sound that is off centre may have letters only, but neither blanks nor line ends."""
    sound = bytes(level + (number * 7 % 5) for number in range(3000))
    body = b"WAVE" + chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)) + chunk(b"data", sound)
    assert inspect_bytes(b"RIFF" + struct.pack("<I", len(body)) + body).accepted


def test_silence_that_an_encoder_fills_with_letters_is_sound() -> None:
    """LAME writes its name and a thousand times U into a silent frame of 320 kbit/s."""
    frame = bytes.fromhex("fffbe064000ff00000690000000800000d20000001000001a40000002000003480000004") + b"LAME3.100"
    verdict = inspect_bytes(frame.ljust(1044, b"U") * 6)
    assert (verdict.accepted, verdict.container) == (True, "mp3")


@pytest.mark.parametrize("name", [b"iXML", b"LIST", b"_PMX"])
def test_a_recording_that_was_stopped_at_once_keeps_its_notes(name: bytes) -> None:
    """Text in a chunk behind no sound, or a few milliseconds of it, is text in its place."""
    for sound in (b"", bytes(range(100))):
        body = b"WAVE" + FMT + chunk(b"data", sound) + chunk(name, b"<BWFXML><NOTE>take one</NOTE></BWFXML>\n" * 100)
        assert inspect_bytes(b"RIFF" + struct.pack("<I", len(body)) + body).accepted
