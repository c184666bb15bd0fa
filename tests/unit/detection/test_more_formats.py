"""WavPack, Creative Voice, DSF, NIST SPHERE, IVF, DTS, GSM and bare H.264, built after their documents."""

from __future__ import annotations

import random
import struct

import pytest

from gateway.detection import Verdict, inspect_bytes
from tests.unit.detection import media

pytestmark = pytest.mark.usefixtures("no_mistakes")
PROSE = b"Minutes of the meeting, held on Monday. Everybody was there, and nobody said a word about it.\n" * 400


def noise(size: int) -> bytes:
    """Return the same random bytes on every run."""
    return random.Random(16).randbytes(size)


def wavpack_block(index: int, total: int, *, sound: bytes = b"", flags: int = 0x04801805, parts: bytes = b"") -> bytes:
    """Build one block of 22,050 samples, 44.1 kHz and one channel unless the flags say otherwise."""
    words = (len(sound) + 1) // 2
    body = parts + b"\x8a" + words.to_bytes(3, "little") + sound.ljust(2 * words, b"\0")
    head = struct.pack("<4sIHBBIIIII", b"wvpk", 24 + len(body), 0x407, 0, 0, total, index, 22_050, flags, 0)
    return head + body


def wavpack(blocks: int = 4, total: int | None = None, size: int = 6_000) -> bytes:
    """Build a file of so many blocks."""
    stated = 22_050 * blocks if total is None else total
    return b"".join(wavpack_block(22_050 * number, stated, sound=noise(size)) for number in range(blocks))


def voc_block(kind: int, body: bytes, size: int | None = None) -> bytes:
    """Build one block with its size of three bytes."""
    return bytes((kind,)) + (len(body) if size is None else size).to_bytes(3, "little") + body


def voc(*blocks: bytes, version: int = 0x010A) -> bytes:
    """Build a file of these blocks and the terminator."""
    check = (~version + 0x1234) & 0xFFFF
    return b"Creative Voice File\x1a" + struct.pack("<HHH", 26, version, check) + b"".join(blocks) + b"\0"


VOICE = voc_block(1, bytes((131, 0)) + noise(8_000))
VOICE_16 = voc_block(9, struct.pack("<IBBHI", 44_100, 16, 2, 4, 0) + noise(44_100 * 4))


