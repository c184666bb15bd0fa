"""Call an S3-compatible store (signatures first; the body follows)."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Literal

import aiohttp

from gateway.storage.models import CompletedPart, ObjectHead, StoreConfig, StoredPart

Body = bytes | bytearray | memoryview | AsyncIterable[bytes]
__all__ = ["CompletedPart", "ObjectHead", "S3Store", "StoreConfig", "StoredPart", "open_store"]


class S3Store:
    """Call one bucket of an S3-compatible store."""

    def __init__(self, config: StoreConfig, session: aiohttp.ClientSession, now: Callable[[], datetime]) -> None:
        self._config = config

    async def create_multipart_upload(
        self,
        key: str,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        checksum_algorithm: Literal["SHA256"] | None = None,
        content_disposition: str | None = None,
    ) -> str:
        """Create a multipart upload and return its id."""
        raise NotImplementedError

    async def upload_part(
        self,
        key: str,
        multipart_upload_id: str,
        part_number: int,
        body: Body,
        *,
        size_bytes: int,
        checksum_sha256: str | None = None,
    ) -> str:
        """Store one part and return its etag."""
        raise NotImplementedError

    async def list_parts(self, key: str, multipart_upload_id: str) -> list[StoredPart]:
        """Return the newest of each part number, ascending."""
        raise NotImplementedError

    async def complete_multipart_upload(
        self, key: str, multipart_upload_id: str, parts: Sequence[CompletedPart], *, if_none_match: bool = False
    ) -> str:
        """Assemble the parts and return the object's etag."""
        raise NotImplementedError

    async def abort_multipart_upload(self, key: str, multipart_upload_id: str) -> None:
        """Abort a multipart upload. Raises NoSuchUpload."""
        raise NotImplementedError

    async def head_object(self, key: str, *, if_match: str | None = None) -> ObjectHead:
        """Describe an object."""
        raise NotImplementedError

    async def get_object_range(self, key: str, start: int, length: int, *, if_match: str | None) -> bytes:
        """Read exactly these bytes."""
        raise NotImplementedError

    def stream_object(self, key: str, *, if_match: str | None, chunk_size: int = 1 << 20) -> AsyncIterator[bytes]:
        """Read a whole object piece by piece."""
        raise NotImplementedError

    async def delete_object(self, key: str, *, version_id: str | None = None) -> None:
        """Delete an object; a missing one is fine."""
        raise NotImplementedError

    async def put_object(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_none_match: bool = False,
    ) -> str:
        """Store a small object and return its etag."""
        raise NotImplementedError

    async def head_bucket(self) -> None:
        """Check that the bucket answers."""
        raise NotImplementedError


@asynccontextmanager
async def open_store(config: StoreConfig, now: Callable[[], datetime]) -> AsyncIterator[S3Store]:
    """Open a store with its own bounded connection pool."""
    async with aiohttp.ClientSession() as session:
        yield S3Store(config, session, now)
