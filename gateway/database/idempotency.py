"""Remember which request an Idempotency-Key stands for."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from gateway.database.engine import Connection, Database


async def find(connection: Connection, *, tenant_id: str, key: str, since: datetime) -> tuple[UUID, bytes] | None:
    """Return the upload and request hash that hold a key since *since*, or None."""
    cursor = await connection.execute(
        """SELECT upload_id, request_hash FROM idempotency_keys
        WHERE tenant_id = %(tenant_id)s AND key = %(key)s AND created_at >= %(since)s""",
        {"tenant_id": tenant_id, "key": key, "since": since},
    )
    row = await cursor.fetchone()
    return (row["upload_id"], bytes(row["request_hash"])) if row else None


async def claim(
    connection: Connection, *, tenant_id: str, key: str, request_hash: bytes, upload_id: UUID, since: datetime
) -> tuple[UUID, bytes] | None:
    """Claim a key for a new upload, or return the upload and request hash that hold it since *since*."""
    cursor = await connection.execute(
        """
INSERT INTO idempotency_keys AS held (tenant_id, key, request_hash, upload_id)
VALUES (%(tenant_id)s, %(key)s, %(request_hash)s, %(upload_id)s)
ON CONFLICT (tenant_id, key) DO UPDATE
    SET request_hash = excluded.request_hash, upload_id = excluded.upload_id, created_at = now()
    WHERE held.created_at < %(since)s
RETURNING upload_id""",
        {
            "tenant_id": tenant_id,
            "key": key,
            "request_hash": request_hash,
            "upload_id": upload_id,
            "since": since,
        },
    )
    if await cursor.fetchone():
        return None
    cursor = await connection.execute(
        "SELECT upload_id, request_hash FROM idempotency_keys WHERE tenant_id = %(tenant_id)s AND key = %(key)s",
        {"tenant_id": tenant_id, "key": key},
    )
    row = await cursor.fetchone()
    assert row is not None, "a key that conflicts is there until it is swept"
    return row["upload_id"], bytes(row["request_hash"])


async def forget(database: Database, *, before: datetime, limit: int) -> int:
    """Drop keys older than *before*; return how many."""
    return await database.execute(
        """DELETE FROM idempotency_keys WHERE ctid IN (
            SELECT ctid FROM idempotency_keys WHERE created_at < %(before)s ORDER BY created_at LIMIT %(limit)s
            FOR UPDATE SKIP LOCKED)""",
        {"before": before, "limit": limit},
    )
