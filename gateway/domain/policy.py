"""Define accepted files, their sizes and lifetimes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.domain.ceilings import Ceilings
from gateway.domain.errors import ExtensionNotAllowed, Invalid, TooLarge
from gateway.domain.parts import PartBounds

MAX_FILENAME_BYTES = 1024
"""Bytes of UTF-8 in a file name: four times what file systems allow, so that no real name is refused."""

_EXTENSION = re.compile(r"[a-z0-9]{1,16}")


DEFAULT_POLICY = "media"
"""Audio and video that are proven by their structure."""

POLICIES = frozenset({DEFAULT_POLICY})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRules:
    """The rules that one file must obey: size in bytes, durations in seconds.

    `extension_mismatch` is `accept` or `strict`. None is no limit.
    """

    max_file_size: int
    allowed_extensions: frozenset[str]
    extension_mismatch: str = "accept"
    require_audio: bool = False
    min_duration_seconds: float | None = None
    max_duration_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(FileRules):
    """Carry the limits that every use case obeys: sizes in bytes, times in seconds."""

    part_bounds: PartBounds
    part_url_seconds: int
    download_url_seconds: int
    upload_seconds: int
    upload_max_seconds: int
    complete_budget_seconds: float
    lease_seconds: float
    idempotency_seconds: int
    keep_ended_seconds: int | None = None
    part_checksums_required: bool = False
    ceilings: Ceilings = field(default_factory=Ceilings)


def check_filename(filename: str) -> str:
    """Return *filename* unchanged; raise Invalid for an empty, too long or unencodable one.

    A name may hold anything else, `../` and U+202E included: it never becomes a key or a path, and leaves the gateway
    only as RFC 6266 and JSON encode it.
    """
    try:
        length = len(filename.encode())
    except UnicodeEncodeError as exc:
        raise Invalid("filename is not valid Unicode.") from exc
    if not filename.strip():
        raise Invalid("filename is empty.")
    if length > MAX_FILENAME_BYTES:
        raise Invalid(f"filename is longer than {MAX_FILENAME_BYTES} bytes.")
    if "\x00" in filename:
        raise Invalid("filename holds a NUL character.")
    return filename


def check_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return *metadata* unchanged; raise Invalid for a NUL, which PostgreSQL cannot store in text."""
    if any("\x00" in text for pair in metadata.items() for text in pair):
        raise Invalid("metadata holds a NUL character.")
    return dict(metadata)


def extension_of(filename: str) -> str:
    """Return the lower-case last extension without its dot, or '' if it has none of plain ASCII.

    Blanks and dots at the end, which file systems drop, do not count.
    """
    stem, dot, extension = filename.rstrip(" .\t\u00a0").rpartition(".")
    extension = extension.lower()
    return extension if dot and stem and _EXTENSION.fullmatch(extension) else ""


def check_extension(filename: str, policy: FileRules) -> str:
    """Return the extension if the policy takes it; raise ExtensionNotAllowed otherwise."""
    extension = extension_of(filename)
    if extension in policy.allowed_extensions:
        return extension
    shown = f".{extension}" if extension else "without an extension"
    raise ExtensionNotAllowed(
        f"Files {shown} are not accepted here.", extension=extension, allowed=sorted(policy.allowed_extensions)
    )


def check_size(size_bytes: int, policy: FileRules) -> int:
    """Return *size_bytes* if it is within the limit; raise Invalid below one byte and TooLarge past the limit."""
    if size_bytes < 1:
        raise Invalid("The file is empty: size_bytes must be at least 1.")
    if size_bytes > policy.max_file_size:
        raise TooLarge(f"The file is larger than {policy.max_file_size} bytes.", max_size_bytes=policy.max_file_size)
    return size_bytes


def check_policy_name(name: str) -> str:
    """Return *name* if there is such a policy; raise Invalid otherwise."""
    if name not in POLICIES:
        raise Invalid(f"There is no policy {name[:64]!r}.", policies=sorted(POLICIES))
    return name
