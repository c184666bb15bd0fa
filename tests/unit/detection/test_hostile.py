"""Nothing that only begins like media passes, and no media that another program would open as something else."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from gateway.detection import inspect_bytes
from gateway.detection.source import HEAD
from tests.unit.detection import media
from tests.unit.detection.media import FTYP, HTML, JAVASCRIPT, PAYLOADS, WINDOWS, box, chunk

pytestmark = pytest.mark.usefixtures("no_mistakes")
NAMES = [recipe.name for recipe in media.RECIPES]
BEGINNINGS: dict[str, bytes] = {
    "html": HTML,
    "html behind blanks": b" \n\t\r\n" * 20 + HTML,
    "html behind bom": b"\xef\xbb\xbf" + HTML,
    "html utf-16-le": b"\xff\xfe" + HTML.decode().encode("utf-16-le"),
    "html utf-16-be": b"\xfe\xff" + HTML.decode().encode("utf-16-be"),
    "html utf-16 without bom": HTML.decode().encode("utf-16-le"),
    "html behind zeros": b"\0\0" + HTML,
    "html comment": b"<!-- x -->" + HTML,
    "html comment with ftyp": b"<!--ftypmp42-->" + HTML,
    "upper case": HTML.upper(),
    "tag alone": b"<b>hello</b>",
    "svg": media.SVG,
    "php": media.PHP,
    "shell": media.SHELL,
    "shell with ftyp": b"#!/bftyp\nid\n" + bytes(100),
    "javascript comment with ftyp": b"/*--ftypmp42*/" + JAVASCRIPT,
    "windows": WINDOWS,
    "dos": b"MZ" + bytes(100),
    "linux": media.LINUX,
    "java class": b"\xca\xfe\xba\xbe\0\0\0\x37" + bytes(100),
    "wasm": b"\0asm\1\0\0\0",
    "pdf": media.PDF,
    "pdf behind blanks": b"\n\n" + media.PDF,
    "zip": media.zip_archive(),
    "rar": media.RAR,
    "7z": media.SEVEN_ZIP,
    "gzip": b"\x1f\x8b\x08\0" + bytes(20),
    "ole": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    "rtf": b"{\\rtf1\\ansi hello}",
    "flash": b"FWS\x06" + bytes(60),
    "m3u8": b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
    "pls": b"[playlist]\nFile1=http://169.254.169.254/\n",
    "asx reference": b"[Reference]\nRef1=http://169.254.169.254/\n",
    "batch": b"@echo off\r\ndel *.*\r\n",
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_what_runs_unpacks_or_points_elsewhere_is_refused_by_its_beginning(name: str) -> None:
    """Pages, scripts, programs, archives, documents and playlists are refused before any other look."""
    verdict = inspect_bytes(BEGINNINGS[name])
    assert not verdict.accepted
    assert verdict.check == "beginning"
    assert "begins like" in (verdict.reason or "")


@pytest.mark.parametrize("name", BEGINNINGS)
def test_an_id3_tag_in_front_hides_nothing(name: str) -> None:
    """Behind a tag, empty or real, the same beginnings are refused."""
    for tag in (media.id3(b""), media.id3(media.id3_frame(b"TIT2", b"\0title"))):
        assert not inspect_bytes(tag + BEGINNINGS[name]).accepted


LOOK_ALIKES: dict[str, bytes] = {
    "lone ftyp": FTYP,
    "ftyp and page": FTYP + HTML,
    "ftyp and program": FTYP + WINDOWS,
    "ftyp and page in mdat": FTYP + box(b"mdat", HTML * 40),
    "mdat and page": box(b"mdat", HTML),
    "mdat size beyond": struct.pack(">I4s", 400, b"mdat") + HTML,
    "moov and page": struct.pack(">I4s", 400, b"moov") + HTML,
    "moov whole and page": box(b"moov", HTML),
    "skip and page": struct.pack(">I4s", 8, b"skip") + HTML,
    "free and page": box(b"free", HTML),
    "unknown brand": box(b"ftyp", b"zzzz\0\0\0\0zzzz") + bytes(200),
    "avif brand": box(b"ftyp", b"avif\0\0\0\0mif1avif") + bytes(200),
    "jp2": box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + bytes(200),
    "moov without tracks": FTYP + box(b"moov", box(b"mvhd", bytes(100))) + box(b"mdat", bytes(2000)),
    "moov with empty track": FTYP + box(b"moov", box(b"mvhd", bytes(100)) + box(b"trak")) + box(b"mdat", bytes(99)),
    "riff javascript": b"RIFF=1/*WAVEfmt */" + JAVASCRIPT,
    "riff unknown form": b"RIFF" + struct.pack("<I", 100) + b"XXXX" + HTML,
    "riff junk": b"RIFF\xff\xff\xff\x7fWAVE" + bytes(range(1, 256)) * 12,
    "wave with page in list": b"RIFF" + struct.pack("<I", 93) + b"WAVE" + chunk(b"LIST", HTML),
    "wave without data": b"RIFF" + struct.pack("<I", 28) + b"WAVE" + chunk(b"fmt ", bytes(16)),
    "avi header only": b"RIFF" + struct.pack("<I", 9000) + b"AVI LIST" + struct.pack("<I", 8000) + b"hdrl" + HTML,
    "webp named wav": b"RIFF" + struct.pack("<I", 100) + b"WEBP" + HTML,
    "flac javascript": b"fLaC=1//" + JAVASCRIPT,
    "flac and page": b"fLaC" + HTML,
    "au javascript": b".snd" + JAVASCRIPT,
    "amr javascript": b"#!AMR\n" + JAVASCRIPT,
    "amr wide and program": b"#!AMR-WB\n" + WINDOWS,
    "caf and page": b"caff\0\1\0\0" + HTML,
    "aiff and page": b"FORM" + struct.pack(">I", 200) + b"AIFF" + HTML,
    "ogg and page": b"OggS\0\2" + bytes(20) + b"\x01\x1e\x01vorbis" + HTML,
    "ebml and page": bytes.fromhex("1a45dfa39f4286810142828477656 26d".replace(" ", "")) + HTML,
    "asf and page": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + HTML,
    "flv and page": b"FLV\1\5\0\0\0\x09\0\0\0\0" + HTML,
    "mpeg es and page": b"\0\0\1\xb3" + HTML,
    "mpeg ps and page": b"\0\0\1\xba" + HTML,
    "two sync bytes and page": b"\xff\xfb" + HTML,
    "mp3 header and page": b"\xff\xfb\x90\x64" + HTML,
    "mp3 header and program": b"\xff\xf3" + WINDOWS,
    "adts header and page": b"\xff\xf1\x50\x80\x02\x1f\xfc" + HTML,
    "ac3 sync and page": b"\x0b\x77" + HTML * 20,
    "ac3 syncs": b"\x0b\x77" * 20_000,
    "ac3 frames of nothing": (b"\x0b\x77\0\0\x14\x40" + bytes(506)) * 20,
    "adts frames of nothing": b"\xff\xf1\x50\x80\x00\xff\xfc" * 5000,
    "loas sync and page": b"\x56\xe0\x50" + HTML * 20,
    "ts sync bytes": b"".join((b"G" + HTML * 3)[:188] for _ in range(30)),
    "m2ts sync bytes": b"".join((b"\0\0\0\0G" + HTML * 3)[:192] for _ in range(30)),
    "ts of zeros": (b"G" + bytes(187)) * 40,
    "id3 shell": b"ID3=1\nid\n",
    "id3 and nothing": media.id3(b""),
    "id3v1 behind page": HTML + b"TAG" + bytes(125),
    "zeros": bytes(4096),
    "sounder": b"\0\0\x44\xac\x0a\0\4\0" + b"\x80\x7f" * 2000,
    "text": b"hello world\n" * 20,
    "json": b'{"a":1}',
    "javascript": b"var a=1;function f(){return a}\n" * 40,
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_look_alikes_are_refused(name: str) -> None:
    """Right first bytes are not enough for any format."""
    verdict = inspect_bytes(LOOK_ALIKES[name])
    assert not verdict.accepted
    assert verdict.check
    assert verdict.reason
    assert verdict.reason[0].isupper()
    assert verdict.reason.endswith((".", "!"))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_appended_to_media_is_seen(name: str) -> None:
    """A page, program, script, document or archive behind playable media is refused, in every container."""
    data = media.genuine(name)
    checks = {kind: inspect_bytes(data + payload).check for kind, payload in PAYLOADS.items()}
    # Frames that are less than half of a short file are none.
    short = {kind for kind, payload in PAYLOADS.items() if len(payload) > len(data)}
    assert {kind for kind, check in checks.items() if check != "hidden"} <= short
    assert None not in checks.values()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_hides_in_the_first_kilobytes_is_seen(payload: str) -> None:
    """Free boxes, tags, padding and comments near the beginning are no hiding place."""
    body = PAYLOADS[payload]
    movie, sound, flac = media.genuine("faststart.mp4"), media.genuine("bare.mp3"), media.genuine("x.flac")
    wav = media.genuine("x.wav")
    hidden = {
        "mp4 free": FTYP + box(b"free", body) + movie[int.from_bytes(movie[:4]) :],
        "mp4 uuid": FTYP + box(b"uuid", bytes(16) + body) + movie[int.from_bytes(movie[:4]) :],
        "id3 private": media.id3(media.id3_frame(b"PRIV", b"owner\0" + body)) + sound,
        "flac padding": flac[:42] + b"\1" + len(body).to_bytes(3) + body + flac[42:],
        "wav junk": wav[:12] + chunk(b"JUNK", body) + wav[12:],
    }
    accepted = [name for name, data in hidden.items() if inspect_bytes(data).accepted]
    assert accepted == []


@pytest.mark.parametrize("name", NAMES)
def test_a_payload_in_front_of_media_is_refused(name: str) -> None:
    """Playable media behind a page, program or archive is that page, program or archive."""
    data = media.genuine(name)
    assert [kind for kind, payload in PAYLOADS.items() if inspect_bytes(payload + data).accepted] == []


@pytest.mark.parametrize("name", NAMES)
def test_right_first_bytes_carry_no_payload(name: str) -> None:
    """The first bytes of real media with a payload behind them are refused, however many they are."""
    heads = [media.genuine(name)[:length] for length in (2, 4, 8, 12, 64)]
    assert [kind for kind, body in PAYLOADS.items() for head in heads if inspect_bytes(head + body).accepted] == []


def _opens_as_zip(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.namelist()


def _large_zip(comment: bytes = b"") -> bytes:
    """Build a ZIP whose entry begins far before the tail: only its directory is there."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.html", bytes(range(128, 256)) * 3000)
        archive.comment = comment
    return buffer.getvalue()


