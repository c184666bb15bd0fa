"""Genuine audio and video is accepted as what it is, whole or in the ways that recorders leave it."""

from __future__ import annotations

import struct

import pytest

from gateway.detection import inspect_bytes
from gateway.detection.source import MAX_BYTES, MAX_READS
from gateway.domain.media_types import Naming, Proven, judge_name
from tests.unit.detection import media

pytestmark = pytest.mark.usefixtures("no_mistakes")


@pytest.mark.parametrize("recipe", media.RECIPES, ids=lambda recipe: recipe.name)
def test_every_container_is_recognised(recipe: media.Recipe) -> None:
    """A file of each container is accepted with its family, type, kind and codecs, within the budget."""
    verdict = inspect_bytes(media.genuine(recipe.name))
    assert verdict.reason is None
    assert verdict.accepted
    assert (verdict.family, verdict.media_type, verdict.kind) == (recipe.family, recipe.media_type, recipe.kind)
    assert any(track.kind == recipe.kind for track in verdict.tracks)
    assert verdict.check is None
    assert not verdict.by_magic_alone
    assert verdict.reads <= MAX_READS
    assert verdict.bytes_read <= MAX_BYTES


@pytest.mark.parametrize("recipe", media.RECIPES, ids=lambda recipe: recipe.name)
def test_every_container_fits_its_own_name(recipe: media.Recipe) -> None:
    """The extension that a file is made under fits its bytes."""
    extension = recipe.name.rpartition(".")[2]
    proven = Proven(recipe.family, recipe.family, recipe.media_type, recipe.kind)
    assert judge_name(recipe.name, extension, proven) == Naming()


@pytest.mark.parametrize(
    "name", ["end.mp4", "x.mkv", "x.ogg", "x.flac", "x.mp3", "x.avi", "x.wav", "x.aiff", "x.caf", "x.wmv", "x.flv"]
)
def test_duration_is_read_from_the_header(name: str) -> None:
    """Two seconds are two seconds in every format whose header says so."""
    assert inspect_bytes(media.genuine(name)).duration_seconds == pytest.approx(2.0, abs=0.25)


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("end.mp4", ["avc1", "mp4a"]),
        ("x.mkv", ["V_MPEG4/ISO/AVC", "A_AAC"]),
        ("vp8.webm", ["V_VP8", "A_VORBIS"]),
        ("x.ogv", ["theora", "vorbis"]),
        ("x.ts", ["h264", "aac"]),
        ("x.avi", ["FMP4", "mp3"]),
        ("x.wmv", ["WMV2", "wmav2"]),
        ("h264.flv", ["h264", "aac"]),
    ],
)
def test_codecs_are_named(name: str, codecs: list[str]) -> None:
    """Tracks carry the name that the container gives their codec."""
    assert [track.codec_name for track in inspect_bytes(media.genuine(name)).tracks] == codecs


def test_a_cover_of_any_size_is_stepped_over() -> None:
    """An MP3 behind 300 KB of ID3 tag costs a few reads, not the tag."""
    cover = media.id3_frame(b"APIC", b"\0image/jpeg\0\3\0\xff\xd8\xff\xe0" + bytes(range(256)) * 1200)
    verdict = inspect_bytes(media.id3(cover) + media.genuine("bare.mp3"))
    assert verdict.accepted
    assert verdict.family == "mpeg-audio"
    assert verdict.bytes_read < 120_000


@pytest.mark.parametrize(
    ("name", "family"), [("bare.mp3", "mpeg-audio"), ("x.aac", "aac"), ("x.flac", "flac"), ("x.ac3", "ac3")]
)
def test_an_id3_tag_may_stand_before_any_bare_audio(name: str, family: str) -> None:
    """A tag does not make AAC, AC-3 or FLAC an MP3."""
    tagged = media.id3(media.id3_frame(b"TIT2", b"\0title")) + media.genuine(name)
    assert inspect_bytes(tagged).family == family


@pytest.mark.parametrize("padding", [1, 100, 5000])
def test_zeros_between_tag_and_sound_are_skipped(padding: int) -> None:
    """Taggers that shrink a tag leave zeros behind it."""
    verdict = inspect_bytes(media.id3(media.id3_frame(b"TIT2", b"\0t")) + bytes(padding) + media.genuine("bare.mp3"))
    assert verdict.accepted


@pytest.mark.parametrize(
    ("name", "cut"), [("bare.mp3", 200), ("x.mpg", 12), ("x.ts", 100), ("x.aac", 77), ("x.ac3", 300)]
)
def test_a_stream_may_begin_inside_a_frame(name: str, cut: int) -> None:
    """A recording cut out of a broadcast is what it was."""
    assert inspect_bytes(media.genuine(name)[cut:]).family == inspect_bytes(media.genuine(name)).family


