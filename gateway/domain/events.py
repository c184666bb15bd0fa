"""Name the facts that the event log keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

_POSITION = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{1,16})")
_MOST = 2**63 - 1


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


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the event log. Clients get it as an opaque text and give it back to go on from there."""

    transaction_id: int
    id: int

    def __str__(self) -> str:
        return f"{self.transaction_id:x}-{self.id:x}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote; raise ValueError for anything else, also for numbers that PostgreSQL has none of."""
        match = _POSITION.fullmatch(text)
        if match is None or max(numbers := (int(match[1], 16), int(match[2], 16))) > _MOST:
            raise ValueError("not a position of the event log")
        return cls(*numbers)


BEGINNING = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the event log. Within an upload, ids grow in the order in which the facts were committed.

    Across uploads they do not: *transaction_id* (PostgreSQL's xid8) orders those, see the log's reader.
    """

    id: int
    transaction_id: int
    tenant_id: str
    upload_id: UUID
    type: str
    """An EventType, or a name of a newer release that runs at the same time: a watcher may know it."""
    data: Mapping[str, Any]
    metadata: Mapping[str, Any]
    """Metadata of the upload, which never changes; a watcher finds the owner by it."""
    created_at: datetime

    @property
    def position(self) -> Position:
        """Return where it stands in the log."""
        return Position(self.transaction_id, self.id)
