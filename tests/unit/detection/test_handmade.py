"""What ffmpeg does not write is built by hand, after the documents that each format's module names."""

from __future__ import annotations

import struct
import zlib

import pytest

from gateway.detection import inspect_bytes
from gateway.detection.formats.crc import mpeg_crc, ogg_crc
from tests.unit.detection import media

pytestmark = pytest.mark.usefixtures("no_mistakes")


def bits(*fields: tuple[int, int]) -> bytes:
    """Pack (value, width) fields, filled up with zeros to whole bytes."""
    text = "".join(f"{value:0{width}b}" for value, width in fields)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8)


def adif(sampling: int = 4, front: int = 1) -> bytes:
    """Build an ADIF header of constant rate with one program, and noise behind it."""
    header = bits((0, 3), (0, 1), (128_000, 23), (0, 4), (100, 20), (0, 4), (1, 2), (sampling, 4), (front, 4), (0, 12))
    return b"ADIF" + header + bytes(range(256)) * 4


def test_adif_is_aac() -> None:
    """The one header of an ADIF file names a rate and channels; impossible ones are refused."""
    assert (inspect_bytes(adif()).family, inspect_bytes(adif()).media_type) == ("aac", "audio/aac")
    assert inspect_bytes(adif(sampling=13)).check == "structure"
    assert inspect_bytes(adif(front=0)).check == "structure"
    assert inspect_bytes(adif()[:20]).check == "truncated"


@pytest.mark.parametrize(
    ("magic", "frame", "media_type"),
    [
        (b"#!AMR-WB\n", b"\x44" + bytes(60), "audio/AMR-WB"),
        (b"#!AMR-WB_MC1.0\n\0\0\0\2", b"\x44" + bytes(60), "audio/AMR-WB"),
        (b"#!AMR_MC1.0\n\0\0\0\2", b"\x3c" + bytes(31), "audio/AMR"),
    ],
)
def test_wide_and_many_channelled_amr(magic: bytes, frame: bytes, media_type: str) -> None:
    """AMR-WB, and either with several channels, have their own magic lines."""
    assert inspect_bytes(magic + frame * 8).media_type == media_type
    assert not inspect_bytes(magic + frame).accepted
    assert not inspect_bytes(magic + bytes(500)).accepted


def transport_stream(*programs: tuple[int, bytes]) -> bytes:
    """Build a stream of one PAT and one PMT that announces (stream type, descriptors), and empty packets."""

    def packet(pid: int, section: bytes) -> bytes:
        whole = section + mpeg_tail(section)
        return (b"G" + struct.pack(">H", 0x4000 | pid) + b"\x10\x00" + whole).ljust(188, b"\xff")

    streams = b"".join(
        bytes((kind,)) + struct.pack(">HH", 0xE000 | 0x101 + number, 0xF000 | len(text)) + text
        for number, (kind, text) in enumerate(programs)
    )
    pat = b"\x00\xb0\x0d\0\1\xc1\0\0" + struct.pack(">HH", 1, 0xE100)
    pmt = b"\x02" + struct.pack(">H", 0xB000 | 13 + len(streams)) + b"\0\1\xc1\0\0\xe1\x01\xf0\x00" + streams
    return packet(0, pat) + packet(0x100, pmt) + (b"G\x1f\xff\x10" + bytes(184)) * 30


def mpeg_tail(section: bytes) -> bytes:
    """Return the four bytes that make the CRC of a section come out at zero."""
    crc = 0xFFFFFFFF
    for byte in section:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc.to_bytes(4)


@pytest.mark.parametrize(
    ("programs", "tracks"),
    [
        (((0x1B, b""), (0x06, b"\x6a\x01\x00")), [("video", "h264"), ("audio", "ac3")]),
        (((0x06, b"\x0a\x04eng\0\x7a\x01\0"),), [("audio", "eac3")]),
        (((0x06, b"\x05\x04Opus"),), [("audio", "Opus")]),
        (((0x06, b"\x05\x04HEVC"),), [("video", "HEVC")]),
        (((0x02, b""), (0x86, b""), (0x0B, b"")), [("video", "mpeg2video"), ("audio", "dts"), ("other", "0x0b")]),
    ],
)
def test_descriptors_name_private_streams(
    programs: tuple[tuple[int, bytes], ...], tracks: list[tuple[str, str]]
) -> None:
    """European and Blu-ray streams say in a descriptor what a private stream holds."""
    assert [(track.kind, track.codec_name) for track in inspect_bytes(transport_stream(*programs)).tracks] == tracks


def test_a_stream_that_announces_no_sound_or_pictures_is_refused() -> None:
    """Teletext and data alone are neither."""
    assert inspect_bytes(transport_stream((0x06, b"\x56\x01\0"), (0x0B, b""))).check == "tracks"


def test_a_table_with_a_wrong_checksum_is_no_table() -> None:
    """One wrong bit in the PMT and nothing is announced."""
    stream = bytearray(transport_stream((0x1B, b"")))
    stream[188 + 20] ^= 1
    assert inspect_bytes(bytes(stream)).check == "structure"


def test_an_info_frame_alone_is_an_mp3() -> None:
    """A file of one frame is one when that frame carries a Xing header; noise of the same length is not."""
    frame = b"\xff\xfb\x90\x64" + bytes(32) + b"Xing" + struct.pack(">II", 1, 1)
    assert inspect_bytes(frame.ljust(417, b"\0")).container == "mp3"
    assert not inspect_bytes(b"\xff\xfb\x90\x64" + bytes(413)).accepted


def test_checksums_are_those_of_the_standards() -> None:
    """Both CRCs of a known text are those of a bit by bit computation."""
    section = b"123456789"
    assert mpeg_crc(section + mpeg_tail(section)) == 0
    assert mpeg_crc(section) == int.from_bytes(mpeg_tail(section))
    assert ogg_crc(section) == 0x89A1897F
    assert ogg_crc(section) != zlib.crc32(section)


def test_names_out_of_a_file_are_printable() -> None:
    """A codec name with NUL or escape characters is shown in hex: a database and a terminal both read it."""
    movie = media.genuine("x.mov")
    at = movie.index(b"mp4v")
    verdict = inspect_bytes(movie[:at] + b"\x1b[2J" + movie[at + 4 :])
    assert verdict.tracks[0].codec_name == "0x1b5b324a"
    assert inspect_bytes(movie[:at] + b"a\0b\0" + movie[at + 4 :]).tracks[0].codec_name == "0x610062"
