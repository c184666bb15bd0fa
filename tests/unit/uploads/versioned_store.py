"""The store in memory in a bucket that keeps versions, as S3, MinIO and SeaweedFS answer for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.storage.errors import AccessDenied, NoSuchKey, PreconditionFailed, StoreError
from gateway.storage.models import Assembled, CompletedPart, ObjectHead
from tests.unit.uploads.memory_store import MemoryStore, Stored, etag_of


@dataclass
class Version:
    """One version of a key; *stored* is None for a delete marker."""

    version_id: str
    stored: Stored | None


class VersionedStore(MemoryStore):
    """Keep every version until it is deleted by its id. *refused* names operations by version that are refused."""

    def __init__(self) -> None:
        super().__init__(min_part_size=0)
        self.versions: dict[str, list[Version]] = {}
        self.refused: dict[str, StoreError] = {}
        self.reads: list[tuple[str | None, str | None]] = []
        self._versions = 0

    def _add(self, key: str, stored: Stored | None) -> str:
        self._versions += 1
        version = Version(f"v{self._versions}", stored)
        self.versions.setdefault(key, []).append(version)
        return version.version_id

    def put(self, key: str, body: bytes) -> str:
        self._add(key, Stored(body, etag_of(body), "application/octet-stream", {}))
        return etag_of(body)

    async def complete_multipart_upload(
        self, key: str, multipart_upload_id: str, parts: Sequence[CompletedPart], *, if_none_match: bool = False
    ) -> Assembled:
        made = await super().complete_multipart_upload(key, multipart_upload_id, parts)
        return Assembled(made.etag, self.versions[key][-1].version_id)

    async def _answered(self, operation: str) -> None:
        # The object is a version before the answer is sent, and the answer may be lost.
        for key in [*self.objects]:
            self._add(key, self.objects.pop(key))
        await super()._answered(operation)

    def _find(self, key: str, if_match: str | None, version_id: str | None) -> Version:
        kept = self.versions.get(key, [])
        found = [one for one in kept if one.version_id == version_id] if version_id is not None else kept[-1:]
        if not found or found[0].stored is None:
            raise NoSuchKey(s3_code="NoSuchKey")
        if if_match not in (None, found[0].stored.etag):
            raise PreconditionFailed
        return found[0]

    async def head_object(self, key: str, *, if_match: str | None = None, version_id: str | None = None) -> ObjectHead:
        await self._call("HeadObject")
        if version_id is not None and "HeadObject" in self.refused:
            raise self.refused["HeadObject"]
        version = self._find(key, if_match, version_id)
        assert version.stored is not None
        stored = version.stored
        return ObjectHead(
            len(stored.body), stored.etag, stored.content_type, stored.metadata, version_id=version.version_id
        )

    async def get_object_range(
        self, key: str, start: int, length: int, *, if_match: str | None, version_id: str | None = None
    ) -> bytes:
        await self._call("GetObject")
        self.reads.append((version_id, if_match))
        if version_id is not None and "GetObject" in self.refused:
            raise self.refused["GetObject"]
        version = self._find(key, if_match, version_id)
        assert version.stored is not None
        return version.stored.body[start : start + length]

    async def open_object(
        self, key: str, length: int, *, if_match: str | None, version_id: str | None = None
    ) -> tuple[ObjectHead, bytes]:
        body = await self.get_object_range(key, 0, length, if_match=if_match, version_id=version_id)
        found = self._find(key, if_match, version_id)
        assert found.stored is not None
        stored = found.stored
        head = ObjectHead(len(stored.body), stored.etag, stored.content_type, stored.metadata, None, found.version_id)
        return head, body

    async def delete_object(self, key: str, *, version_id: str | None = None) -> None:
        await self._call("DeleteObject")
        if version_id is None:
            self._add(key, None)
            return
        if "DeleteObject" in self.refused:
            raise self.refused["DeleteObject"]
        self.versions[key] = [one for one in self.versions.get(key, []) if one.version_id != version_id]

    def hide(self, key: str) -> None:
        """Put a delete marker over the object, as another program's plain DELETE does."""
        self._add(key, None)


def refused() -> AccessDenied:
    """Give the answer of a store that does not let the gateway's key use versions."""
    return AccessDenied(operation="GetObject", s3_code="AccessDenied", status=403)