def _many_entries() -> bytes:
    """Build a ZIP whose directory is longer than the tail, so that it begins before what was read."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(1500):
            archive.writestr(f"{number:050}.html", b"")
    return buffer.getvalue()


def _zip64() -> bytes:
    """Build a ZIP whose last record holds no numbers: they are in the ZIP64 record before it."""
    plain = _large_zip()
    at = plain.rindex(b"PK\5\6")
    size, offset = struct.unpack("<II", plain[at + 12 : at + 20])
    record = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, size, offset)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, at, 1)
    return plain[:at] + record + locator + b"PK\5\6" + b"\0\0\0\0" + b"\xff" * 12 + b"\0\0"


DECOY = b"PK\5\6".ljust(22, b"\1")
ZIP_INSIDE: dict[str, bytes] = {
    "nul behind": _large_zip() + b"\0",
    "id3v1 behind": _large_zip() + b"TAG" + bytes(125),
    "comment": _large_zip(b"c" * 5000),
    "longest comment": _large_zip(b"c" * 65_535),
    "comment and padding": _large_zip(b"c" * 5000) + bytes(30_000),
    "directory longer than the tail": _many_entries() + b"\0",
    "zip64": _zip64() + b"\0",
    "decoys before": DECOY * 40 + _large_zip() + b"\0",
    "decoys behind": _large_zip() + DECOY * 40 + b"\0",
}


@pytest.mark.parametrize("name", ZIP_INSIDE)
def test_a_zip_that_does_not_end_the_file_is_seen(name: str) -> None:
    """A ZIP is opened from the last 64 KiB, whatever stands behind it, and so it is looked for there."""
    body = ZIP_INSIDE[name]
    movie, sound, wav = media.genuine("faststart.mp4"), media.genuine("bare.mp3"), media.genuine("x.wav")
    hidden = {
        "mp3": sound + body,
        "mp4": movie + box(b"free", body),
        "wav": wav[:4] + struct.pack("<I", len(wav) + len(body)) + wav[8:] + chunk(b"JUNK", body),
        "flac": media.genuine("x.flac") + body,
    }
    # Python takes the last record for the right one, Java looks on.
    assert name == "decoys behind" or all(_opens_as_zip(data) for data in hidden.values())
    assert {kind: inspect_bytes(data).check for kind, data in hidden.items()} == dict.fromkeys(hidden, "hidden")


def test_the_four_bytes_alone_are_no_zip() -> None:
    """Media holds them by chance once in 65,536 files: a record without a directory is sound."""
    for record in (b"PK\5\6", b"PK\5\6" + bytes(range(60, 78)), b"PK\5\6".ljust(22, b"\xff")):
        for name in ("bare.mp3", "x.flac", "x.ts"):
            data = media.genuine(name)
            assert inspect_bytes(data[:-100] + record + data[-100 + len(record) :]).accepted


@pytest.mark.parametrize("shift", range(-14, 2, 3))
def test_nothing_hides_across_the_seam_of_two_reads(shift: int) -> None:
    """What begins in the head and ends in the tail is whole."""
    data = media.genuine("bare.mp3")[:12_000]
    sound = data + bytes(range(256)) * 200
    at = HEAD + shift
    assert inspect_bytes(sound[:at] + b"<script>alert(1)" + sound[at:]).check == "hidden"


def test_text_in_front_of_frames_is_not_media() -> None:
    """A script with frames behind it is a script."""
    for name in ("bare.mp3", "x.aac", "x.ac3", "x.ts", "x.loas"):
        assert not inspect_bytes(JAVASCRIPT + media.genuine(name)).accepted
