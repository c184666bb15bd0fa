"""Durations, channels and rates where no header states them, or where the stated ones are not those of the file."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from gateway.detection import inspect_bytes
from gateway.detection.formats import dts
from gateway.detection.formats.bits import BitReader
from tests.bench import ffprobe
from tests.bench.detection import Sample
from tests.unit.detection import media
from tests.unit.detection.media import box

pytestmark = pytest.mark.usefixtures("no_mistakes")
DTS_IN_TS = media.Recipe("x.ts", "mpeg-ts", "video/mp2t", (*media.TONE, "-c:a", "dca", "-strict", "-2"))
LATM_IN_TS = media.Recipe(
    "latm.ts", "mpeg-ts", "video/mp2t", (*media.TONE, "-c:a", "aac", "-mpegts_flags", "latm", "-f", "mpegts")
)
VP8_IN_OGG = media.Recipe(
    "vp8.ogv", "ogg", "video/ogg", (*media.PICTURES, "-c:v", "libvpx", "-deadline", "realtime", "-f", "ogg")
)


def test_joined_mp3_files_last_as_long_as_both() -> None:
    """The info frame of the first file states its own length alone."""
    one = media.genuine("x.mp3")
    verdict = inspect_bytes(one + one[one.index(b"\xff\xfb") :])
    assert verdict.duration_seconds == pytest.approx(4.05, abs=0.1)
    assert inspect_bytes(one).duration_is == "stated"


def test_an_mp3_cut_between_frames_says_how_far_it_goes() -> None:
    """All of its frames are whole, but its info frame states more bytes."""
    whole = media.genuine("x.mp3")
    cut = whole[: whole.index(b"\xff\xfb", len(whole) // 2)]
    verdict = inspect_bytes(cut)
    assert verdict.accepted
    assert verdict.complete is False
    assert verdict.available_seconds == pytest.approx(1.0, abs=0.15)
    assert verdict.duration_seconds == pytest.approx(2.0, abs=0.1)


def test_a_broadcast_asf_is_counted_by_its_last_packet() -> None:
    """A recorded Windows Media stream states no duration."""
    data = bytearray(media.genuine("x.wma"))
    at = data.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")) + 24 + 64
    data[at] |= 1
    verdict = inspect_bytes(bytes(data))
    assert verdict.duration_is == "counted"
    assert verdict.duration_seconds == pytest.approx(2.0, abs=0.1)


def test_an_asf_of_another_size_than_stated_is_counted() -> None:
    """An editor that copies the old header leaves the old duration in it."""
    data = bytearray(media.genuine("x.wma"))
    at = data.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")) + 24
    data[at + 16 : at + 24] = struct.pack("<Q", 10 * len(data))
    data[at + 40 : at + 48] = struct.pack("<Q", 600 * 10_000_000)
    verdict = inspect_bytes(bytes(data))
    assert (verdict.duration_is, verdict.complete) == ("counted", True)
    assert verdict.duration_seconds == pytest.approx(2.0, abs=0.1)


def test_gsm_in_aifc_counts_packets() -> None:
    """COMM counts blocks of 160 samples where sound is compressed as GSM."""
    rate = (16_383 + 12).to_bytes(2) + (8_000 << 51).to_bytes(8)
    common = struct.pack(">HIH", 1, 50, 0) + rate + b"GSM " + b"\x03GSM"
    sound = bytes(8) + b"\xd8\x20\xa2\xe1\x5a\x50\x00\x49\x24\x92\x49" * 150
    chunks = b"COMM" + struct.pack(">I", len(common)) + common + b"SSND" + struct.pack(">I", len(sound)) + sound
    verdict = inspect_bytes(b"FORM" + struct.pack(">I", 4 + len(chunks)) + b"AIFC" + chunks)
    assert verdict.accepted
    assert verdict.duration_seconds == 1.0


def test_one_sample_lasts_some_microseconds() -> None:
    """A duration below a millisecond is no zero and no null."""
    header = struct.pack(">4sIIIII", b".snd", 24, 2, 3, 16_000, 1)
    assert inspect_bytes(header + b"\1\2").duration_seconds == 0.000063


def test_the_time_of_a_fragment_longer_than_the_tail_is_found() -> None:
    """A recorder that writes long fragments leaves none in the last kilobytes."""
    whole = media.genuine("fragmented.mp4")
    spread = whole[: whole.index(b"mfra") - 4] + box(b"free", bytes(80_000))
    verdict = inspect_bytes(spread)
    assert verdict.duration_seconds == pytest.approx(2.0, abs=0.1)
    assert verdict.complete is True


def test_a_cut_fragment_leaves_the_time_of_the_one_before() -> None:
    """A fragmented film that ends inside a fragment's header goes as far as the fragment before."""
    whole = media.genuine("fragmented.mp4")
    body = whole[: whole.index(b"mfra") - 4]
    verdict = inspect_bytes(body + body[body.index(b"moof") - 4 :][:60])
    assert verdict.complete is False
    assert verdict.available_seconds == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(("recipe", "codec"), [(DTS_IN_TS, "dtsc"), (LATM_IN_TS, "mp4a.40.2")])
