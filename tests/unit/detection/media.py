"""Make genuine audio and video of every container with ffmpeg (from the imageio-ffmpeg wheel), and handmade bytes."""

from __future__ import annotations

import io
import struct
import subprocess
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import imageio_ffmpeg

TONE = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2")
SPEECH = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2:sample_rate=8000")
PICTURES = ("-f", "lavfi", "-i", "testsrc=size=176x144:rate=25:duration=2")
AV = (*PICTURES, *TONE)
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One file: its name, what must be seen in it, and how ffmpeg makes it."""

    name: str
    family: str
    media_type: str
    arguments: tuple[str, ...]

    @property
    def kind(self) -> str:
        return "video" if self.name in _PICTURES_INSIDE else "audio"


def _recipe(name: str, family: str, media_type: str, *arguments: object) -> Recipe:
    flat: list[str] = []
    for argument in arguments:
        flat.extend(argument if isinstance(argument, tuple) else str(argument).split())
    return Recipe(name, family, media_type, tuple(flat))


RECIPES: tuple[Recipe, ...] = (
    _recipe("end.mp4", "isobmff", "video/mp4", AV, H264),
    _recipe("faststart.mp4", "isobmff", "video/mp4", AV, H264, "-movflags +faststart"),
    _recipe("fragmented.mp4", "isobmff", "video/mp4", AV, H264, "-movflags frag_keyframe+empty_moov"),
    _recipe("dash.mp4", "isobmff", "video/mp4", AV, H264, "-movflags frag_keyframe+empty_moov+dash -brand dash"),
    _recipe("vp9.mp4", "isobmff", "video/mp4", PICTURES, "-c:v libvpx-vp9 -deadline realtime"),
    _recipe("opus.mp4", "isobmff", "audio/mp4", TONE, "-c:a libopus"),
    _recipe("x.m4v", "isobmff", "video/mp4", AV, H264, "-f mp4 -brand M4V"),
    _recipe("aac.m4a", "isobmff", "audio/mp4", TONE, "-c:a aac"),
    _recipe("alac.m4a", "isobmff", "audio/mp4", TONE, "-c:a alac"),
    _recipe("x.m4b", "isobmff", "audio/mp4", TONE, "-c:a aac -f ipod"),
    _recipe("x.f4v", "isobmff", "video/mp4", AV, H264),
    _recipe("x.mov", "isobmff", "video/quicktime", AV, "-c:v mpeg4 -c:a pcm_s16be"),
    _recipe("mjpeg.mov", "isobmff", "video/quicktime", PICTURES, "-c:v mjpeg -pix_fmt yuvj420p"),
    _recipe("x.qt", "isobmff", "video/quicktime", AV, "-c:v prores -c:a pcm_s16le -f mov"),
    _recipe("x.3gp", "isobmff", "video/3gpp", PICTURES, SPEECH, "-c:v h263 -c:a libopencore_amrnb"),
    _recipe("audio.3gp", "isobmff", "audio/3gpp", SPEECH, "-c:a libopencore_amrnb"),
    _recipe("x.3g2", "isobmff", "video/3gpp2", AV, "-c:v mpeg4 -c:a aac"),
    _recipe("x.mkv", "matroska", "video/matroska", AV, H264),
    _recipe("live.mkv", "matroska", "video/matroska", AV, H264, "-live 1"),
    _recipe("x.mka", "matroska", "audio/matroska", TONE, "-c:a flac"),
    _recipe("vp8.webm", "matroska", "video/webm", AV, "-c:v libvpx -deadline realtime -c:a libvorbis"),
    _recipe("audio.webm", "matroska", "audio/webm", TONE, "-c:a libopus"),
    _recipe("x.ogg", "ogg", "audio/ogg", TONE, "-c:a libvorbis"),
    _recipe("flac.oga", "ogg", "audio/ogg", TONE, "-c:a flac"),
    _recipe("x.opus", "ogg", "audio/ogg", TONE, "-c:a libopus"),
    _recipe("x.ogv", "ogg", "video/ogg", AV, "-c:v libtheora -c:a libvorbis"),
    _recipe("x.flac", "flac", "audio/flac", TONE),
    _recipe("x.mp3", "mpeg-audio", "audio/mpeg", TONE, "-c:a libmp3lame"),
    _recipe("bare.mp3", "mpeg-audio", "audio/mpeg", TONE, "-c:a libmp3lame -write_xing 0 -id3v2_version 0"),
    _recipe("v1.mp3", "mpeg-audio", "audio/mpeg", TONE, "-c:a libmp3lame -write_id3v1 1 -metadata title=hello"),
    _recipe("v25.mp3", "mpeg-audio", "audio/mpeg", SPEECH, "-c:a libmp3lame -b:a 8k"),
    _recipe("x.mp2", "mpeg-audio", "audio/mpeg", TONE, "-c:a mp2"),
    _recipe("x.aac", "aac", "audio/aac", TONE, "-c:a aac"),
    _recipe("x.loas", "aac", "audio/mp4a-latm", TONE, "-c:a aac -f latm"),
    _recipe("x.ac3", "ac3", "audio/ac3", TONE, "-c:a ac3"),
    _recipe("x.eac3", "ac3", "audio/eac3", TONE, "-c:a eac3"),
    _recipe("x.amr", "amr", "audio/AMR", SPEECH, "-c:a libopencore_amrnb"),
    _recipe("x.ts", "mpeg-ts", "video/mp2t", AV, H264),
    _recipe("mpeg2.ts", "mpeg-ts", "video/mp2t", AV, "-c:v mpeg2video -c:a mp2"),
    _recipe("x.m2ts", "mpeg-ts", "video/mp2t", AV, "-c:v libx264 -c:a ac3 -mpegts_m2ts_mode 1 -f mpegts"),
    _recipe("x.mpg", "mpeg-ps", "video/mpeg", AV, "-c:v mpeg1video -c:a mp2 -f mpeg"),
    _recipe("x.mpeg", "mpeg-ps", "video/mpeg", AV, "-c:v mpeg2video -c:a mp2 -f svcd"),
    _recipe("x.vob", "mpeg-ps", "video/mpeg", AV, "-c:v mpeg2video -c:a ac3 -f vob"),
    _recipe("x.m2v", "mpeg-ps", "video/mpeg", PICTURES, "-c:v mpeg2video -f mpeg2video"),
    _recipe("x.avi", "avi", "video/vnd.avi", AV, "-c:v mpeg4 -c:a libmp3lame"),
    _recipe("mjpeg.avi", "avi", "video/vnd.avi", AV, "-c:v mjpeg -pix_fmt yuvj420p -c:a pcm_s16le"),
    _recipe("x.wav", "wav", "audio/vnd.wave", TONE),
    _recipe("float.wav", "wav", "audio/vnd.wave", TONE, "-c:a pcm_f32le"),
    _recipe("adpcm.wav", "wav", "audio/vnd.wave", TONE, "-c:a adpcm_ms"),
    _recipe("rf64.wav", "wav", "audio/vnd.wave", TONE, "-rf64 always"),
    _recipe("x.w64", "wav", "audio/x-w64", TONE),
    _recipe("x.aiff", "aiff", "audio/aiff", TONE),
    _recipe("x.aifc", "aiff", "audio/aiff", TONE, "-c:a pcm_alaw -f aiff"),
    _recipe("x.caf", "caf", "audio/x-caf", TONE),
    _recipe("alac.caf", "caf", "audio/x-caf", TONE, "-c:a alac"),
    _recipe("x.au", "au", "audio/basic", TONE),
    _recipe("x.snd", "au", "audio/basic", TONE, "-c:a pcm_mulaw -f au"),
    _recipe("x.wma", "asf", "audio/x-ms-wma", TONE, "-c:a wmav2"),
    _recipe("x.wmv", "asf", "video/x-ms-wmv", AV, "-c:v wmv2 -c:a wmav2"),
    _recipe("x.asf", "asf", "video/x-ms-wmv", AV, "-c:v msmpeg4 -c:a wmav1"),
    _recipe("x.flv", "flv", "video/x-flv", AV, "-c:v flv -c:a libmp3lame -ar 44100"),
    _recipe("h264.flv", "flv", "video/x-flv", AV, H264),
    _recipe("x.wv", "wavpack", "audio/x-wavpack", TONE),
    _recipe("x.voc", "voc", "audio/x-voc", SPEECH, "-c:a pcm_u8"),
    _recipe("s16.voc", "voc", "audio/x-voc", TONE, "-c:a pcm_s16le"),
    _recipe("vp8.ivf", "ivf", "video/x-ivf", PICTURES, "-c:v libvpx -deadline realtime"),
    _recipe("vp9.ivf", "ivf", "video/x-ivf", PICTURES, "-c:v libvpx-vp9 -deadline realtime"),
    _recipe("x.dts", "dts", "audio/vnd.dts", TONE, "-c:a dca -strict -2"),
    _recipe("x.mxf", "mxf", "application/mxf", AV, "-c:v mpeg2video -c:a pcm_s16le -ar 48000"),
    _recipe("x.rm", "realmedia", "video/vnd.rn-realvideo", AV, "-c:v rv10 -c:a ac3"),
    _recipe("x.h264", "annexb", "video/H264", PICTURES, "-c:v libx264 -preset ultrafast"),
)
_PICTURES_INSIDE = {recipe.name for recipe in RECIPES if PICTURES[-1] in recipe.arguments}
BY_NAME = {recipe.name: recipe for recipe in RECIPES}
# Formats with sound or pictures that are not among those the gateway knows.
UNKNOWN = (
    _recipe("x.nut", "", "", PICTURES, "-c:v mpeg4"),
    _recipe("x.hevc", "", "", PICTURES, "-c:v libx265 -preset ultrafast -x265-params log-level=0"),
    _recipe("x.tta", "", "", TONE, "-c:a tta"),
    _recipe("x.swf", "", "", PICTURES, "-c:v flv"),
)
IMAGES = {
    "png": _recipe("x.png", "png", "image/png", PICTURES, "-frames:v 1"),
    "jpeg": _recipe("x.jpg", "jpeg", "image/jpeg", PICTURES, "-frames:v 1"),
    "gif": _recipe("x.gif", "gif", "image/gif", PICTURES, "-frames:v 5"),
    "webp": _recipe("x.webp", "webp", "image/webp", PICTURES, "-frames:v 1"),
    "heif": _recipe("x.avif", "heif", "image/avif", PICTURES, "-frames:v 1 -c:v libaom-av1 -cpu-used 8"),
}


def _make(recipe: Recipe) -> bytes:
    # Not to a pipe: a muxer that cannot go back writes another file than the one people upload.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / recipe.name
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", *recipe.arguments, str(path)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return path.read_bytes()


@cache
def genuine(name: str) -> bytes:
    """Return the bytes of one recipe, made once for each process."""
    if name in BY_NAME:
        return all_genuine()[name]
    return made(next(recipe for recipe in (*UNKNOWN, *IMAGES.values()) if recipe.name == name))


@cache
def all_genuine() -> dict[str, bytes]:
    """Make every recipe, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(BY_NAME, pool.map(_make, RECIPES), strict=True))


