"""Implement the use cases' `UploadRepository` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from gateway.database import (
    admission,
    idempotency,
    measuring,
    part_checksums,
    post_uploads,
    receiving,
    transitions,
    upload_tokens,
    uploads,
)
from gateway.database.engine import Connection, Database
from gateway.database.upload_tokens import UploadToken
from gateway.domain.ceilings import Ceilings
from gateway.domain.errors import GatewayError, TooLarge, Unauthenticated
from gateway.domain.parts import StoredPart
from gateway.domain.principal import Principal
from gateway.domain.transition import Transition
from gateway.domain.turns import Turns
from gateway.domain.upload import State, Upload
from gateway.ports import EarlierRequest, IdempotentRequest

CREATES_AT_ONCE = 4
"""Rows of new uploads that a process writes at once, of its ten database connections by default."""


class PostgresUploads:
    """Read and write uploads in PostgreSQL; see `gateway.ports.UploadRepository` for each method."""

    def __init__(self, database: Database, ceilings: Ceilings | None = None, max_file_size: int = 0) -> None:
        self._database = database
        self._ceilings = ceilings or Ceilings()
        self._max_file_size = max_file_size
        self._creates = Turns(CREATES_AT_ONCE)

    async def find(self, principal: Principal, upload_id: UUID) -> Upload | None:
        """Return an upload that *principal* may see."""
        return await uploads.find(self._database, principal, upload_id)

    async def find_unscoped(self, upload_id: UUID) -> Upload | None:
        """Return an upload of any tenant."""
        return await uploads.find_unscoped(self._database, upload_id)

    async def find_assembly(self, upload_id: UUID) -> list[StoredPart] | None:
        """Return the parts that `complete` claimed."""
        return await uploads.find_assembly(self._database, upload_id)

    async def list_page(
        self, principal: Principal, *, state: State | None, before: UUID | None, limit: int
    ) -> list[Upload]:
        """Return a page of uploads, newest first."""
        return await uploads.list_page(self._database, principal, state=state, before=before, limit=limit)

    async def is_token_live(self, token_id: UUID) -> bool:
        """Say whether an upload token and its API key are not revoked."""
        return await upload_tokens.is_live(self._database, token_id)

    async def insert_intent(
        self,
        intent: Upload,
        request: IdempotentRequest | None,
        *,
        key_id: str,
        lease_seconds: float,
        checksums_error: GatewayError | None = None,
    ) -> Upload | EarlierRequest:
        """Write the intent to create an upload, unless the request's key is in use or a ceiling is reached."""
        # One at a time for each token and key: creates that wait for a token's row would each hold a connection.
        name = intent.token_id or key_id
        try:
            async with self._creates.held(name), self._database.transaction() as connection:
                earlier = await _find_key(connection, intent, request)
                if earlier is not None:
                    return earlier
                token = await _lock_token(connection, intent.token_id)
                if token is not None:
                    intent = _limit_to_token(intent, token)
                    if token.part_checksums == "required" and checksums_error is not None:
                        raise checksums_error
                counted_bytes = intent.declared_size_bytes or intent.size_limit(self._max_file_size)
                await admission.check(connection, self._ceilings, intent, token, key_id, counted_bytes)
                await transitions.insert_intent(
                    connection, intent, key_id=key_id, counted_bytes=counted_bytes, lease_seconds=lease_seconds
                )
                earlier = await _claim_key(connection, intent, request)
                if earlier is not None:
                    raise _KeyInUse(earlier)
        except _KeyInUse as exc:
            return exc.earlier
        return intent

    async def open_upload(
        self,
        upload_id: UUID,
        *,
        multipart_upload_id: str | None,
        fence: UUID,
        expires_at: datetime,
        orphans_possible: bool = False,
    ) -> Upload | None:
        """Record the store's answer to create."""
        return await transitions.open_upload(
            self._database,
            upload_id,
            multipart_upload_id=multipart_upload_id,
            fence=fence,
            expires_at=expires_at,
            orphans_possible=orphans_possible,
        )

    async def count_unsized_urls(self, upload_id: UUID, *, count: int, most: int) -> bool:
        """Count part URLs without a signed length."""
        return await measuring.count_unsized_urls(self._database, upload_id, count=count, most=most)

    async def extend(self, upload_id: UUID, *, seconds: int, max_seconds: int) -> datetime | None:
        """Let an open upload expire later."""
        return await uploads.extend(self._database, upload_id, seconds=seconds, max_seconds=max_seconds)

    async def apply(self, upload_id: UUID, change: Transition) -> Upload | None:
        """Apply a transition."""
        async with self._database.connection() as connection:
            moved = await transitions.apply(connection, upload_id, change)
        if moved is None:
            return None
        self._database.announcements.add(*moved.topics)
        return moved.upload

    async def mark_cleaned(self, upload_id: UUID) -> None:
        """Record that the store holds nothing of this upload any more."""
        await uploads.mark_cleaned(self._database, upload_id)

    async def remember_checksums(self, upload_id: UUID, checksums: Mapping[int, str]) -> None:
        """Keep checksums by part number."""
        await part_checksums.remember(self._database, upload_id, checksums)

    async def recall_checksums(self, upload_id: UUID) -> Mapping[int, str]:
        """Return the checksums by part number."""
        return await part_checksums.recall(self._database, upload_id)

    async def request_check(self, upload_id: UUID) -> None:
        """Wake a worker for this POST upload."""
        post_uploads.request_check(self._database, upload_id)

    async def take_lease(self, upload_id: UUID, *, token: UUID, seconds: float) -> Upload | None:
        """Take the lease of an upload whose holder did not renew it in time."""
        return await uploads.take_lease(self._database, upload_id, token=token, seconds=seconds)

    async def renew_lease(self, upload_id: UUID, *, token: UUID, seconds: float) -> bool:
        """Renew a lease."""
        return await uploads.renew_lease(self._database, upload_id, token=token, seconds=seconds)

    async def claim_receiver(self, upload_id: UUID, *, token: UUID, seconds: float) -> bool:
        """Become the receiver of an open upload."""
        return await receiving.claim(self._database, upload_id, token=token, seconds=seconds, ends_with_request=False)

    async def save_received(self, upload_id: UUID, *, token: UUID, seconds: float, received_bytes: int) -> bool:
        """Record the received bytes, notify watchers and renew."""
        return await receiving.save_progress(
            self._database,
            upload_id,
            token=token,
            seconds=seconds,
            received_bytes=received_bytes,
            ends_with_request=False,
            notify_watchers=True,
        )

    async def release_receiver(self, upload_id: UUID, *, token: UUID) -> None:
        """End the right to receive."""
        await receiving.release(self._database, upload_id, token=token)


