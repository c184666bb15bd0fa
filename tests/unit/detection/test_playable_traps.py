"""Files that play and do something else besides, files with nothing to play, and odd files that are right (I6-I12)."""

from __future__ import annotations

import random
import struct

import pytest

from gateway.detection import inspect_bytes
from gateway.detection.formats.crc import ogg_crc
from tests.unit.detection import media
from tests.unit.detection.media import FTYP, box, chunk

pytestmark = pytest.mark.usefixtures("no_mistakes")
NAMES = [recipe.name for recipe in media.RECIPES]
SCRIPTS = {
    "ffconcat": b"ffconcat version 1.0\nfile victim.wav\n#",
    "webvtt": b"WEBVTT\n\n00:00.000 --> 00:02.000\nhello everybody\n",
    "srt": b"1\n00:00:00,000 --> 00:00:02,000\nhello everybody\n\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 19003 RTP/AVP 0\n",
    "csv": b"name,phone,mail\nanna,030 123,anna@example.org\n",
    "python": b'import os; os.system("id")\n',
    "javascript": b"fetch('/api/keys').then(send);\n",
}


def _noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)


def _archives() -> dict[str, bytes]:
    tar_header = b"a.txt".ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"00000303240\0" + b"14000000000\0"
    tar_header += b"006571\0 0".ljust(109, b"\0") + b"ustar\x0000"
    return {
        "7z": b"7z\xbc\xaf'\x1c\0\4" + _noise(100_000),
        "rar": b"Rar!\x1a\x07\1\0" + _noise(100_000),
        "tar": tar_header.ljust(512, b"\0") + _noise(100_352),
        "gzip": b"\x1f\x8b\x08\0" + _noise(100_000),
        "small 7z": b"7z\xbc\xaf'\x1c\0\4" + _noise(1_000),
        "elf": b"\x7fELF\2\1\1" + bytes(9) + _noise(90_000),
        "disc": bytes(32_768) + b"\1CD001\1\0" + _noise(40_000),
    }


@pytest.mark.parametrize("name", ["bare.mp3", "x.mp3", "x.aac", "x.loas", "x.ac3"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_i6_text_before_the_first_frame_is_refused(name: str, script: str) -> None:
    """FFmpeg 4 to 7 obey a script after an ID3 tag, and read other local files by it."""
    sound = media.genuine(name)
    tag = media.id3(media.id3_frame(b"TIT2", b"\0title"))
    body = sound if sound[:3] != b"ID3" else media.genuine("bare.mp3")
    for front in (tag, b"", tag + bytes(64)):
        assert not inspect_bytes(front + SCRIPTS[script] + body).accepted


@pytest.mark.parametrize("script", SCRIPTS)
def test_i6_text_inside_the_first_frame_is_refused(script: str) -> None:
    """A frame is played, and read as text by a program that looks for lines."""
    sound = bytearray(media.genuine("bare.mp3"))
    sound[36 : 36 + len(SCRIPTS[script])] = SCRIPTS[script]
    text = b"\n" + SCRIPTS[script] * 3
    sound[40 : 40 + len(text)] = text
    assert not inspect_bytes(bytes(sound)).accepted


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("archive", _archives())
def test_i7_an_archive_after_the_end_is_refused(name: str, archive: str) -> None:
    """Programs find an archive of any size after any format."""
    assert not inspect_bytes(media.genuine(name) + _archives()[archive]).accepted


@pytest.mark.parametrize("size", [b"=1;\n", b"=1/*", b"=`a`", b"  = "])
@pytest.mark.parametrize("name", ["x.wav", "x.aiff", "x.avi"])
def test_i8_a_size_that_is_text_is_refused(name: str, size: bytes) -> None:
    """`RIFF=1/*` begins a program in JavaScript, and `RIFF=1;` one of a shell."""
    data = media.genuine(name)
    assert inspect_bytes(data[:4] + size + data[8:]).check == "structure"


def _movie_with(entry: bytes, payload: bytes, reference: bytes = b"\0\0\0\1") -> bytes:
    """Build a sound film of one sample."""
    dref = box(b"dref", struct.pack(">II", 0, 1) + struct.pack(">I", 12) + b"url " + reference)
    offset = 700
    stbl = box(
        b"stbl",
        box(b"stsd", struct.pack(">II", 0, 1) + entry)
        + box(b"stts", struct.pack(">IIII", 0, 1, 1, 1024))
        + box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 1, 1))
        + box(b"stsz", struct.pack(">III", 0, len(payload), 1))
        + box(b"stco", struct.pack(">III", 0, 1, offset + 8)),
    )
    mdhd = box(b"mdhd", struct.pack(">IIIIII", 0, 0, 0, 44_100, 44_100, 0x55C40000))
    hdlr = box(b"hdlr", bytes(8) + b"soun" + bytes(13))
    mdia = box(b"mdia", mdhd + hdlr + box(b"minf", box(b"dinf", dref) + stbl))
    moov = box(b"moov", box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 1000) + bytes(80)) + box(b"trak", mdia))
    head = FTYP + moov
    return head + box(b"free", bytes(offset - len(head) - 8)) + box(b"mdat", payload)


