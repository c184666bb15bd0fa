"""What matches is written in tables that a reader can check."""

from __future__ import annotations

import pytest

from gateway.domain.media_types import AUDIO_EXTENSIONS, FAMILIES, VIDEO_EXTENSIONS, content_type_for, match


@pytest.mark.parametrize(
    ("family", "media_type", "kind", "extension", "declared"),
    [
        ("isobmff", "audio/mp4", "audio", "m4a", "audio/mp4"),
        ("isobmff", "audio/mp4", "audio", ".M4A", "Audio/X-M4A; codecs=mp4a"),
        ("isobmff", "audio/mp4", "audio", "mp4", "video/mp4"),
        ("isobmff", "video/quicktime", "video", "mov", None),
        ("isobmff", "video/3gpp", "video", "3g2", ""),
        ("wav", "audio/vnd.wave", "audio", "wav", "audio/x-wav"),
        ("matroska", "audio/webm", "audio", "webm", "video/webm"),
        ("asf", "audio/x-ms-wma", "audio", "wma", "audio/x-ms-wma"),
        ("asf", "video/x-ms-wmv", "video", "asf", "video/x-ms-asf"),
        ("amr", "audio/AMR", "audio", "amr", "audio/amr"),
        ("mpeg-ts", "video/mp2t", "video", "mts", "model/vnd.mts"),
        ("mpeg-audio", "audio/mpeg", "audio", "mp3", "application/octet-stream"),
        ("mpeg-audio", "audio/mpeg", "audio", "", None),
        ("mpeg-audio", "audio/mpeg", "audio", "weird", None),
    ],
)
def test_names_of_one_family_match(
    family: str, media_type: str, kind: str, extension: str, declared: str | None
) -> None:
    """Every usual name for a format fits it; no name, an unknown one and octet-stream say nothing."""
    assert match(family, media_type, kind, extension, declared) is None


@pytest.mark.parametrize(
    ("family", "media_type", "kind", "extension", "declared", "code"),
    [
        ("matroska", "video/matroska", "video", "mp4", None, "extension_mismatch"),
        ("isobmff", "video/mp4", "video", "m4a", None, "extension_mismatch"),
        ("ogg", "video/ogg", "video", "opus", None, "extension_mismatch"),
        ("aac", "audio/aac", "audio", "mp3", "audio/mpeg", "extension_mismatch"),
        ("isobmff", "audio/mp4", "audio", "m4a", "audio/mpeg", "content_type_mismatch"),
        ("mpeg-audio", "audio/mpeg", "audio", "mp3", "text/html", "content_type_mismatch"),
        ("wav", "audio/vnd.wave", "audio", "wav", "nonsense", "content_type_mismatch"),
        ("tiff", "image/tiff", "image", "png", None, "extension_mismatch"),
    ],
)
def test_names_of_another_family_do_not(
    family: str, media_type: str, kind: str, extension: str, declared: str | None, code: str
) -> None:
    """The mismatch says which name is wrong and what the file is."""
    mismatch = match(family, media_type, kind, extension, declared)
    assert mismatch is not None
    assert mismatch.code == code
    assert media_type in mismatch.detail


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