@cache
def made(recipe: Recipe) -> bytes:
    """Make one recipe that is not among the genuine ones."""
    return _make(recipe)


def synchsafe(size: int) -> bytes:
    """Encode a size as ID3v2 does, seven bits a byte."""
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3(body: bytes) -> bytes:
    """Wrap frames in an ID3v2.3 tag."""
    return b"ID3\x03\x00\x00" + synchsafe(len(body)) + body


def id3_frame(name: bytes, body: bytes) -> bytes:
    """Build one ID3v2.3 frame."""
    return name + struct.pack(">IH", len(body), 0) + body


def box(kind: bytes, body: bytes = b"") -> bytes:
    """Build one ISO-BMFF box."""
    return struct.pack(">I4s", 8 + len(body), kind) + body


def chunk(name: bytes, body: bytes) -> bytes:
    """Build one RIFF chunk with its pad byte."""
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


FTYP = box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")
HTML = b"<!DOCTYPE html><html><body><script>alert(document.domain)</script></body></html>\n"
JAVASCRIPT = b";alert(document.domain);\n"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
PHP = b"<?php system($_GET[0]); ?>"
SHELL = b"#!/bin/sh\nid\n"
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\nstartxref\n9\n%%EOF\n"
WINDOWS = b"MZ" + bytes(58) + struct.pack("<I", 128) + bytes(64) + b"PE\0\0L\1" + bytes(2000)
LINUX = b"\x7fELF\2\1\1" + bytes(2000)
RAR = b"Rar!\x1a\x07\x01\x00" + bytes(500)
SEVEN_ZIP = b"7z\xbc\xaf'\x1c\0\4" + bytes(500)


def zip_archive(comment: bytes = b"") -> bytes:
    """Build a ZIP with a page inside."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.html", HTML)
        archive.comment = comment
    return buffer.getvalue()


PAYLOADS: dict[str, bytes] = {
    "html": HTML,
    "svg": SVG,
    "php": PHP,
    "shell": SHELL,
    "pdf": PDF,
    "windows": WINDOWS,
    "linux": LINUX,
    "rar": RAR,
    "7z": SEVEN_ZIP,
    "zip": zip_archive(),
    "zip-comment": zip_archive(b"x" * 9000),
}
