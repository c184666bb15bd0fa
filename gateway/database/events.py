"""Read the event log, of one upload or of a tenant, from a position on.

Ids are drawn before commit. The row lock of an upload puts its own events in order, so those are read by id. Events of
different uploads may become visible in another order than that of their ids; they are read by transaction, and only up
to the oldest transaction that still runs: every later commit sorts after the rows that were read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from gateway.database.engine import Database
from gateway.domain.events import Event, Position

_COLUMNS = """id, transaction_id::text::bigint AS transaction_id, tenant_id, upload_id, type, data, created_at,
    (SELECT metadata FROM uploads WHERE uploads.id = upload_id) AS metadata"""


@dataclass(frozen=True, slots=True)
class Settled:
    """Events of a tenant that nothing will be put between any more; *has_unsettled*: later ones are there already."""

    events: list[Event]
    has_unsettled: bool


def _event(row: Mapping[str, Any]) -> Event:
    return Event(
        id=row["id"],
        transaction_id=row["transaction_id"],
        tenant_id=row["tenant_id"],
        upload_id=row["upload_id"],
        type=row["type"],
        data=row["data"],
        metadata=row["metadata"],
        created_at=row["created_at"],
    )


async def latest_of_upload(database: Database, upload_id: UUID) -> Event | None:
    """Return the newest event of an upload."""
    row = await database.fetch_one(
        f"SELECT {_COLUMNS} FROM events WHERE upload_id = %(upload_id)s ORDER BY id DESC LIMIT 1",
        {"upload_id": upload_id},
    )
    return _event(row) if row else None


async def of_upload(
    database: Database, upload_id: UUID, *, after: Position, up_to: Position | None, limit: int
) -> list[Event]:
    """Return up to *limit* events of an upload, oldest first, behind *after* and not behind *up_to*."""
    rows = await database.fetch_all(
        f"""SELECT {_COLUMNS} FROM events
        WHERE upload_id = %(upload_id)s AND id > %(after)s AND (%(up_to)s::bigint IS NULL OR id <= %(up_to)s)
        ORDER BY id LIMIT %(limit)s""",
        {"upload_id": upload_id, "after": after.id, "up_to": up_to.id if up_to else None, "limit": limit},
    )
    return [_event(row) for row in rows]


async def oldest_open_position(database: Database) -> Position:
    """Return the position that every transaction sorts behind that has not ended yet."""
    row = await database.fetch_one("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest", {})
    assert row is not None, "a SELECT without FROM has one row"
    return Position(row["oldest"], 0)


async def of_tenant(
    database: Database, tenant_id: str, *, after: Position, up_to: Position | None, limit: int
) -> Settled:
    """Return up to *limit* events of a tenant, oldest first, behind *after*, not behind *up_to*, none still movable."""
    rows = await database.fetch_all(
        f"""SELECT {_COLUMNS}, transaction_id < pg_snapshot_xmin(pg_current_snapshot()) AS settled FROM events
        WHERE tenant_id = %(tenant_id)s
            AND (transaction_id, id) > (%(after_transaction)s::text::xid8, %(after_id)s::bigint)
            AND (%(to_id)s::bigint IS NULL OR (transaction_id, id) <= (%(to_transaction)s::text::xid8, %(to_id)s))
        ORDER BY transaction_id, id LIMIT %(limit)s""",
        {
            "tenant_id": tenant_id,
            "after_transaction": str(after.transaction_id),
            "after_id": after.id,
            "to_transaction": str(up_to.transaction_id) if up_to else None,
            "to_id": up_to.id if up_to else None,
            "limit": limit,
        },
    )
    settled = [_event(row) for row in rows if row["settled"]]
    return Settled(settled, has_unsettled=len(settled) < len(rows))


async def log_ends(
    database: Database, *, uploads: Sequence[str], tenants: Sequence[str]
) -> Mapping[tuple[bool, str], Position]:
    """Return the position of the newest event of each upload and tenant, by (whether it is a tenant, its id)."""
    rows = await database.fetch_all(
        """SELECT false AS of_tenant, topic, newest.transaction_id::text::bigint AS transaction_id, newest.id
        FROM unnest(%(uploads)s::text[]) AS topic, LATERAL (
            SELECT transaction_id, id FROM events WHERE upload_id = topic::uuid ORDER BY id DESC LIMIT 1) AS newest
        UNION ALL
        SELECT true, topic, newest.transaction_id::text::bigint, newest.id
        FROM unnest(%(tenants)s::text[]) AS topic, LATERAL (
            SELECT transaction_id, id FROM events WHERE tenant_id = topic
            ORDER BY transaction_id DESC, id DESC LIMIT 1) AS newest""",
        {"uploads": list(uploads), "tenants": list(tenants)},
    )
    return {(row["of_tenant"], row["topic"]): Position(row["transaction_id"], row["id"]) for row in rows}
