"""A file that came without a name gets one by its declared type, else by its bytes."""

from __future__ import annotations

import pytest

from gateway.receiving.missing_names import name_of
from gateway.streaming.form_parser import FileComponent


@pytest.mark.parametrize(
    ("filename", "content_type", "head", "name"),
    [
        ("talk.mp3", "audio/wav", b"OggS", "talk.mp3"),
        ("blob", "audio/webm;codecs=opus", b"", "blob.weba"),
        ("blob", "video/mp4", b"", "blob.mp4"),
        ("", "audio/AMR", b"", "recording.amr"),
        ("", "audio/x-m4a", b"", "recording.m4a"),
        ("", "application/octet-stream", b"OggS", "recording.ogg"),
        ("", "audio/*", b"ID3", "recording.mp3"),
        ("", "null", b"fLaC", "recording.flac"),
        ("", None, b"\xff\xfb", "recording.mp3"),
        ("", "application/pdf", b"ID3", "recording.mp3"),
        ("", "image/png", b"\x89PNG", "recording.png"),
        ("", "text/plain", b"hello", "recording"),
    ],
)
def test_h8_h10_h11_names_of_recordings_without_one(
    filename: str, content_type: str | None, head: bytes, name: str
) -> None:
    """A type that means nothing, or names no recording, leaves the name to the bytes."""
    component = FileComponent(filename=filename, content_type=content_type, head=head)
    assert name_of(component) == name
