"""Say which extension and which declared type fit which family of media."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Family:
    """Names that one family of containers goes by: extensions, media types, and where that is written."""

    audio_extensions: frozenset[str]
    extensions: frozenset[str]
    media_types: frozenset[str]
    source: str


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What the name or the client says is not what the bytes are."""

    code: Literal["extension_mismatch", "content_type_mismatch"]
    detail: str


def match(family: str, media_type: str, kind: str, extension: str, declared_content_type: str | None) -> Mismatch | None:
    """Compare what was seen with the extension and the declared type; None when both fit."""
    return None


def content_type_for(extension: str) -> str:
    """Return the canonical media type of an extension, application/octet-stream when it is unknown."""
    return "application/octet-stream"