def test_packets_of_204_bytes_are_a_transport_stream() -> None:
    """Error correction behind each packet changes the stride, not the stream."""
    stream = media.genuine("x.ts")
    packets = [stream[at : at + 188] + bytes(16) for at in range(0, len(stream) - 187, 188)]
    assert inspect_bytes(b"".join(packets)).container == "ts"


def test_a_transport_stream_without_tables_in_reach_is_known_by_its_payloads() -> None:
    """Packets whose payloads begin as audio or video are enough when PAT and PMT are far away."""
    stream = media.genuine("mpeg2.ts")
    packets = [stream[at : at + 188] for at in range(0, len(stream) - 187, 188)]
    tables = (b"\x00\x00", b"\x10\x00", b"\x00\x11")
    bare = b"".join(p for p in packets if bytes((p[1] & 0x1F, p[2])) not in tables)
    verdict = inspect_bytes(bare)
    assert verdict.accepted
    assert verdict.container == "ts"


def test_a_recorder_that_died_leaves_an_accepted_wav() -> None:
    """A data size beyond the end is a promise, not a lie, when there is sound."""
    wav = media.genuine("x.wav")
    assert inspect_bytes(wav[: len(wav) // 2]).accepted


def test_an_empty_recording_is_still_a_wav() -> None:
    """A header that promises no sound and holds none is well formed."""
    fmt = media.chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))
    body = b"WAVE" + fmt + media.chunk(b"data", b"")
    assert inspect_bytes(b"RIFF" + struct.pack("<I", len(body)) + body).accepted


@pytest.mark.parametrize("name", [b"iXML", b"axml", b"bext", b"_PMX", b"cart", b"id3 "])
def test_metadata_in_xml_is_no_page(name: bytes) -> None:
    """Field recorders and broadcast tools keep XML in chunks of their own, before the sound."""
    wav = media.genuine("x.wav")
    xml = b'<?xml version="1.0" encoding="UTF-8"?>\n<BWFXML><IXML_VERSION>1.5</IXML_VERSION></BWFXML>\n'
    verdict = inspect_bytes(wav[:12] + media.chunk(name, xml * 20) + wav[12:])
    assert verdict.reason is None


def test_an_ape_tag_may_stand_in_front() -> None:
    """APEv2 belongs at the end, but taggers have put it at the beginning."""
    items = b"\3\0\0\0\0\0\0\0Title\0abc"
    tag = b"APETAGEX" + struct.pack("<IIII", 2000, len(items) + 32, 1, 0xA0000000) + bytes(8)
    footer = b"APETAGEX" + struct.pack("<IIII", 2000, len(items) + 32, 1, 0x80000000) + bytes(8)
    assert inspect_bytes(tag + items + footer + media.genuine("bare.mp3")).container == "mp3"


def test_a_quicktime_file_needs_no_ftyp() -> None:
    """Files from before 2001 begin with moov or mdat."""
    moved = media.genuine("x.mov")
    first = int.from_bytes(moved[:4])
    verdict = inspect_bytes(moved[first:])
    assert verdict.accepted
    assert verdict.media_type == "video/quicktime"


def test_a_disabled_picture_track_is_no_video() -> None:
    """A chapter image is a disabled JPEG track: the audio book stays audio."""
    movie = media.genuine("mjpeg.mov")
    at = movie.index(b"tkhd") + 4
    disabled = movie[: at + 3] + bytes((movie[at + 3] & ~1,)) + movie[at + 4 :]
    assert inspect_bytes(movie).kind == "video"
    assert inspect_bytes(disabled).check == "tracks"


def test_padding_zeros_behind_the_last_box_are_fine() -> None:
    """Cameras fill the last sector with zeros."""
    assert inspect_bytes(media.genuine("end.mp4") + bytes(4096)).accepted


def test_a_single_whole_ac3_frame_is_proven_by_its_checksum() -> None:
    """One frame that is the whole file is sound when its CRC is right, and nothing when it is wrong."""
    stream = media.genuine("x.ac3")
    length = stream.index(b"\x0b\x77", 2)
    frame = stream[:length]
    assert inspect_bytes(frame).container == "ac3"
    assert inspect_bytes(frame[:-1] + bytes((frame[-1] ^ 1,))).check == "unknown"


@pytest.mark.parametrize("recipe", media.UNKNOWN, ids=lambda recipe: recipe.name)
def test_formats_that_are_not_listed_are_refused(recipe: media.Recipe) -> None:
    """What has no structural look is refused in words, whatever it holds."""
    verdict = inspect_bytes(media.made(recipe))
    assert not verdict.accepted
    assert verdict.reason
