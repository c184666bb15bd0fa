"""Keep one-use tickets; only their hashes are here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from gateway.database.engine import Database


async def add(
    database: Database,
    *,
    ticket_hash: bytes,
    tenant_id: str,
    principal: Mapping[str, Any],
    upload_id: UUID | None,
    seconds: float,
) -> None:
    """Add a ticket that ends after *seconds*; *upload_id* None is for all uploads of the tenant."""
    await database.execute(
        """INSERT INTO tickets (ticket_hash, tenant_id, principal, upload_id, expires_at)
        VALUES (%(ticket_hash)s, %(tenant_id)s, %(principal)s, %(upload_id)s,
            now() + make_interval(secs => %(seconds)s))""",
        {
            "ticket_hash": ticket_hash,
            "tenant_id": tenant_id,
            "principal": Jsonb(principal),
            "upload_id": upload_id,
            "seconds": seconds,
        },
    )


async def redeem(database: Database, *, ticket_hash: bytes, upload_id: UUID | None) -> Mapping[str, Any] | None:
    """Delete a valid ticket and return its principal. None for a ticket that is unknown, used, expired or for another
    upload.

    Of concurrent requests with the same ticket one deletes the row and succeeds.
    """
    row = await database.fetch_one(
        """DELETE FROM tickets
        WHERE ticket_hash = %(ticket_hash)s AND expires_at > now()
            AND upload_id IS NOT DISTINCT FROM %(upload_id)s::uuid
        RETURNING principal""",
        {"ticket_hash": ticket_hash, "upload_id": upload_id},
    )
    return row["principal"] if row else None


async def forget_ended(database: Database, *, limit: int) -> int:
    """Drop tickets nobody used in time; return how many."""
    return await database.execute(
        """DELETE FROM tickets WHERE ctid IN (
            SELECT ctid FROM tickets WHERE expires_at < now() ORDER BY expires_at LIMIT %(limit)s
            FOR UPDATE SKIP LOCKED)""",
        {"limit": limit},
    )
