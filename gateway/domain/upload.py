"""Define an upload, its states and the allowed transitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from gateway.domain.parts import PartPlan
from gateway.domain.rejection import Rejection


class State(StrEnum):
    """Name where an upload stands."""

    UPLOADING = "uploading"
    COMPLETING = "completing"
    VALIDATING = "validating"
    READY = "ready"
    REJECTED = "rejected"
    ABORTED = "aborted"
    EXPIRED = "expired"


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.UPLOADING: frozenset({State.COMPLETING, State.REJECTED, State.ABORTED, State.EXPIRED}),
    State.COMPLETING: frozenset({State.UPLOADING, State.VALIDATING, State.REJECTED}),
    State.VALIDATING: frozenset({State.READY, State.REJECTED}),
    State.READY: frozenset(),
    State.REJECTED: frozenset(),
    State.ABORTED: frozenset(),
    State.EXPIRED: frozenset(),
}
"""The only moves there are. A final state is never left."""

FINAL_STATES = frozenset(state for state, after in TRANSITIONS.items() if not after)
LEASED_STATES = frozenset({State.COMPLETING, State.VALIDATING})


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload as the database holds it. Times are aware UTC, sizes are bytes."""

    id: UUID
    tenant_id: str
    state: State
    filename: str
    extension: str
    declared_size_bytes: int | None
    declared_content_type: str | None
    part_size_bytes: int | None
    part_checksums: str | None
    checksums: tuple[str, ...] | None
    metadata: Mapping[str, Any]
    bucket: str
    object_key: str
    content_type: str | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    multipart_upload_id: str | None = None
    observed_size_bytes: int | None = None
    observed_etag: str | None = None
    observed_version_id: str | None = None
    detection: Mapping[str, Any] | None = None
    rejection_code: str | None = None
    rejection_detail: str | None = None
    lease_token: UUID | None = None
    lease_until: datetime | None = None
    token_id: UUID | None = None
    max_size_bytes: int | None = None
    post_key: str | None = None
    """Where a POST upload's file arrives. The gateway copies it from there to `object_key`."""
    path: str | None = None
    receiver_token: UUID | None = None
    receiver_until: datetime | None = None
    received_bytes: int | None = None

    @property
    def on_disk(self) -> bool:
        """Say whether the file is kept on the gateway's own disk and not in the store."""
        return self.path is not None

    @property
    def place(self) -> Mapping[str, str]:
        """Return where the file is: `bucket` and `object_key` in the store, or `path` on the gateway's disk."""
        if self.path is not None:
            return {"path": self.path}
        return {"bucket": self.bucket, "object_key": self.object_key}

    @property
    def is_intent(self) -> bool:
        """Say whether the upload is not open yet: its row is written, but the store has not answered."""
        return self.state is State.UPLOADING and self.multipart_upload_id is None and not self.on_disk

    def is_received_at(self, now: datetime) -> bool:
        """Say whether a process holds the right to receive, or to copy, the file at the time *now*."""
        return self.receiver_until is not None and self.receiver_until > now

    @property
    def is_post_upload(self) -> bool:
        """Return whether the file comes in one POST to a separate key, from which the gateway copies it."""
        return self.post_key is not None

    def size_limit(self, policy_limit: int) -> int:
        """Return the largest size that is accepted, in bytes: the policy's, or less if its token says less."""
        return policy_limit if self.max_size_bytes is None else min(policy_limit, self.max_size_bytes)

    @property
    def plan(self) -> PartPlan | None:
        """Return the part plan, or None for an upload whose size was not declared."""
        if self.declared_size_bytes is None or self.part_size_bytes is None:
            return None
        return PartPlan(self.declared_size_bytes, self.part_size_bytes)

    @property
    def rejection(self) -> Rejection | None:
        """Return why it was refused, or None."""
        if self.rejection_code is None:
            return None
        return Rejection(self.rejection_code, self.rejection_detail or "")

    @property
    def is_final(self) -> bool:
        """Say whether the state will never change again."""
        return self.state in FINAL_STATES
