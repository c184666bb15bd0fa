"""An upload repository in memory. `tests/api/test_upload_repository.py` holds it to the behaviour of PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from gateway.domain.errors import GatewayError, TokenExhausted, TooLarge, Unauthenticated
from gateway.domain.parts import StoredPart
from gateway.domain.principal import Principal
from gateway.domain.transition import Transition
from gateway.domain.upload import LEASED_STATES, State, Upload
from gateway.events.wakeups import Wakeups
from gateway.ports import EarlierRequest, IdempotentRequest


@dataclass
class MemoryToken:
    """An upload token's limits."""

    max_files: int | None = None
    max_size_bytes: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    part_checksums_required: bool = False
    live: bool = True


class MemoryUploads:
    """Keep rows and events in memory. *now* is the database's clock."""

    def __init__(self, now: Callable[[], datetime], wakeups: Wakeups) -> None:
        self.rows: dict[UUID, Upload] = {}
        self.cleanup_pending: set[UUID] = set()
        self.events: list[tuple[UUID, str, Mapping[str, Any]]] = []
        self.tokens: dict[UUID, MemoryToken] = {}
        self.checks_requested: list[UUID] = []
        self._assemblies: dict[UUID, list[StoredPart]] = {}
        self._checksums: dict[UUID, dict[int, str]] = {}
        self._unsized: dict[UUID, int] = {}
        self._keys: dict[tuple[str, UUID | None, str], tuple[datetime, EarlierRequest]] = {}
        self._now = now
        self._wakeups = wakeups

    def types_of(self, upload_id: UUID) -> list[str]:
        """Give the events of an upload."""
        return [kind for identity, kind, _ in self.events if identity == upload_id]

    def _write(self, upload: Upload, event: str | None = None, data: Mapping[str, Any] | None = None) -> Upload:
        self.rows[upload.id] = upload
        if event is not None:
            self.events.append((upload.id, event, dict(data or {})))
            self._wakeups.wake(f"{upload.tenant_id} {upload.id}")
        return upload

    def _visible(self, principal: Principal, upload: Upload) -> bool:
        if upload.tenant_id != principal.tenant_id:
            return False
        if principal.token_id is None:
            return True
        return upload.token_id == principal.token_id and self.tokens[principal.token_id].live

    async def find(self, principal: Principal, upload_id: UUID) -> Upload | None:
        upload = self.rows.get(upload_id)
        return upload if upload is not None and self._visible(principal, upload) else None

    async def find_unscoped(self, upload_id: UUID) -> Upload | None:
        return self.rows.get(upload_id)

    async def find_assembly(self, upload_id: UUID) -> list[StoredPart] | None:
        return self._assemblies.get(upload_id)

    async def list_page(
        self, principal: Principal, *, state: State | None, before: UUID | None, limit: int
    ) -> list[Upload]:
        found = [
            upload
            for upload in self.rows.values()
            if self._visible(principal, upload)
            and not upload.is_intent
            and state in (None, upload.state)
            and (before is None or upload.id < before)
        ]
        return sorted(found, key=lambda upload: upload.id, reverse=True)[:limit]

    async def is_token_live(self, token_id: UUID) -> bool:
        return token_id in self.tokens and self.tokens[token_id].live

    async def insert_intent(
        self,
        intent: Upload,
        request: IdempotentRequest | None,
        *,
        key_id: str,
        lease_seconds: float,
        checksums_error: GatewayError | None = None,
    ) -> Upload | EarlierRequest:
        token = None
        if intent.token_id is not None:
            token = self.tokens.get(intent.token_id)
            if token is None or not token.live:
                raise Unauthenticated
            limit, declared = token.max_size_bytes, intent.declared_size_bytes
            if limit is not None and declared is not None and declared > limit:
                raise TooLarge
            if token.part_checksums_required and checksums_error is not None:
                raise checksums_error
            intent = replace(intent, max_size_bytes=limit, metadata={**intent.metadata, **token.metadata})
        if request is not None:
            key = (intent.tenant_id, intent.token_id, request.key)
            used_at, earlier = self._keys.get(key, (None, None))
            if earlier is not None and used_at is not None and used_at >= request.since:
                return earlier
        if token is not None and token.max_files is not None:
            files = [row for row in self.rows.values() if row.token_id == intent.token_id]
            if len(files) >= token.max_files:
                raise TokenExhausted
        if request is not None:
            self._keys[key] = (self._now(), EarlierRequest(intent.id, request.request_hash))
        self._write(replace(intent, lease_until=self._now() + timedelta(seconds=lease_seconds)))
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
        upload = self.rows.get(upload_id)
        if upload is None or upload.state is not State.UPLOADING or upload.multipart_upload_id is not None:
            return None
        if upload.lease_token != fence:
            return None
        opened = replace(
            upload,
            multipart_upload_id=multipart_upload_id,
            expires_at=expires_at,
            lease_token=None,
            lease_until=None,
            updated_at=self._now(),
        )
        return self._write(opened, "created")

    async def count_unsized_urls(self, upload_id: UUID, *, count: int, most: int) -> bool:
        """Count part URLs without a signed length."""
        self._unsized[upload_id] = self._unsized.get(upload_id, 0) + count
        return self._unsized[upload_id] <= most

    async def extend(self, upload_id: UUID, *, seconds: int, max_seconds: int) -> datetime | None:
        upload, now = self.rows.get(upload_id), self._now()
        if upload is None or upload.state is not State.UPLOADING or upload.expires_at <= now:
            return None
        later = min(now + timedelta(seconds=seconds), upload.created_at + timedelta(seconds=max_seconds))
        if upload.expires_at >= later:
            return None
        return self._write(replace(upload, expires_at=later)).expires_at

    async def apply(self, upload_id: UUID, change: Transition) -> Upload | None:
        upload = self.rows.get(upload_id)
        if upload is None or not self._may_apply(upload, change):
            return None
        now, rejection = self._now(), change.rejection
        leased = change.lease_token is not None
        changed = replace(
            upload,
            state=change.to_state,
            updated_at=now,
            lease_token=change.lease_token,
            lease_until=now + timedelta(seconds=change.lease_seconds) if leased else None,
            observed_size_bytes=_or(change.observed_size_bytes, upload.observed_size_bytes),
            observed_etag=_or(change.observed_etag, upload.observed_etag),
            observed_version_id=change.observed_version_id
            if change.to_state is State.READY
            else _or(change.observed_version_id, upload.observed_version_id),
            content_type=_or(change.content_type, upload.content_type),
            detection=_or(change.detection, upload.detection),
            rejection_code=rejection.code if rejection else None,
            rejection_detail=rejection.detail if rejection else None,
            receiver_token=None,
            receiver_until=None,
        )
        if change.assembly is not None:
            self._assemblies[upload_id] = list(change.assembly)
        if change.cleanup_pending:
            self.cleanup_pending.add(upload_id)
        if change.via is not None:
            self._write(replace(changed, state=change.via), change.via.value)
        return self._write(changed, change.to_state.value, change.data)

    def _may_apply(self, upload: Upload, change: Transition) -> bool:
        if upload.state is not change.from_state or change.fence not in (None, upload.lease_token):
            return False
        if change.expired_only is not None and (upload.expires_at <= self._now()) != change.expired_only:
            return False
        if change.to_state is not State.COMPLETING or upload.receiver_token in (None, change.receiver_token):
            return True
        return not upload.on_disk and not upload.is_received_at(self._now())

    async def mark_cleaned(self, upload_id: UUID) -> None:
        self.cleanup_pending.discard(upload_id)

    async def remember_checksums(self, upload_id: UUID, checksums: Mapping[int, str]) -> None:
        self._checksums.setdefault(upload_id, {}).update(checksums)

    async def recall_checksums(self, upload_id: UUID) -> Mapping[int, str]:
        return dict(self._checksums.get(upload_id, {}))

    async def request_check(self, upload_id: UUID) -> None:
        self.checks_requested.append(upload_id)
        self._wakeups.wake(f"post_uploads:{upload_id}")

    async def take_lease(self, upload_id: UUID, *, token: UUID, seconds: float) -> Upload | None:
        upload = self.rows.get(upload_id)
        if upload is None or upload.lease_until is None or upload.lease_until >= self._now():
            return None
        if upload.state not in LEASED_STATES and not (
            upload.state is State.UPLOADING and upload.multipart_upload_id is None
        ):
            return None
        until = self._now() + timedelta(seconds=seconds)
        return self._write(replace(upload, lease_token=token, lease_until=until))

    async def renew_lease(self, upload_id: UUID, *, token: UUID, seconds: float) -> bool:
        upload = self.rows.get(upload_id)
        if upload is None or upload.lease_token != token:
            return False
        self._write(replace(upload, lease_until=self._now() + timedelta(seconds=seconds)))
        return True

    async def claim_receiver(self, upload_id: UUID, *, token: UUID, seconds: float) -> bool:
        upload, now = self.rows.get(upload_id), self._now()
        if upload is None or upload.state is not State.UPLOADING or upload.is_intent or upload.expires_at <= now:
            return False
        if upload.receiver_token is not None and upload.is_received_at(now):
            return False
        until = now + timedelta(seconds=seconds)
        self._write(replace(upload, receiver_token=token, receiver_until=until, received_bytes=0))
        return True

    async def save_received(self, upload_id: UUID, *, token: UUID, seconds: float, received_bytes: int) -> bool:
        upload = self.rows.get(upload_id)
        if upload is None or upload.state is not State.UPLOADING or upload.receiver_token != token:
            return False
        until = self._now() + timedelta(seconds=seconds)
        self._write(replace(upload, receiver_until=until, received_bytes=received_bytes))
        return True

    async def release_receiver(self, upload_id: UUID, *, token: UUID) -> None:
        upload = self.rows.get(upload_id)
        if upload is not None and upload.receiver_token == token:
            self._write(replace(upload, receiver_token=None, receiver_until=None, received_bytes=None))


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value
