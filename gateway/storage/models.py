"""Define the data that the store sends and receives, without the wire format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from gateway.storage.sigv4 import Credentials

AddressingStyle = Literal["path", "virtual"]


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Hold the address of the store and the limits of waiting for it.

    `timeout_seconds` bounds each wait for progress, not a whole part. `complete_timeout_seconds` is longer, because
    some stores copy every part on completion (versitygw: 2.8 s a GiB).
    """

    endpoint: str
    bucket: str
    region: str
    credentials: Credentials
    addressing_style: AddressingStyle = "path"
    timeout_seconds: float = 10.0
    max_attempts: int = 3
    pool_size: int = 64
    complete_timeout_seconds: float = 60.0
    retry_base_seconds: float = 0.1
    retry_cap_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class CompletedPart:
    """Name one part to assemble. `etag` is without quotes, `checksum_sha256` is base64."""

    part_number: int
    etag: str
    checksum_sha256: str | None = None


class Assembled(NamedTuple):
    """Describe an object made by CompleteMultipartUpload; no `version_id` without permanent versions."""

    etag: str
    version_id: str | None


def lasting(version_id: str | None) -> str | None:
    """Return a permanent version id. A later write replaces the version `null`, so that one counts as None."""
    return None if version_id == "null" else version_id or None


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """Describe a stored object. `etag` is without quotes; metadata names are lower case."""

    size_bytes: int
    etag: str
    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    last_modified: datetime | None = None
    version_id: str | None = None