def test_sound_of_a_transport_stream_has_channels_and_rate(recipe: media.Recipe, codec: str) -> None:
    """DTS and LATM state both in their first frame; bytes of another codec inside them are not taken for a header."""
    (track,) = inspect_bytes(media.made(recipe)).tracks
    assert (track.codec, track.channels, track.sample_rate_hz) == (codec, 1, 44_100)


def test_vp8_in_ogg_has_a_size() -> None:
    """The mapping's header states width, height and frame rate."""
    (track,) = inspect_bytes(media.made(VP8_IN_OGG)).tracks
    assert (track.width, track.height, track.frame_rate) == (176, 144, 25.0)


@pytest.mark.parametrize(("name", "codec"), [("x.mpg", "mp4v.6a"), ("x.mpeg", "mp4v.61"), ("x.vob", "mp4v.61")])
def test_program_streams_name_codecs_and_all_streams(name: str, codec: str) -> None:
    """The extension after the sequence header tells MPEG-2 from MPEG-1; the sound may come after some pictures."""
    verdict = inspect_bytes(media.genuine(name))
    assert {track.kind for track in verdict.tracks} == {"audio", "video"}
    assert [track.codec for track in verdict.tracks if track.kind == "video"] == [codec]


def test_bare_mpeg_video_counts_its_pictures() -> None:
    """A sequence without packets has no time stamps."""
    verdict = inspect_bytes(media.genuine("x.m2v"))
    assert (verdict.duration_seconds, verdict.duration_is) == (2.0, "counted")


def test_a_time_stamp_without_marker_bits_is_no_time() -> None:
    """Start codes turn up inside sound: the bytes after them are then not a time of eleven hours."""
    whole = media.genuine("x.vob")
    false = b"\x00\x00\x01\xbd\x00\x20\x80\x80\x05\x2e\xff\xfe\xff\xfe"
    verdict = inspect_bytes(whole[:-4] + false + bytes(range(100, 120)) + b"\x00\x00\x01\xb9")
    assert verdict.duration_seconds == pytest.approx(2.0, abs=0.1)


def test_bits_that_are_left_are_moved_to_the_front() -> None:
    """What follows a field of three bits begins at its first bit."""
    bits = BitReader(b"\xe5\x80")
    bits.skip(3)
    assert bits.rest() == b"\x2c\x00"


def test_a_dts_header_of_impossible_numbers_is_none() -> None:
    """Frames of under 95 bytes and rates that the table does not list."""
    assert dts.facts(dts.BIG + bytes(12)) is None
    assert dts.facts(b"\x7f\xfe") is None


def test_the_comparison_with_ffprobe_counts_what_differs() -> None:
    """Names of one codec are equal, a missing track is a miss, and a duration may differ by two percent."""
    assert ffprobe.same_codec("mp4a.40.5", "aac")
    assert ffprobe.same_codec("pcm-s16", "pcm_s16be")
    assert not ffprobe.same_codec("mp4a.40.2", "mp3")
    assert not ffprobe.same_codec(None, "mp3")
    verdict = inspect_bytes(media.genuine("x.mp3"))
    sound = {"codec_type": "audio", "codec_name": "mp3", "sample_rate": "44100", "channels": 1}
    answer = {"format": {"duration": "2.08"}, "streams": [sound, sound]}
    found = ffprobe.compare(Sample(Path("x.mp3"), "x.mp3", "genuine", "mp3", clean=True), verdict, answer)
    assert found.facts["duration"] == [True]
    assert found.facts["codec"] == [True, False]
    answer["format"] = {"duration": "2.3"}
    found = ffprobe.compare(Sample(Path("x.mp3"), "x.mp3", "genuine", "mp3", clean=True), verdict, answer)
    assert found.facts["duration"] == [False]
