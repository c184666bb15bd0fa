"""What matches is written in tables that a reader can check."""

from __future__ import annotations

import pytest

from gateway.domain.media_types import (
    AUDIO_EXTENSIONS,
    FAMILIES,
    VIDEO_EXTENSIONS,
    Naming,
    Proven,
    content_type_for,
    declared_type,
    judge_name,
)
from gateway.domain.policy import extension_of


def _proven(family: str, container: str, kind: str, codec: str | None = None) -> Proven:
    return Proven(family, container, f"{kind}/x-test", kind, codec)


@pytest.mark.parametrize(
    ("family", "container", "kind", "name"),
    [
        ("isobmff", "mp4", "audio", "talk.m4a"),
        ("isobmff", "mp4", "audio", "talk.mp4"),
        ("isobmff", "3gp", "audio", "talk.3ga"),
        ("isobmff", "mov", "video", "film.MOV"),
        ("isobmff", "mp4", "audio", "ring.m4r"),
        ("wav", "wav", "audio", "talk.wav"),
        ("matroska", "webm", "audio", "talk.weba"),
        ("mpeg-ts", "ts", "video", "film.m2t"),
        ("mpeg-ts", "ts", "video", "film.mts"),
        ("mpeg-audio", "mp3", "audio", "talk.mpga"),
        ("mpeg-audio", "mp3", "audio", "talk"),
        ("mpeg-audio", "mp3", "audio", "talk.weird"),
        ("ac3", "eac3", "audio", "talk.ec3"),
        ("aac", "loas", "audio", "talk.latm"),
    ],
)
def test_h13_names_of_one_family_fit(family: str, container: str, kind: str, name: str) -> None:
    """Every usual name for a format fits it; no extension and an unknown one say nothing."""
    assert judge_name(name, extension_of(name), _proven(family, container, kind)) == Naming()


@pytest.mark.parametrize(
    ("family", "container", "kind", "codec", "name", "suggested", "sentence"),
    [
        ("wav", "wav", "audio", None, "talk.mp3", "talk.wav", "This is a WAV file. Rename it to talk.wav."),
        ("isobmff", "mp4", "audio", None, "talk.mp3", "talk.m4a", "This is an M4A file. Rename it to talk.m4a."),
        ("isobmff", "mp4", "video", None, "a.b.m4a", "a.b.mp4", "This is an MP4 file. Rename it to a.b.mp4."),
        ("aac", "aac", "audio", None, "talk.m4a", "talk.aac", "This is an AAC file. Rename it to talk.aac."),
        ("matroska", "mkv", "video", None, "f.mp4", "f.mkv", "This is a Matroska file. Rename it to f.mkv."),
        ("matroska", "webm", "audio", None, "t.wav", "t.webm", "This is a WebM file. Rename it to t.webm."),
        ("mpeg-ts", "ts", "video", None, "f.mp4", "f.ts", "This is an MPEG transport stream. Rename it to f.ts."),
        ("mpeg-audio", "mp3", "audio", None, "t.mpeg", "t.mp3", "This is an MP3 file. Rename it to t.mp3."),
        ("isobmff", "mp4", "video", None, "f.avi ", "f.mp4", "This is an MP4 file. Rename it to f.mp4."),
        ("ogg", "ogg", "audio", "opus", "t.m4a", "t.opus", "This is an Opus file. Rename it to t.opus."),
        ("amr", "amr", "audio", None, "t.wav", "t.amr", "This is an AMR recording. Rename it to t.amr."),
    ],
)
def test_h12_names_of_another_family_are_told_in_plain_words(
    family: str, container: str, kind: str, codec: str | None, name: str, suggested: str, sentence: str
) -> None:
    """The sentence has the format's common name and the name that fits."""
    found = judge_name(name, extension_of(name), _proven(family, container, kind, codec))
    assert found == Naming(True, suggested, sentence)


MEANINGLESS = ["", " ", "null", "undefined", "video", "mp3", "audio/*", "application/unknown", "*/*", "a/b/c", "\0/x",
               "application/force-download", "application/octet-stream", None, 7, "é/x", "x" * 400]  # fmt: skip


@pytest.mark.parametrize("hint", MEANINGLESS)
def test_h10_hints_that_mean_nothing_are_none(hint: object) -> None:
    """No value that a client sends as a type is an error."""
    assert declared_type(hint) is None


@pytest.mark.parametrize(
    "hint", ["audio/MPEG", "audio/mpeg; codecs=mp3", "audio/x-mpeg-3", "text/vnd.trolltech.linguist"]
)
def test_h11_other_hints_are_kept_bare(hint: str) -> None:
    """A type that an operating system guesses is kept for the record."""
    assert declared_type(hint) == hint.partition(";")[0].lower()


def test_every_extension_that_may_be_uploaded_has_a_type() -> None:
    """No default extension is stored as octet-stream."""
    for extension in AUDIO_EXTENSIONS + VIDEO_EXTENSIONS:
        assert "/" in content_type_for(extension)
        assert content_type_for(extension) != "application/octet-stream", extension


def test_tables_are_consistent() -> None:
    """An extension belongs to one family, types are types, and each family names its source."""
    extensions = [extension for family in FAMILIES for extension in family.types]
    assert len(extensions) == len(set(extensions))
    for family in FAMILIES:
        assert family.source
        assert family.audio_only <= set(family.types)
        assert all(len(name.split("/")) == 2 for names in family.types.values() for name in names)


@pytest.mark.parametrize(
    ("extension", "media_type"), [("MP3", "audio/mpeg"), (".mov", "video/quicktime"), ("exe", None)]
)
def test_the_type_an_object_is_stored_under(extension: str, media_type: str | None) -> None:
    """It is the canonical one of the extension, and octet-stream for what no family lists."""
    assert content_type_for(extension) == (media_type or "application/octet-stream")
