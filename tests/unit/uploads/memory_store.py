"""An object store in memory. `tests/store/test_memory_store.py` holds it to the behaviour of a real store."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.parts import S3_MIN_PART_SIZE, StoredPart
from gateway.storage.errors import (
    EntityTooSmall,
    InvalidPart,
    InvalidPartOrder,
    InvalidRange,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
)
from gateway.storage.models import Assembled, CompletedPart, ObjectHead


@dataclass
class Stored:
    """One object."""

    body: bytes
    etag: str
    content_type: str
    metadata: Mapping[str, str]


@dataclass
class Multipart:
    """One open multipart upload."""

    key: str
    content_type: str
    metadata: Mapping[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)
    earlier_bytes: int = 0
    """Bytes of parts that were sent again, which some stores keep and list."""


def etag_of(body: bytes) -> str:
    """Return the ETag of one part, or of an object that was stored in one request."""
    return hashlib.md5(body).hexdigest()


class MemoryStore:
    """Answer like `S3Store`. *calls* lists the operations; *before* may run something ahead of one of them."""

    def __init__(self, *, min_part_size: int = S3_MIN_PART_SIZE) -> None:
        self.objects: dict[str, Stored] = {}
        self.multiparts: dict[str, Multipart] = {}
        self.calls: list[str] = []
        self.before: dict[str, Callable[[], Awaitable[None]]] = {}
        self.after: dict[str, Callable[[], Awaitable[None]]] = {}
        self._min_part_size = min_part_size
        self._count = 0

    async def _call(self, operation: str) -> None:
        self.calls.append(operation)
        hook = self.before.pop(operation, None)
        if hook is not None:
            await hook()

    async def _answered(self, operation: str) -> None:
        hook = self.after.pop(operation, None)
        if hook is not None:
            await hook()

    def _open(self, key: str, multipart_upload_id: str) -> Multipart:
        multipart = self.multiparts.get(multipart_upload_id)
        if multipart is None or multipart.key != key:
            raise NoSuchUpload
        return multipart

    def _object(self, key: str, if_match: str | None) -> Stored:
        stored = self.objects.get(key)
        if stored is None:
            raise NoSuchKey(s3_code="NoSuchKey")
        if if_match not in (None, stored.etag):
            raise PreconditionFailed
        return stored

    def put(self, key: str, body: bytes) -> str:
        """Store an object as a client's form does, and give its ETag."""
        self.objects[key] = Stored(body, etag_of(body), "application/octet-stream", {})
        return etag_of(body)

    async def find_multipart_uploads(self, key: str) -> list[str]:
        await self._call("ListMultipartUploads")
        return [identity for identity, one in self.multiparts.items() if one.key == key]

    async def create_multipart_upload(
        self,
        key: str,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        checksum_algorithm: Any = None,
    ) -> str:
        await self._call("CreateMultipartUpload")
        self._count += 1
        self.multiparts[f"m{self._count}"] = Multipart(key, content_type, dict(metadata or {}))
        await self._answered("CreateMultipartUpload")
        return f"m{self._count}"

    async def open_multipart_upload(self, key: str, **options: Any) -> tuple[str, bool]:
        return await self.create_multipart_upload(key, **options), False

    async def upload_part(self, key: str, multipart_upload_id: str, part_number: int, body: bytes, **_: Any) -> str:
        await self._call("UploadPart")
        self._open(key, multipart_upload_id).parts[part_number] = body
        return etag_of(body)

    async def upload_part_copy(
        self,
        key: str,
        multipart_upload_id: str,
        part_number: int,
        *,
        source_key: str,
        source_if_match: str,
        start: int,
        length: int,
    ) -> str:
        await self._call("UploadPartCopy")
        multipart = self._open(key, multipart_upload_id)
        body = self._object(source_key, source_if_match).body[start : start + length]
        multipart.parts[part_number] = body
        return etag_of(body)

    async def list_parts(self, key: str, multipart_upload_id: str) -> list[StoredPart]:
        await self._call("ListParts")
        parts = self._open(key, multipart_upload_id).parts
        return [StoredPart(number, len(parts[number]), etag_of(parts[number])) for number in sorted(parts)]

    async def held_bytes(self, key: str, multipart_upload_id: str) -> tuple[int, int]:
        await self._call("ListParts")
        multipart = self._open(key, multipart_upload_id)
        newest = sum(map(len, multipart.parts.values()))
        return newest, newest + multipart.earlier_bytes

    async def complete_multipart_upload(
        self, key: str, multipart_upload_id: str, parts: Sequence[CompletedPart], *, if_none_match: bool = False
    ) -> Assembled:
        await self._call("CompleteMultipartUpload")
        multipart = self._open(key, multipart_upload_id)
        numbers = [part.part_number for part in parts]
        if numbers != sorted(set(numbers)):
            raise InvalidPartOrder
        for part in parts:
            if part.part_number not in multipart.parts or etag_of(multipart.parts[part.part_number]) != part.etag:
                raise InvalidPart
        bodies = [multipart.parts[number] for number in numbers]
        if any(len(body) < self._min_part_size for body in bodies[:-1]):
            raise EntityTooSmall
        if if_none_match and key in self.objects:
            raise PreconditionFailed
        etag = f"{hashlib.md5(b''.join(hashlib.md5(body).digest() for body in bodies)).hexdigest()}-{len(bodies)}"
        self.objects[key] = Stored(b"".join(bodies), etag, multipart.content_type, multipart.metadata)
        del self.multiparts[multipart_upload_id]
        await self._answered("CompleteMultipartUpload")
        return Assembled(etag, None)

    async def abort_multipart_upload(self, key: str, multipart_upload_id: str) -> None:
        await self._call("AbortMultipartUpload")
        self._open(key, multipart_upload_id)
        del self.multiparts[multipart_upload_id]

    async def head_object(self, key: str, *, if_match: str | None = None, version_id: str | None = None) -> ObjectHead:
        await self._call("HeadObject")
        stored = self._object(key, if_match)
        return ObjectHead(len(stored.body), stored.etag, stored.content_type, stored.metadata)

    async def get_object_range(
        self, key: str, start: int, length: int, *, if_match: str | None, version_id: str | None = None
    ) -> bytes:
        await self._call("GetObject")
        body = self._object(key, if_match).body
        if start >= len(body):
            raise InvalidRange
        return body[start : start + length]

    async def open_object(
        self, key: str, length: int, *, if_match: str | None, version_id: str | None = None
    ) -> tuple[ObjectHead, bytes]:
        await self._call("GetObject")
        stored = self._object(key, if_match)
        return ObjectHead(len(stored.body), stored.etag, stored.content_type, stored.metadata), stored.body[:length]

    async def delete_object(self, key: str, *, version_id: str | None = None) -> None:
        await self._call("DeleteObject")
        self.objects.pop(key, None)
