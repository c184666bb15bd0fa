"""Name the facts that the event log keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class EventType(StrEnum):
    """Name what happened to an upload; all but `created` are named after the state they lead to."""

    CREATED = "created"
    UPLOADING = "uploading"
    COMPLETING = "completing"
    VALIDATING = "validating"
    READY = "ready"
    REJECTED = "rejected"
    ABORTED = "aborted"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the event log. Within an upload, ids grow in the order in which the facts were committed.

    Across uploads they do not: *transaction_id* (PostgreSQL's xid8) orders those, see the log's reader.
    """

    id: int
    transaction_id: int
    tenant_id: str
    upload_id: UUID
    type: EventType
    data: Mapping[str, Any]
    created_at: datetime