def dsf(seconds: float = 0.05, tag: bytes = b"", *, rate: int = 2_822_400, total: int | None = None) -> bytes:
    """Build a stereo file of whole blocks of 4,096 bytes for each channel."""
    samples = int(rate * seconds)
    blocks = -(-samples // 8 // 4096)
    sound = noise(2 * 4096 * blocks)
    size = 92 + len(sound) + len(tag)
    head = struct.pack("<4sQQQ", b"DSD ", 28, size if total is None else total, 92 + len(sound) if tag else 0)
    form = struct.pack("<4sQIIIIIIQII", b"fmt ", 52, 1, 0, 2, 2, rate, 1, samples, 4096, 0)
    return head + form + b"data" + struct.pack("<Q", 12 + len(sound)) + sound + tag


def sphere(
    coding: str = "pcm", count: int = 8_000, width: int = 2, extra: str = "", sound: bytes | None = None
) -> bytes:
    """Build a file with the header of 1,024 bytes."""
    fields = f"sample_count -i {count}\nsample_n_bytes -i {width}\nchannel_count -i 1\nsample_rate -i 8000\n"
    fields += f"sample_byte_format -s2 10\nsample_coding -s{len(coding)} {coding}\n{extra}end_head\n"
    return ("NIST_1A\n   1024\n" + fields).encode().ljust(1024) + (noise(count * width) if sound is None else sound)


def ivf(
    frames: int = 60, size: int = 900, codec: bytes = b"VP80", first: bytes = b"\x10\0\0\x9d\x01\x2a\xb0\0\x90\0"
) -> bytes:
    """Build a film of 25 pictures a second."""
    head = b"DKIF" + struct.pack("<HH4sHHIIII", 0, 32, codec, 176, 144, 25, 1, frames, 0)
    body = b""
    for number in range(frames):
        picture = (first if not number else b"\x31") + noise(size)
        body += struct.pack("<IQ", len(picture), number) + picture
    return head + body


def gsm(frames: int = 250) -> bytes:
    """Build frames that begin with the mark."""
    body = noise(33 * frames)
    return b"".join(bytes((0xD0 | body[at] & 15,)) + body[at + 1 : at + 33] for at in range(0, len(body), 33))


def klv(key: bytes, value: bytes) -> bytes:
    """Build one triplet with a length of four bytes."""
    return b"\x06\x0e\x2b\x34" + key + b"\x83" + len(value).to_bytes(3) + value


def mxf(picture: bytes | None = None, *, footer: bool = True, frames: int = 4, packages: bool = True) -> bytes:
    """Build a film of MPEG-2 pictures, its header partition, descriptor and footer."""

    def partition(kind: int, this: int, footer_at: int, header: int) -> bytes:
        pack = struct.pack(">HHIQQQQQIQI", 1, 2, 1, this, 0, footer_at, header, 0, 0, 0, 1) + bytes(24)
        return klv(bytes.fromhex("02050101 0d010201 01") + bytes((kind, 4, 0)), pack)

    tags = [(0x3001, struct.pack(">II", 25, 1)), (0x3002, struct.pack(">Q", frames)), (0x3203, struct.pack(">I", 720)),
            (0x3202, struct.pack(">I", 576)), (0x3201, bytes.fromhex("060e2b34040101030401020201010100"))]  # fmt: skip
    body = b"".join(struct.pack(">HH", tag, len(value)) + value for tag, value in tags)
    metadata = klv(bytes.fromhex("02530101 0d010101 01012800"), body)
    for package in b"\x36\x37" if packages else b"":
        metadata += klv(bytes.fromhex("02530101 0d010101 0101") + bytes((package, 0)), struct.pack(">HH", 0x4401, 0))
    essence = b"".join(
        klv(bytes.fromhex("01020101 0d010301 15010500"), noise(9_000) if picture is None else picture)
        for _ in range(frames)
    )
    start = len(partition(2, 0, 0, 0)) + len(metadata) + len(essence)
    head = partition(2, 0, start if footer else 0, len(metadata))
    return head + metadata + essence + (partition(4, start, start, 0) if footer else b"")


def real_media(sound: bytes | None = None, packets: int = 40, *, stream: int = 0) -> bytes:
    """Build a file with one stream of sound."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">4sIH", name, 10 + len(body), 0) + body

    special = b".ra\xfd" + struct.pack(">HH4sIHIHIIIIHHHH", 4, 0, b".ra4", 100, 4, 78, 1, 600, 0, 0, 0, 1, 600, 600, 0)
    special += struct.pack(">HIHB4sB4s", 44_100, 16, 2, 4, b"Int0", 4, b"cook") + bytes(20)
    stream_body = struct.pack(">HIIIIIII", 0, 64_000, 64_000, 600, 600, 0, 0, 2_000) + b"\x05Audio"
    stream_body += b"\x14audio/x-pn-realaudio" + struct.pack(">I", len(special)) + special
    properties = struct.pack(">IIIIIIIIIHH", 64_000, 64_000, 600, 600, packets, 2_000, 0, 0, 0, 1, 0)
    body = noise(600) if sound is None else sound
    packet = struct.pack(">HHHIBB", 0, 12 + len(body), stream, 0, 0, 2) + body
    data = struct.pack(">4sIHII", b"DATA", 18 + packets * len(packet), 0, packets, 0) + packet * packets
    return b".RMF" + struct.pack(">IHII", 18, 0, 0, 4) + chunk(b"PROP", properties) + chunk(b"MDPR", stream_body) + data


GENUINE = {
    "wv": wavpack(),
    "voc": voc(VOICE, voc_block(2, noise(4_000))),
    "voc16": voc(VOICE_16),
    "dsf": dsf(),
    "sph": sphere(),
    "ivf": ivf(),
    "gsm": gsm(),
    "mxf": mxf(),
    "rm": real_media(),
    "dts": media.genuine("x.dts"),
    "h264": media.genuine("x.h264"),
}


def facts(verdict: Verdict) -> tuple[object, ...]:
    """Return the facts that a pipeline asks for."""
    (track,) = verdict.tracks
    return verdict.container, track.codec, track.channels, track.sample_rate_hz, verdict.duration_seconds


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (wavpack(), ("wv", "wavpack", 1, 44_100, 2.0)),
        (wavpack(total=0xFFFFFFFF), ("wv", "wavpack", 1, 44_100, 2.0)),
        (voc(VOICE), ("voc", "pcm-u8", 1, 8_000, 1.0)),
        (voc(VOICE, voc_block(3, b"\x3f\x1f\x83")), ("voc", "pcm-u8", 1, 8_000, 2.0)),
        (voc(voc_block(8, b"\0\xe9\0\1"), voc_block(1, b"\x83\0" + noise(43_478))), ("voc", "pcm-u8", 2, 21739, 1.0)),
        (voc(VOICE_16), ("voc", "pcm-s16", 2, 44_100, 1.0)),
        (voc(*[voc_block(1, b"\x83\0" + noise(4_000))] + [voc_block(2, noise(4_000))] * 99),
         ("voc", "pcm-u8", 1, 8_000, pytest.approx(50.0, abs=1.0))),
        (dsf(), ("dsf", "dsd_lsbf_planar", 2, 2_822_400, 0.05)),
        (dsf(tag=media.id3(media.id3_frame(b"TIT2", b"\0A title"))), ("dsf", "dsd_lsbf_planar", 2, 2_822_400, 0.05)),
        (sphere(), ("sph", "pcm-s16", 1, 8_000, 1.0)),
        (sphere("ulaw", width=1), ("sph", "ulaw", 1, 8_000, 1.0)),
        (sphere(extra="speaker_id -s4 anna\n; a remark\n"), ("sph", "pcm-s16", 1, 8_000, 1.0)),
        (ivf(), ("ivf", "vp8", None, None, 2.4)),
        (ivf(frames=300), ("ivf", "vp8", None, None, 12.0)),
        (ivf(frames=6, size=90_000), ("ivf", "vp8", None, None, 0.24)),
        (ivf(codec=b"VP90", first=b"\x82\x49\x83\x42"), ("ivf", "vp09", None, None, 2.4)),
        (ivf(codec=b"AV01", first=b"\x12\0\x0a\x0b"), ("ivf", "av01", None, None, 2.4)),
        (gsm(10), ("gsm", "gsm", 1, 8_000, 0.2)),
        (gsm(), ("gsm", "gsm", 1, 8_000, 5.0)),
        (mxf(), ("mxf", "mp4v.61", None, None, 0.16)),
        (mxf(footer=False), ("mxf", "mp4v.61", None, None, 0.16)),
        (real_media(), ("rm", "cook", 2, 44_100, 2.0)),
        (media.genuine("x.dts"), ("dts", "dtsc", 1, 44_100, pytest.approx(2.0, abs=0.05))),
        (media.genuine("x.h264"), ("h264", "avc1.f4000b", None, None, 2.0)),
    ],
)  # fmt: skip
def test_the_facts_of_each_format(data: bytes, expected: tuple[object, ...]) -> None:
    """Container, codec, channels, rate and duration."""
    verdict = inspect_bytes(data)
    assert verdict.accepted, verdict.reason
    assert facts(verdict) == expected
    assert verdict.complete is not False
    assert verdict.reads <= 8


@pytest.mark.parametrize("name", GENUINE)
@pytest.mark.parametrize("kept", [4, 12, 24, 32, 60, 100])
def test_a_beginning_alone_is_refused(name: str, kept: int) -> None:
    """A header without sound or pictures plays nothing, whatever its length."""
    assert not inspect_bytes(GENUINE[name][:kept]).accepted


@pytest.mark.parametrize("name", GENUINE)
@pytest.mark.parametrize("kept", [4, 8, 12, 16, 26, 32, 44, 92, 100])
def test_prose_after_a_beginning_is_refused(name: str, kept: int) -> None:
    """The first bytes are right, and the rest is text; or text stands where sizes do."""
    assert not inspect_bytes(GENUINE[name][:kept] + PROSE).accepted


@pytest.mark.parametrize("name", GENUINE)
def test_a_file_that_is_cut_says_so_or_is_refused(name: str) -> None:
    """Two thirds of a file play, and the answer says how far."""
    data = GENUINE[name]
    verdict = inspect_bytes(data[: len(data) * 2 // 3 - 5])
    assert not verdict.accepted or verdict.complete is False or name == "h264"


@pytest.mark.parametrize("name", sorted(set(GENUINE) - {"dts", "h264"}))
@pytest.mark.parametrize("archive", ["7z", "rar", "zip"])
def test_an_archive_after_the_end_is_seen(name: str, archive: str) -> None:
    """The end is stated, or the last frames stand there."""
    assert not inspect_bytes(GENUINE[name] + media.PAYLOADS[archive] + noise(100_000)).accepted


LONG = {
    "wv": wavpack(blocks=20),
    "voc": voc(*[voc_block(1, b"\x83\0" + noise(4_000))] + [voc_block(2, noise(4_000))] * 99),
    "ivf": ivf(frames=300),
    "gsm": gsm(3_000),
}


@pytest.mark.parametrize("name", LONG)
def test_other_bytes_after_a_long_file_are_seen(name: str) -> None:
    """No signature gives them away: the last frames or blocks must stand at the end of the file."""
    verdict = inspect_bytes(LONG[name] + noise(150_000))
    assert (verdict.accepted, verdict.check) == (False, "hidden")
    assert inspect_bytes(LONG[name]).accepted


def changed(data: bytes, at: int, value: bytes) -> bytes:
    """Return the data with some bytes replaced."""
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(changed(wavpack(), 4, b"/*a;"), id="wv: a size that is text"),
        pytest.param(changed(wavpack(), 8, b"\x01\x04"), id="wv: an old version"),
        pytest.param(changed(wavpack(), 32, b"\x8a\xff\xff\x00"), id="wv: a part longer than its block"),
        pytest.param(wavpack_block(0, 22_050, sound=b"")[:32] + bytes(2) * 3, id="wv: no sound in the block"),
        pytest.param(wavpack_block(0, 22_050, sound=PROSE[:8_000]), id="wv: prose as sound"),
        pytest.param(
            wavpack_block(0, 22_050, sound=b"\1\2", flags=0x04800805) + b"never a block, but text\n" * 99,
            id="wv: text in place of the second channel",
        ),
        pytest.param(
            wavpack() + wavpack_block(88_200, 88_200, sound=noise(90_000))[:40] + PROSE[:30_000],
            id="wv: prose in the last block",
        ),
        pytest.param(changed(voc(VOICE), 20, b"\xff\x7f"), id="voc: the header is longer than the file"),
        pytest.param(changed(voc(VOICE), 24, b"ab"), id="voc: a wrong checksum"),
        pytest.param(voc(voc_block(1, b"\x83\x63" + noise(8_000))), id="voc: a codec that is none"),
        pytest.param(voc(voc_block(1, b"\x83\0" + PROSE[:8_000])), id="voc: prose as sound"),
        pytest.param(voc(voc_block(5, b"hello\0")), id="voc: text alone"),
        pytest.param(voc(voc_block(42, noise(100)), VOICE), id="voc: a type that is none"),
        pytest.param(voc(voc_block(2, noise(8_000))), id="voc: sound before its format"),
        pytest.param(voc(voc_block(9, struct.pack("<IBBHI", 44_100, 99, 2, 4, 0) + noise(9_000))), id="voc: 99 bits"),
        pytest.param(voc(voc_block(5, PROSE[:9_000]), VOICE), id="voc: a long text"),
        pytest.param(changed(dsf(), 12, b"/*aaaaaa"), id="dsf: a size that is text"),
        pytest.param(dsf(total=5_000_000), id="dsf: another size than the file"),
        pytest.param(dsf(rate=44_100), id="dsf: the rate of a CD"),
        pytest.param(changed(dsf(), 52, b"\x09"), id="dsf: channels of no arrangement"),
        pytest.param(dsf()[:92] + PROSE, id="dsf: prose as sound"),
        pytest.param(sphere().replace(b"   1024", b"<html><"), id="sph: a size that is text"),
        pytest.param(sphere(count=999_999_999, sound=noise(100)), id="sph: next to no sound"),
        pytest.param(sphere(extra="<script>alert(1)</script>\n"), id="sph: a line that is no field"),
        pytest.param(sphere().replace(b"end_head", b"xxx_xxxx"), id="sph: no end"),
        pytest.param(sphere("mp3"), id="sph: a coding that is none"),
        pytest.param(sphere(width=77, sound=noise(9_000)), id="sph: samples of 77 bytes"),
        pytest.param(sphere(sound=PROSE[:16_000]), id="sph: prose as sound"),
        pytest.param(ivf(codec=b"MJPG"), id="ivf: a codec that is none"),
        pytest.param(ivf(first=b"\x11\0\0\0\0\0"), id="ivf: no key picture first"),
        pytest.param(changed(ivf(), 32, b"abcd"), id="ivf: a size that is text"),
        pytest.param(changed(ivf(), 36, b"\xff" * 8), id="ivf: an impossible time"),
        pytest.param(ivf(frames=1)[:44] + PROSE, id="ivf: prose as a picture"),
        pytest.param(gsm()[:400] + PROSE, id="gsm: prose after some frames"),
        pytest.param(b"\xd0" * 9_000, id="gsm: one byte"),
        pytest.param((b"\xd1" + bytes(32)) * 300, id="gsm: frames of zeros"),
        pytest.param(gsm(250) + noise(100_000), id="gsm: noise after it"),
        pytest.param(mxf(PROSE[:9_000]), id="mxf: prose as pictures"),
        pytest.param(mxf()[:-120] + PROSE, id="mxf: prose in place of the footer"),
        pytest.param(mxf(footer=False) + PROSE, id="mxf: prose after a film without a footer"),
        pytest.param(mxf(packages=False), id="mxf: no packages"),
        pytest.param(mxf(frames=0), id="mxf: no pictures"),
        pytest.param(changed(mxf(), 20, b"/*"), id="mxf: a version that is text"),
        pytest.param(changed(mxf(), 32 + 12, b"=1;//aaa"), id="mxf: a footer that is text"),
        pytest.param(real_media(PROSE[:600]), id="rm: prose as sound"),
        pytest.param(real_media(stream=7), id="rm: packets of no stream"),
        pytest.param(real_media(packets=0), id="rm: no packets"),
        pytest.param(changed(real_media(), 4, b"=1/*"), id="rm: a size that is text"),
        pytest.param(changed(real_media(), 18, b"<!--"), id="rm: a chunk that is text"),
        pytest.param(real_media().replace(b".ra\xfd", b"none"), id="rm: a stream that is neither"),
        pytest.param(b"\x7f\xfe\x80\x01" + noise(30_000), id="dts: a sync word and noise"),
        pytest.param(media.genuine("x.dts")[:2_100] + PROSE, id="dts: prose after some frames"),
        pytest.param(b"\0\0\0\1\x67" + noise(30_000), id="h264: a start code and noise"),
        pytest.param(media.genuine("x.h264")[:60] + b"\0\0\1\x65" + PROSE, id="h264: prose as a picture"),
        pytest.param(media.genuine("x.h264") + PROSE[:3_000], id="h264: prose after its last unit"),
        pytest.param(media.genuine("x.h264") + PROSE[:120], id="h264: a line after its last unit"),
        pytest.param(media.genuine("x.h264") + b"\0\0\1\xff" + PROSE, id="h264: prose after it"),
    ],
)  # fmt: skip
def test_what_only_begins_like_a_format_is_refused(data: bytes) -> None:
    """Prose, sizes that are text, numbers that cannot be, and headers with nothing after them."""
    verdict = inspect_bytes(data)
    assert not verdict.accepted
    assert verdict.reason


def test_compressed_sphere_files_are_named() -> None:
    """FFmpeg does not read Shorten inside SPHERE: the person is told what to export."""
    verdict = inspect_bytes(sphere("pcm,embedded-shorten-v2.00"))
    assert verdict.reason == "This is a compressed NIST SPHERE file, which is not accepted here. Export it as WAV."


def test_a_wavpack_of_six_channels_adds_its_blocks() -> None:
    """Channels are pairs in blocks that follow one another, up to the one that is marked as the last."""
    stereo, first, last = 0x04800001, 1 << 11, 1 << 12
    blocks = b"".join(
        wavpack_block(22_050 * number, 44_100, sound=noise(3_000), flags=stereo | mark)
        for number in range(2)
        for mark in (first, 0, last)
    )
    (track,) = inspect_bytes(blocks).tracks
    assert track.channels == 6


def test_a_dts_hd_extension_leads_to_the_next_core_frame() -> None:
    """Blu-ray sound has a lossless extension after each core frame."""
    data = media.genuine("x.dts")
    size = data.index(b"\x7f\xfe\x80\x01", 4)
    extension = b"\x64\x58\x20\x25" + b"\0" + (0 << 37 | 11 << 29 | 199 << 13).to_bytes(5)
    frames = [data[at : at + size] + extension.ljust(200, b"\x5a") for at in range(0, len(data) - size + 1, size)]
    verdict = inspect_bytes(b"".join(frames))
    assert (verdict.accepted, verdict.container) == (True, "dts")
