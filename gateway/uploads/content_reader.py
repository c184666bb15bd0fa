"""Read the uploaded bytes, from the store or from disk, pinned to one exact content."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from gateway.context import Gateway
from gateway.detection import FileReader
from gateway.detection.source import HEAD
from gateway.domain.upload import Upload
from gateway.ports import ObjectStore
from gateway.storage.errors import PreconditionFailed, StoreError
from gateway.storage.models import ObjectHead, lasting
from gateway.streaming import disk

logger = logging.getLogger(__name__)

_REFUSALS = frozenset({400, 403, 501})
"""Statuses by which a store says that it does not read by version, or not for this key; others are of the object."""


class Contents(Protocol):
    """An exact content: whoever replaces it makes the reads fail, not differ."""

    size_bytes: int
    etag: str
    version_id: str | None
    """Version of the object in the store; None in a bucket that keeps no versions."""

    async def read(self, start: int, length: int) -> bytes:
        """Return up to *length* bytes from *start*."""
        ...


class StoreReader:
    """Read ranges of one exact content: every read carries If-Match, so a replaced object is an error.

    In a bucket that keeps versions every read names the version, so later writes have no effect.
    """

    def __init__(
        self, store: ObjectStore, key: str, head: ObjectHead, beginning: bytes = b"", *, upload_id: str = ""
    ) -> None:
        self._store = store
        self._key = key
        self._beginning = beginning
        self._upload_id = upload_id
        self.etag = head.etag
        self.version_id = lasting(head.version_id)
        self.size_bytes = head.size_bytes

    async def read(self, start: int, length: int) -> bytes:
        """Return up to *length* bytes from *start*; b'' past the end, where stores answer 416."""
        length = min(length, self.size_bytes - start)
        if length <= 0:
            return b""
        if start + length <= len(self._beginning):
            return self._beginning[start : start + length]
        try:
            return await self._get(start, length)
        except StoreError as exc:
            if self.version_id is None or exc.status not in _REFUSALS:
                raise
            _warn(self._upload_id, exc)
            self.version_id = None
        return await self._get(start, length)

    async def _get(self, start: int, length: int) -> bytes:
        return await self._store.get_object_range(
            self._key, start, length, if_match=self.etag, version_id=self.version_id
        )


async def _open_object(gateway: Gateway, upload: Upload) -> StoreReader:
    """Open the version that was assembled: a later one may be a forged write, and on MinIO of any ETag it likes.

    The first bytes come with the description of the object: every check reads them.
    """
    key, etag, version_id = upload.object_key, upload.observed_etag, upload.observed_version_id
    try:
        head, beginning = await gateway.store.open_object(key, HEAD, if_match=etag, version_id=version_id)
    except StoreError as exc:
        if version_id is None or exc.status not in _REFUSALS:
            raise
        _warn(str(upload.id), exc)
        head, beginning = await gateway.store.open_object(key, HEAD, if_match=etag)
        head = replace(head, version_id=None)
    return StoreReader(gateway.store, key, head, beginning, upload_id=str(upload.id))


def _warn(upload_id: str, error: StoreError) -> None:
    # Without that permission, or in a store without real versions, the ETag alone pins the content.
    logger.warning(
        "a read by version is refused (s3:GetObjectVersion?): what is checked is pinned by its ETag alone",
        extra={"upload_id": upload_id, "error": str(error)},
    )


class DiskReader(FileReader):
    """Read a file that the gateway received itself; its etag says which version of it this is."""

    version_id: str | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.etag = self.version()

    def version(self) -> str:
        """Return what tells this content from a later one under the same name."""
        status = os.fstat(self._file.fileno())
        return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"


@asynccontextmanager
async def open_contents(gateway: Gateway, upload: Upload) -> AsyncIterator[Contents]:
    """Open what was uploaded.

    Raises NoSuchKey or FileNotFoundError when it is not there, PreconditionFailed when it is another content than
    `observed_etag` or changes before the block ends.
    """
    if upload.path is None:
        yield await _open_object(gateway, upload)
        return
    path = await asyncio.to_thread(disk.find, Path(upload.path))
    async with await asyncio.to_thread(DiskReader, path) as reader:
        if upload.received_bytes != reader.size_bytes:
            raise PreconditionFailed(operation="Open", message="not the number of bytes that were received")
        yield reader
        if reader.version() != reader.etag:
            raise PreconditionFailed(operation="Read", message="the file changed")
