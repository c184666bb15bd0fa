"""Name a file that came without a name: a recording of a browser is a Blob, and its name is `blob`."""

from __future__ import annotations

from gateway.domain.media_types import AUDIO_EXTENSIONS, FAMILIES, VIDEO_EXTENSIONS, declared_type
from gateway.streaming.form_parser import NAMELESS, FileComponent

STEM = "recording"

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (8, b"WAVE", "wav"),
    (8, b"AVI ", "avi"),
    (0, b"ID3", "mp3"),
    (0, b"OggS", "ogg"),
    (0, b"fLaC", "flac"),
    (0, b"FORM", "aiff"),
    (0, b"caff", "caf"),
    (0, b"#!AMR", "amr"),
    (0, b".snd", "au"),
    (0, b"FLV\x01", "flv"),
    (0, bytes.fromhex("3026b2758e66cf11"), "wma"),
    (0, bytes.fromhex("000001ba"), "mpg"),
    (4, b"ftypM4A", "m4a"),
    (4, b"ftypqt", "mov"),
    (4, b"ftyp3g", "3gp"),
    (4, b"ftyp", "mp4"),
    (0, b"\xff\xf1", "aac"),
    (0, b"\xff\xf9", "aac"),
    (0, b"\xff\xfb", "mp3"),
    (0, b"\xff\xf3", "mp3"),
    (0, b"\xff\xf2", "mp3"),
    (0, b"\xff\xfa", "mp3"),
    (0, b"\x0b\x77", "ac3"),
)
"""Offset, bytes and extension. A guess for the name only: the check of the whole file decides."""

_EBML = bytes.fromhex("1a45dfa3")

_RECORDINGS = frozenset(AUDIO_EXTENSIONS + VIDEO_EXTENSIONS)
_TYPES = [
    (media_type.lower(), extension, number)
    for family in FAMILIES
    for extension, types in family.types.items()
    for number, media_type in enumerate(types)
]
# Reversed: where several extensions have a type, the first in the table gets it.
_OF_CANONICAL = {media_type: extension for media_type, extension, number in reversed(_TYPES) if number == 0}
_OF_ANY = {media_type: extension for media_type, extension, _ in reversed(_TYPES)}


def name_of(component: FileComponent) -> str:
    """Return the file's name; where it has none, one with the extension of its declared type, else of its bytes.

    A declared type is a guess: one that names no recording counts only where the bytes name none either.
    """
    if component.filename not in NAMELESS:
        return component.filename
    declared = _extension_of_type(component.content_type)
    seen = _extension_of_bytes(component.head)
    extension = declared if declared in _RECORDINGS else seen or declared
    stem = component.filename or STEM
    return f"{stem}.{extension}" if extension else stem


def _extension_of_type(content_type: str | None) -> str | None:
    declared = declared_type(content_type)
    return _OF_CANONICAL.get(declared) or _OF_ANY.get(declared) if declared else None


def _extension_of_bytes(head: bytes) -> str | None:
    if head.startswith(_EBML):
        return "webm" if b"webm" in head[:64] else "mkv"
    for offset, magic, extension in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return extension
    return "ts" if head[:1] == b"G" and head[188:189] == b"G" else None
