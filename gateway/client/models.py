"""Hold the gateway's answers as typed values. Fields that this release does not know are ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class UploadState(StrEnum):
    """Name the state of an upload. Members are strings: `upload.state == "ready"` works."""

    UPLOADING = "uploading"
    COMPLETING = "completing"
    VALIDATING = "validating"
    READY = "ready"
    REJECTED = "rejected"
    ABORTED = "aborted"
    EXPIRED = "expired"
    # A state that a later release of the gateway added.
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, _: object) -> UploadState:
        return cls.UNKNOWN


FINAL_STATES = frozenset({UploadState.READY, UploadState.REJECTED, UploadState.ABORTED, UploadState.EXPIRED})


@dataclass(frozen=True, slots=True)
class Rejection:
    """Say why an upload was rejected: `code` is stable, `detail` is for people."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class SignedPart:
    """Hold the URL to which one part may be PUT until `expires_at`; the URL is a secret and never shown."""

    part_number: int
    size_bytes: int
    url: str = field(repr=False)
    expires_at: datetime
    method: str = "PUT"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class StoredPart:
    """Describe a part that the store holds; the etag has no quotes, the checksum is base64."""

    part_number: int
    size_bytes: int
    etag: str
    checksum_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """Describe an upload; sizes in bytes, times in aware UTC, `parts` only in the answer to create.

    Size and part plan are None while an upload without a declared size (another protocol) is being sent.
    `upload_id` is empty for a file that was rejected before it was sent: no upload was created.
    Once the upload is ready, `content_type`, `etag`, `version_id` and `detection` are observed values.
    """

    upload_id: str
    state: UploadState
    filename: str
    size_bytes: int | None
    part_size_bytes: int | None
    part_count: int | None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    rejection: Rejection | None = None
    parts: tuple[SignedPart, ...] = field(default=(), repr=False)
    object_key: str | None = None
    bucket: str | None = None
    path: str | None = None
    etag: str | None = None
    version_id: str | None = None
    detection: Mapping[str, Any] | None = None
    can_download: bool = False
    complete: bool | None = None
    extension_mismatch: bool | None = None
    suggested_filename: str | None = None
    updated_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Tell whether the state can never change again."""
        return self.state in FINAL_STATES

    @property
    def is_ready(self) -> bool:
        """Tell whether the file was checked and can be used."""
        return self.state is UploadState.READY

    def range_of_part(self, part_number: int) -> tuple[int, int]:
        """Return offset and size of a part by the plan, bytes; ValueError outside of the plan."""
        if self.size_bytes is None or self.part_size_bytes is None or not 1 <= part_number <= (self.part_count or 0):
            raise ValueError(f"part {part_number} is not in the plan of this upload")
        offset = (part_number - 1) * self.part_size_bytes
        return offset, min(self.part_size_bytes, self.size_bytes - offset)


@dataclass(frozen=True, slots=True)
class Inspection:
    """Hold the gateway's verdict on a file that was not sent; `accepted` may be unknown (None).

    The verdict binds nobody: the check of the uploaded file decides. Other fields are those of an `Upload`.
    """

    accepted: bool | None
    rejection: Rejection | None = None
    content_type: str | None = None
    complete: bool | None = None
    extension_mismatch: bool | None = None
    suggested_filename: str | None = None
    detection: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class UploadPage:
    """Hold one page of uploads. Pass `next_cursor` as `cursor` for the next page; None is the end."""

    uploads: tuple[Upload, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class DownloadURL:
    """Hold a short-lived URL of a ready file; the URL is a secret and never shown."""

    url: str = field(repr=False)
    expires_at: datetime | None


def read_time(value: Any) -> datetime | None:
    """Read a time as aware UTC."""
    if value is None:
        return None
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def need_time(value: Any) -> datetime:
    """Read a time that must be there; raise ValueError where it is not."""
    moment = read_time(value)
    if moment is None:
        raise ValueError("a time is missing")
    return moment


def signed_part(body: Mapping[str, Any]) -> SignedPart:
    """Read one signed part; raise KeyError or ValueError where the answer is not one."""
    return SignedPart(
        part_number=body["part_number"],
        size_bytes=body["size_bytes"],
        url=body["url"],
        expires_at=read_time(body["expires_at"]) or datetime.max.replace(tzinfo=UTC),
        method=body.get("method", "PUT"),
        headers=dict(body.get("headers") or {}),
    )


def stored_part(body: Mapping[str, Any]) -> StoredPart:
    """Read one part that the store holds."""
    return StoredPart(body["part_number"], body["size_bytes"], body["etag"], body.get("checksum_sha256"))


_OPTIONAL = ("content_type", "object_key", "bucket", "path", "etag", "version_id", "detection")
_OBSERVED = ("complete", "extension_mismatch", "suggested_filename")


def upload(body: Mapping[str, Any]) -> Upload:
    """Read one upload; raise KeyError, TypeError or ValueError where the answer is not one."""
    rejection = body.get("rejection")
    return Upload(
        upload_id=body["upload_id"],
        state=UploadState(body["state"]),
        filename=body["filename"],
        size_bytes=body["size_bytes"],
        part_size_bytes=body["part_size_bytes"],
        part_count=body["part_count"],
        created_at=read_time(body.get("created_at")),
        updated_at=read_time(body.get("updated_at")),
        expires_at=read_time(body.get("expires_at")),
        metadata=dict(body.get("metadata") or {}),
        rejection=Rejection(rejection["code"], rejection.get("detail", "")) if rejection else None,
        parts=tuple(signed_part(part) for part in body.get("parts") or ()),
        can_download=bool(body.get("can_download")),
        **{name: body.get(name) for name in (*_OPTIONAL, *_OBSERVED)},
    )


def upload_page(body: Mapping[str, Any]) -> UploadPage:
    """Read one page of uploads."""
    return UploadPage(tuple(upload(item) for item in body["uploads"]), body.get("next_cursor"))


def download_url(body: Mapping[str, Any]) -> DownloadURL:
    """Read the URL of a file."""
    return DownloadURL(body["url"], read_time(body.get("expires_at")))
