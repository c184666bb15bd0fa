"""Keep API keys; only their hashes are here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.database.engine import Database


async def add(database: Database, *, key_id: str, tenant_id: str, name: str, secret_hash: bytes) -> bool:
    """Add a key, or return False when its id is taken; adding the same key twice changes nothing."""
    return (
        await database.execute(
            """INSERT INTO api_keys (id, tenant_id, name, secret_hash)
        VALUES (%(id)s, %(tenant_id)s, %(name)s, %(secret_hash)s) ON CONFLICT (id) DO NOTHING""",
            {"id": key_id, "tenant_id": tenant_id, "name": name, "secret_hash": secret_hash},
        )
        > 0
    )


async def find_live(database: Database, key_id: str) -> tuple[str, bytes] | None:
    """Return tenant and secret hash of a key that is not revoked."""
    row = await database.fetch_one(
        "SELECT tenant_id, secret_hash FROM api_keys WHERE id = %(id)s AND revoked_at IS NULL", {"id": key_id}
    )
    return (row["tenant_id"], bytes(row["secret_hash"])) if row else None


async def revoke(database: Database, key_id: str) -> bool:
    """Revoke a key at once; False when there is no such live key."""
    return (
        await database.execute(
            "UPDATE api_keys SET revoked_at = now() WHERE id = %(id)s AND revoked_at IS NULL", {"id": key_id}
        )
        > 0
    )


async def list_all(database: Database, *, limit: int = 1000) -> list[Mapping[str, Any]]:
    """List keys, newest first, without their hashes."""
    rows = await database.fetch_all(
        """SELECT id, tenant_id, name, created_at, revoked_at FROM api_keys
        ORDER BY created_at DESC, id LIMIT %(limit)s""",
        {"limit": limit},
    )
    return list(rows)