async def _lock_token(connection: Connection, token_id: UUID | None) -> UploadToken | None:
    if token_id is None:
        return None
    token = await upload_tokens.lock_live(connection, token_id)
    if token is None:
        raise Unauthenticated("The upload token was revoked or has expired.")
    return token


def _limit_to_token(intent: Upload, token: UploadToken) -> Upload:
    """Add the token's size limit, and its metadata, which the client cannot override; raise TooLarge."""
    declared, limit = intent.declared_size_bytes, token.max_size_bytes
    if limit is not None and declared is not None and declared > limit:
        raise TooLarge(f"The file is larger than {limit} bytes.", max_size_bytes=limit)
    return replace(intent, max_size_bytes=limit, metadata={**intent.metadata, **token.metadata})


class _KeyInUse(Exception):
    """Another request took the key at the same moment; leaving the transaction by it rolls the intent back."""

    def __init__(self, earlier: EarlierRequest) -> None:
        self.earlier = earlier


def _key_of(intent: Upload, request: IdempotentRequest) -> str:
    # Each token has its own keys, so that the bearers of two tokens cannot meet each other's requests.
    return request.key if intent.token_id is None else f"{intent.token_id}:{request.key}"


async def _find_key(connection: Connection, intent: Upload, request: IdempotentRequest | None) -> EarlierRequest | None:
    if request is None:
        return None
    earlier = await idempotency.find(
        connection, tenant_id=intent.tenant_id, key=_key_of(intent, request), since=request.since
    )
    return None if earlier is None else EarlierRequest(*earlier)


async def _claim_key(
    connection: Connection, intent: Upload, request: IdempotentRequest | None
) -> EarlierRequest | None:
    if request is None:
        return None
    earlier = await idempotency.claim(
        connection,
        tenant_id=intent.tenant_id,
        key=_key_of(intent, request),
        request_hash=request.request_hash,
        upload_id=intent.id,
        since=request.since,
    )
    return None if earlier is None else EarlierRequest(*earlier)