def _entry(kind: bytes, records: bytes = b"") -> bytes:
    return box(kind, bytes(6) + b"\0\1" + bytes(8) + struct.pack(">HHIHH", 1, 16, 0, 44_100, 0) + records)


def test_i9_a_sample_table_that_points_at_prose_plays_nothing() -> None:
    """Text in the place of samples, and a table without the record of its decoder, are refused."""
    prose = b"name,phone,mail\n" * 2_000
    esds = box(b"esds", bytes(4) + bytes.fromhex("030e0001000406402500000000"))
    assert inspect_bytes(_movie_with(_entry(b"sowt"), _noise(4_000))).accepted
    assert not inspect_bytes(_movie_with(_entry(b"sowt"), prose)).accepted
    assert not inspect_bytes(_movie_with(_entry(b"mp4a", esds), prose)).accepted
    assert not inspect_bytes(_movie_with(_entry(b"mp4a"), _noise(4_000))).accepted
    assert not inspect_bytes(_movie_with(_entry(b"mp4a", esds), _noise(100_000))).accepted


def test_i9_media_in_another_file_is_refused() -> None:
    """A data reference that leads out of the file would make a player open another one."""
    movie = _movie_with(_entry(b"sowt"), _noise(4_000), reference=bytes(4))
    verdict = inspect_bytes(movie)
    assert (verdict.accepted, verdict.check) == (False, "tracks")
    assert "self-contained" in (verdict.reason or "")


def test_i9_an_init_segment_alone_has_nothing_to_play() -> None:
    """Its format is right; the answer says that none of it is there."""
    data = media.genuine("fragmented.mp4")
    verdict = inspect_bytes(data[: data.index(b"moof") - 4])
    assert (verdict.complete, verdict.available_seconds) == (False, 0.0)


def test_i9_a_cluster_without_a_block_is_refused() -> None:
    """A header and a time are no sound."""
    data = media.genuine("audio.webm")
    at = data.index(bytes.fromhex("1f43b675"))
    empty = data[:at] + bytes.fromhex("1f43b67583e78100")
    assert not inspect_bytes(empty).accepted


def test_i9_ogg_of_empty_pages_is_refused() -> None:
    """Pages with right checksums that hold no packets play nothing."""
    data = media.genuine("x.opus")
    head_end = data.index(b"OggS", data.index(b"OpusTags"))
    serial = data[14:18]
    pages = []
    for number in range(2, 2_000):
        page = b"OggS\0\0" + struct.pack("<Q", number * 960) + serial + struct.pack("<I", number)
        page += bytes(4) + b"\1\0"
        pages.append(page[:22] + struct.pack("<I", ogg_crc(page)) + page[26:])
    assert not inspect_bytes(data[:head_end] + b"".join(pages)).accepted


def test_i9_compressed_caf_needs_its_packet_table() -> None:
    """Without `pakt` no player knows where a packet begins."""
    data = media.genuine("alac.caf")
    assert inspect_bytes(data).accepted
    assert not inspect_bytes(data.replace(b"pakt", b"free")).accepted


TAG_TEXTS = [b"<script>alert(1)</script>", b"#!/bin/sh", b"<html><body onload=x()>", b"ffconcat version 1.0"]


