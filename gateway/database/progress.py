"""Store the latest progress of watched uploads, and let one replica at a time ask the store for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from gateway.database.engine import Database


@dataclass(frozen=True, slots=True)
class PollClaim:
    """Whether this process may ask the store now, and the last result: bytes, bytes per second, age in seconds."""

    granted: bool
    received_bytes: int | None
    """Bytes that the gateway itself streamed so far; None where the client sends to the store.

    None also when a receiver missed its heartbeat: the client can send the file again, or send parts itself.
    """
    bytes_received: int | None
    bytes_per_second: float | None
    age_seconds: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload is; sizes in bytes, *parts* None where none are counted."""

    upload_id: UUID
    bytes_received: int
    size_bytes: int | None
    parts: int | None
    bytes_per_second: float | None
    observed_at: datetime


_CLAIM_POLL = """
WITH claimed AS (
    INSERT INTO upload_progress AS known (upload_id, polled_at)
    SELECT id, now() FROM uploads WHERE id = %(upload_id)s AND state = 'uploading'
    ON CONFLICT (upload_id) DO UPDATE SET polled_at = now()
        WHERE known.polled_at <= now() - make_interval(secs => %(seconds)s)
    RETURNING upload_id, bytes_received, bytes_per_second,
        extract(epoch FROM now() - observed_at)::double precision AS age_seconds
)
SELECT claimed.upload_id IS NOT NULL AS granted, claimed.bytes_received, claimed.bytes_per_second, claimed.age_seconds,
    CASE WHEN uploads.stream_until > now() THEN uploads.streamed_bytes END AS received_bytes
FROM uploads LEFT JOIN claimed ON uploads.id = claimed.upload_id
WHERE uploads.id = %(upload_id)s AND uploads.state = 'uploading'"""


async def claim_poll(database: Database, upload_id: UUID, *, every_seconds: float) -> PollClaim | None:
    """Claim the next look at an upload, unless a process looked less than *every_seconds* ago.

    Returns None for an upload that takes no bytes now.
    """
    row = await database.fetch_one(_CLAIM_POLL, {"upload_id": upload_id, "seconds": every_seconds})
    return PollClaim(**row) if row else None


async def record(
    database: Database,
    upload_id: UUID,
    *,
    bytes_received: int,
    parts: int | None,
    bytes_per_second: float | None,
    notify_watchers: bool = True,
) -> None:
    """Record the progress and notify every process; an upload that is no longer open has no progress."""
    row = await database.fetch_one(
        """
UPDATE upload_progress AS known SET bytes_received = %(bytes_received)s, parts = %(parts)s,
    bytes_per_second = %(bytes_per_second)s, observed_at = now()
FROM uploads WHERE uploads.id = known.upload_id AND known.upload_id = %(upload_id)s AND uploads.state = 'uploading'
    -- In the future: the gateway began to stream the file meanwhile and knows better.
    AND known.polled_at <= now()
RETURNING uploads.tenant_id""",
        {
            "upload_id": upload_id,
            "bytes_received": bytes_received,
            "parts": parts,
            "bytes_per_second": bytes_per_second,
        },
    )
    if row is not None and notify_watchers:
        announce(database, row["tenant_id"], upload_id)


def announce(database: Database, tenant_id: str, upload_id: UUID) -> None:
    """Wake the watchers of an upload's progress."""
    database.announcements.add(f"progress:{tenant_id}", f"progress:{upload_id}")


_SEEN = """SELECT known.upload_id, known.bytes_received, uploads.declared_size_bytes AS size_bytes, known.parts,
    known.bytes_per_second, known.observed_at
FROM uploads JOIN upload_progress AS known ON known.upload_id = uploads.id
WHERE uploads.state = 'uploading' AND known.observed_at IS NOT NULL"""


def _progress(row: Mapping[str, Any]) -> Progress:
    return Progress(**row)


async def of_upload(database: Database, upload_id: UUID) -> Progress | None:
    """Return the latest progress of an upload that still takes bytes."""
    row = await database.fetch_one(f"{_SEEN} AND uploads.id = %(upload_id)s", {"upload_id": upload_id})
    return _progress(row) if row else None


async def of_tenant(database: Database, tenant_id: str, *, since: datetime, limit: int) -> list[Progress]:
    """Return the progress of a tenant's uploads that was seen after *since*, oldest first."""
    rows = await database.fetch_all(
        f"""{_SEEN} AND uploads.tenant_id = %(tenant_id)s AND known.observed_at > %(since)s
        ORDER BY known.observed_at LIMIT %(limit)s""",
        {"tenant_id": tenant_id, "since": since, "limit": limit},
    )
    return [_progress(row) for row in rows]
