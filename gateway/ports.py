"""Declare what the use cases need of the store and of the database.

The adapters in `storage` and `database` satisfy these protocols, and so do the in-memory fakes that unit tests use. One
contract suite holds both to the same behaviour. Every method may raise Unavailable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from gateway.domain.errors import GatewayError
from gateway.domain.parts import StoredPart
from gateway.domain.principal import Principal
from gateway.domain.transition import Transition
from gateway.domain.upload import State, Upload
from gateway.storage.models import Assembled, CompletedPart, ObjectHead


class MultipartStore(Protocol):
    """Open, list, assemble and abort multipart uploads."""

    async def create_multipart_upload(
        self,
        key: str,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        checksum_algorithm: Literal["SHA256"] | None = None,
    ) -> str:
        """Create a multipart upload and return the store's id for it."""

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
        """Copy a range of another object into a part; raise PreconditionFailed, NoSuchKey and NoSuchUpload."""

    async def list_parts(self, key: str, multipart_upload_id: str) -> list[StoredPart]:
        """Return the newest part of each number, ascending; raise NoSuchUpload."""

    async def complete_multipart_upload(
        self, key: str, multipart_upload_id: str, parts: Sequence[CompletedPart], *, if_none_match: bool = False
    ) -> Assembled:
        """Assemble the parts; raise NoSuchUpload, InvalidPart, PreconditionFailed."""

    async def abort_multipart_upload(self, key: str, multipart_upload_id: str) -> None:
        """Drop a multipart upload and its parts; raise NoSuchUpload."""


class ObjectStore(MultipartStore, Protocol):
    """Read and delete objects as well."""

    async def head_object(self, key: str, *, if_match: str | None = None, version_id: str | None = None) -> ObjectHead:
        """Describe an object; raise NoSuchKey, or PreconditionFailed when its ETag is not *if_match*."""

    async def get_object_range(
        self, key: str, start: int, length: int, *, if_match: str | None, version_id: str | None = None
    ) -> bytes:
        """Read exactly *length* bytes; raise NoSuchKey, PreconditionFailed, InvalidRange."""

    async def open_object(
        self, key: str, length: int, *, if_match: str | None, version_id: str | None = None
    ) -> tuple[ObjectHead, bytes]:
        """Describe an object and return its first bytes, at most *length*; raise NoSuchKey and PreconditionFailed."""

    async def delete_object(self, key: str, *, version_id: str | None = None) -> None:
        """Delete an object; a missing object is no error."""


class UploadReader(Protocol):
    """Read uploads."""

    async def find(self, principal: Principal, upload_id: UUID) -> Upload | None:
        """Return an upload that *principal* may see. A revoked token sees no upload."""

    async def find_unscoped(self, upload_id: UUID) -> Upload | None:
        """Return an upload of any tenant; for work that no tenant requested."""

    async def find_assembly(self, upload_id: UUID) -> list[StoredPart] | None:
        """Return the parts that `complete` claimed, or None before it did."""

    async def list_page(
        self, principal: Principal, *, state: State | None, before: UUID | None, limit: int
    ) -> list[Upload]:
        """Return up to *limit* uploads, newest first, that are older than *before*."""

    async def is_token_live(self, token_id: UUID) -> bool:
        """Say whether an upload token and its API key are not revoked."""


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """Identify a create request: its Idempotency-Key and the hash of its body."""

    key: str
    request_hash: bytes
    since: datetime
    """Keys that were first used before this time are free again."""


@dataclass(frozen=True, slots=True)
class EarlierRequest:
    """The upload and the body hash of an earlier request with the same Idempotency-Key."""

    upload_id: UUID
    request_hash: bytes


class UploadWriter(Protocol):
    """Create uploads and change their states. Each method is atomic and writes its event."""

    async def insert_intent(
        self,
        intent: Upload,
        request: IdempotentRequest | None,
        *,
        key_id: str,
        lease_seconds: float,
        checksums_error: GatewayError | None = None,
    ) -> Upload | EarlierRequest:
        """Write the intent to create an upload and return it with its token's limit and metadata.

        Returns the earlier request, and writes nothing, when the key is in use. Raises Unauthenticated, TooLarge and
        TokenExhausted for the upload's token, and *checksums_error* when the token requires part checksums. Raises
        TooManyUploads, TokenExhausted or CreatesExhausted at a ceiling of the token, of *key_id* or of the tenant.
        """

    async def open_upload(
        self,
        upload_id: UUID,
        *,
        multipart_upload_id: str | None,
        fence: UUID,
        expires_at: datetime,
        orphans_possible: bool = False,
    ) -> Upload | None:
        """Record the store's answer to create; None when another process holds the lease.

        With *orphans_possible* the sweep looks for a second multipart upload of the key.
        """

    async def count_unsized_urls(self, upload_id: UUID, *, count: int, most: int) -> bool:
        """Count part URLs without a signed length; False when there would be more than *most* in all."""

    async def extend(self, upload_id: UUID, *, seconds: int, max_seconds: int) -> datetime | None:
        """Let an open upload expire *seconds* from now, at most *max_seconds* after its creation; never earlier."""

    async def apply(self, upload_id: UUID, change: Transition) -> Upload | None:
        """Apply a transition; None when the upload is not in its first state."""

    async def mark_cleaned(self, upload_id: UUID) -> None:
        """Record that the store holds nothing of this upload any more."""

    async def remember_checksums(self, upload_id: UUID, checksums: Mapping[int, str]) -> None:
        """Keep base64 SHA-256 checksums by part number; the latest one wins."""

    async def recall_checksums(self, upload_id: UUID) -> Mapping[int, str]:
        """Return the checksums by part number."""

    async def request_check(self, upload_id: UUID) -> None:
        """Wake a worker, so that it looks for the file of this POST upload now."""


class UploadLeases(Protocol):
    """Take, renew and release the time-limited rights to process and to receive an upload."""

    async def take_lease(self, upload_id: UUID, *, token: UUID, seconds: float) -> Upload | None:
        """Take the lease of an upload whose holder did not renew it in time."""

    async def renew_lease(self, upload_id: UUID, *, token: UUID, seconds: float) -> bool:
        """Renew a lease; False when another process holds it. Zero seconds offers the upload to others."""

    async def claim_receiver(self, upload_id: UUID, *, token: UUID, seconds: float) -> bool:
        """Become the receiver of an open upload; False when it is not open or has another receiver."""

    async def save_received(self, upload_id: UUID, *, token: UUID, seconds: float, received_bytes: int) -> bool:
        """Record the received bytes, notify watchers and renew; False when the receiver is another one."""

    async def release_receiver(self, upload_id: UUID, *, token: UUID) -> None:
        """End the right to receive; the upload stays open."""


class UploadRepository(UploadReader, UploadWriter, UploadLeases, Protocol):
    """Everything that the use cases of one upload need of the database."""