@pytest.mark.parametrize("text", TAG_TEXTS)
def test_i10_text_in_known_tags_is_no_attack(text: bytes) -> None:
    """A title may say anything; the same text in the sound is refused."""
    sound = media.genuine("bare.mp3")
    wav, flac = media.genuine("x.wav"), media.genuine("x.flac")
    listed = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"song " + text))
    comment = struct.pack("<I", 0) + struct.pack("<I", 1) + struct.pack("<I", 6 + len(text)) + b"TITLE=" + text
    files = {
        "mp3": media.id3(media.id3_frame(b"TIT2", b"\0" + text)) + sound,
        "wav": wav[:4] + struct.pack("<I", len(wav) - 8 + len(listed)) + wav[8:12] + listed + wav[12:],
        "wav end": wav[:4] + struct.pack("<I", len(wav) - 8 + len(listed)) + wav[8:] + listed,
        "flac": flac[:42] + b"\4" + len(comment).to_bytes(3) + comment + flac[42:],
    }
    assert [name for name, data in files.items() if not inspect_bytes(data).accepted] == []
    assert not inspect_bytes(sound[:3_000] + b"\n" + text + b"\n" + sound[3_000:]).accepted


@pytest.mark.parametrize(
    "code", [b"<?php system($_GET[0]);?>", b"<?= `$_GET[0]` ?>", b'<%@page import="java.lang.*"%>']
)
def test_i10_code_that_a_server_runs_is_refused_in_a_tag_too(code: bytes) -> None:
    """A server that includes the file runs it wherever it stands."""
    sound = media.genuine("bare.mp3")
    assert not inspect_bytes(media.id3(media.id3_frame(b"COMM", b"\0eng\0" + code)) + sound).accepted


@pytest.mark.parametrize("name", ["x.wav", "x.aiff", "x.flac", "x.opus", "x.aac", "bare.mp3"])
def test_i11_a_tag_or_zeros_before_any_format_are_stepped_over(name: str) -> None:
    """Taggers put ID3 before formats that have tags of their own."""
    data = media.genuine(name)
    tag = media.id3(media.id3_frame(b"TIT2", b"\0title"))
    expected = inspect_bytes(data).family
    for front in (tag, bytes(100), tag + bytes(50_000)):
        assert inspect_bytes(front + data).family == expected


@pytest.mark.parametrize(
    "head", [b"ICY 200 OK\r\nicy-name:Radio\r\n\r\n", b"HTTP/1.0 200 OK\r\nContent-Type: a/b\r\n\r\n"]
)
def test_i11_the_answer_of_a_radio_server_is_stepped_over(head: bytes) -> None:
    """Tools that record a stream keep it."""
    assert inspect_bytes(head + media.genuine("bare.mp3")).accepted
    assert not inspect_bytes(head + SCRIPTS["ffconcat"] + media.genuine("bare.mp3")).accepted


def test_i11_a_gap_in_ogg_is_passed() -> None:
    """Lost bytes between two pages, as recordings of streams have; words there are refused."""
    data = media.genuine("x.ogg")
    at = data.index(b"OggS", 4)
    assert inspect_bytes(data[:at] + bytes(range(128, 228)) + data[at:]).accepted
    assert not inspect_bytes(data[:at] + SCRIPTS["python"] * 4 + data[at:]).accepted


CUT = [
    "x.wav", "rf64.wav", "x.w64", "x.aiff", "x.caf", "x.au", "x.flac", "bare.mp3", "x.aac", "x.ac3", "x.ogg", "x.opus",
    "faststart.mp4", "fragmented.mp4", "x.mkv", "live.mkv", "vp8.webm", "x.avi", "x.wma", "x.flv", "x.ts",
]  # fmt: skip


@pytest.mark.parametrize("name", CUT)
def test_i12_a_cut_file_says_so(name: str) -> None:
    """A file cut in the middle plays, and is never silently ready as the whole."""
    data = media.genuine(name)
    whole, cut = inspect_bytes(data), inspect_bytes(data[: len(data) * 2 // 3 - 5])
    assert whole.complete is not False
    assert not cut.accepted or cut.complete is False


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (b"\x03ds2", "This is an Olympus DS2 dictation, which is not accepted here. Export it as WAV."),
        (b"MPCK", "This is a Musepack file, which is not accepted here. Export it as WAV or FLAC."),
        (b"\0\0\0\1\x40\1", "This is a bare HEVC stream, which is not accepted here. Export it as MP4."),
    ],
)
def test_formats_that_are_not_accepted_are_named(head: bytes, sentence: str) -> None:
    """A person reads what the file is and what to export."""
    verdict = inspect_bytes(head + _noise(5_000))
    assert (verdict.check, verdict.reason) == ("unknown", sentence)
