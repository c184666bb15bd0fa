"""Hold what the gateway answers, as typed values; fields this release does not know are ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

FINAL_STATES = frozenset({"ready", "rejected", "aborted", "expired"})


@dataclass(frozen=True, slots=True)
class Rejection:
    """Say why an upload was rejected: `code` is stable, `detail` is for people."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class SignedPart:
    """Carry the address one part may be PUT to until `expires_at`; the address is a secret and never shown."""

    part_number: int
    size_bytes: int
    url: str = field(repr=False)
    expires_at: datetime
    method: str = "PUT"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class StoredPart:
    """Describe a part the store holds; the etag carries no quotes and the checksum is base64."""

    part_number: int
    size_bytes: int
    etag: str
    checksum_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """Describe an upload; sizes in bytes, times in aware UTC, `parts` only in the answer to create.

    Size and plan of parts are None while an upload that was begun without a size (by another protocol) is under way.
    """

    upload_id: str
    state: str
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

    @property
    def is_final(self) -> bool:
        """Tell whether the state can never change again."""
        return self.state in FINAL_STATES

    def range_of_part(self, part_number: int) -> tuple[int, int]:
        """Return offset and size of a part by the plan, bytes; ValueError outside of it."""
        if self.size_bytes is None or self.part_size_bytes is None or not 1 <= part_number <= (self.part_count or 0):
            raise ValueError(f"part {part_number} is not in the plan of this upload")
        offset = (part_number - 1) * self.part_size_bytes
        return offset, min(self.part_size_bytes, self.size_bytes - offset)


@dataclass(frozen=True, slots=True)
class UploadPage:
    """Hold one page of uploads; pass `next_cursor` to get the next, None is the end."""

    uploads: tuple[Upload, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class DownloadURL:
    """Carry a short-lived address of a ready object; it is a secret and never shown."""

    url: str = field(repr=False)
    expires_at: datetime | None


def _time(value: Any) -> datetime | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def signed_part(body: Mapping[str, Any]) -> SignedPart:
    """Read one signed part; raise KeyError or ValueError where the answer is not one."""
    return SignedPart(
        part_number=body["part_number"],
        size_bytes=body["size_bytes"],
        url=body["url"],
        expires_at=_time(body["expires_at"]) or datetime.max.replace(tzinfo=UTC),
        method=body.get("method", "PUT"),
        headers=dict(body.get("headers") or {}),
    )


def stored_part(body: Mapping[str, Any]) -> StoredPart:
    """Read one part the store holds."""
    return StoredPart(body["part_number"], body["size_bytes"], body["etag"], body.get("checksum_sha256"))


def upload(body: Mapping[str, Any]) -> Upload:
    """Read one upload; raise KeyError, TypeError or ValueError where the answer is not one."""
    rejection = body.get("rejection")
    return Upload(
        upload_id=body["upload_id"],
        state=body["state"],
        filename=body["filename"],
        size_bytes=body["size_bytes"],
        part_size_bytes=body["part_size_bytes"],
        part_count=body["part_count"],
        created_at=_time(body.get("created_at")),
        expires_at=_time(body.get("expires_at")),
        content_type=body.get("content_type"),
        metadata=dict(body.get("metadata") or {}),
        rejection=Rejection(rejection["code"], rejection.get("detail", "")) if rejection else None,
        parts=tuple(signed_part(part) for part in body.get("parts") or ()),
    )


def upload_page(body: Mapping[str, Any]) -> UploadPage:
    """Read one page of uploads."""
    return UploadPage(tuple(upload(item) for item in body["uploads"]), body.get("next_cursor"))


def download_url(body: Mapping[str, Any]) -> DownloadURL:
    """Read the address of an object."""
    return DownloadURL(body["url"], _time(body.get("expires_at")))
