"""Keep what upload tokens may do; the tokens themselves are signed and kept nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from gateway.database.engine import Connection, Database

_COLUMNS = """id, tenant_id, key_id, policy, max_files, max_size_bytes, metadata, allowed_origins, created_at,
    expires_at, revoked_at, part_checksums"""

_FILES = """coalesce((SELECT files FROM usage_counters WHERE scope = 'token' AND id = upload_tokens.id::text), 0)
    - (SELECT count(*) FROM uploads WHERE token_id = upload_tokens.id AND state = 'uploading'
        AND ((multipart_upload_id IS NULL AND lease_until < now()) OR expires_at < now() - interval '1 minute'))
    AS file_count"""
"""Files that count against max_files: those counted, without open uploads that nobody can use any more."""


@dataclass(frozen=True, slots=True)
class UploadToken:
    """One upload token as the database holds it. Times are aware UTC, sizes are bytes; None is no limit."""

    id: UUID
    tenant_id: str
    key_id: str
    policy: str
    max_files: int | None
    max_size_bytes: int | None
    metadata: Mapping[str, Any]
    allowed_origins: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    part_checksums: str | None = None
    """`required`, or None where the setting of the gateway decides."""
    file_count: int = 0


def _token(row: Mapping[str, Any]) -> UploadToken:
    return UploadToken(**{**row, "allowed_origins": tuple(row["allowed_origins"])})


async def insert(database: Database, token: UploadToken) -> None:
    """Keep a new token."""
    await database.execute(
        """
INSERT INTO upload_tokens (id, tenant_id, key_id, policy, max_files, max_size_bytes, metadata, allowed_origins,
    created_at, expires_at, part_checksums)
VALUES (%(id)s, %(tenant_id)s, %(key_id)s, %(policy)s, %(max_files)s, %(max_size_bytes)s, %(metadata)s,
    %(allowed_origins)s, %(created_at)s, %(expires_at)s, %(part_checksums)s)""",
        {
            "id": token.id,
            "tenant_id": token.tenant_id,
            "key_id": token.key_id,
            "policy": token.policy,
            "max_files": token.max_files,
            "max_size_bytes": token.max_size_bytes,
            "metadata": Jsonb(dict(token.metadata)),
            "allowed_origins": list(token.allowed_origins),
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "part_checksums": token.part_checksums,
        },
    )


async def find(database: Database, tenant_id: str, token_id: UUID) -> UploadToken | None:
    """Return one token of a tenant, with the number of files it was used for."""
    row = await database.fetch_one(
        f"""SELECT {_COLUMNS}, {_FILES}
        FROM upload_tokens WHERE id = %(id)s AND tenant_id = %(tenant_id)s""",
        {"id": token_id, "tenant_id": tenant_id},
    )
    return _token(row) if row else None


async def list_page(database: Database, tenant_id: str, *, before: UUID | None, limit: int) -> list[UploadToken]:
    """Return up to *limit* tokens of a tenant, newest first, those older than *before*."""
    rows = await database.fetch_all(
        f"""SELECT {_COLUMNS}, {_FILES}
        FROM upload_tokens WHERE tenant_id = %(tenant_id)s AND (%(before)s::uuid IS NULL OR id < %(before)s)
        ORDER BY id DESC LIMIT %(limit)s""",
        {"tenant_id": tenant_id, "before": before, "limit": limit},
    )
    return [_token(row) for row in rows]


async def revoke(database: Database, tenant_id: str, token_id: UUID) -> bool:
    """Revoke a token at once; it may be repeated. Return False when the tenant has no such token."""
    return (
        await database.execute(
            """UPDATE upload_tokens SET revoked_at = coalesce(revoked_at, now())
        WHERE id = %(id)s AND tenant_id = %(tenant_id)s""",
            {"id": token_id, "tenant_id": tenant_id},
        )
        > 0
    )


async def lock_live(connection: Connection, token_id: UUID) -> UploadToken | None:
    """Return a token that may still be used and hold it until the transaction ends: its creates go one by one."""
    cursor = await connection.execute(
        f"""SELECT {_COLUMNS} FROM upload_tokens
        WHERE id = %(id)s AND revoked_at IS NULL AND expires_at > now()
            AND EXISTS (SELECT FROM api_keys WHERE api_keys.id = upload_tokens.key_id AND api_keys.revoked_at IS NULL)
        FOR UPDATE""".encode(),
        {"id": token_id},
    )
    row = await cursor.fetchone()
    return _token(row) if row else None


async def is_live(database: Database, token_id: UUID) -> bool:
    """Say whether neither the token nor the key that made it is revoked."""
    row = await database.fetch_one(
        """SELECT FROM upload_tokens JOIN api_keys ON api_keys.id = upload_tokens.key_id
        WHERE upload_tokens.id = %(id)s AND upload_tokens.revoked_at IS NULL AND api_keys.revoked_at IS NULL""",
        {"id": token_id},
    )
    return row is not None


async def is_current(database: Database, token_id: UUID) -> bool:
    """Return whether a token is neither revoked nor expired; open streams ask again."""
    row = await database.fetch_one(
        """SELECT FROM upload_tokens JOIN api_keys ON api_keys.id = upload_tokens.key_id
        WHERE upload_tokens.id = %(id)s AND upload_tokens.revoked_at IS NULL AND api_keys.revoked_at IS NULL
            AND upload_tokens.expires_at > now()""",
        {"id": token_id},
    )
    return row is not None


async def forget_ended(database: Database, *, after_seconds: float, limit: int) -> tuple[int, int]:
    """Drop tokens that ended so long ago and that no upload names; return how many of how many that were looked at.

    A token with uploads is checked again after the same time: most uploads are kept for ever.
    """
    row = await database.fetch_one(
        """
WITH due AS (
    SELECT id FROM upload_tokens
    WHERE greatest(expires_at, seen_used_at) < now() - make_interval(secs => %(seconds)s)
    ORDER BY greatest(expires_at, seen_used_at) LIMIT %(limit)s FOR UPDATE SKIP LOCKED
),
-- The LIMIT makes it one look into an index for each: an EXISTS alone is answered by reading all uploads.
used AS (SELECT due.id FROM due, LATERAL (SELECT FROM uploads WHERE token_id = due.id LIMIT 1) AS one),
kept AS (UPDATE upload_tokens SET seen_used_at = now() WHERE id = ANY (ARRAY(SELECT id FROM used))),
gone AS (
    DELETE FROM upload_tokens WHERE id = ANY (ARRAY(SELECT id FROM due EXCEPT SELECT id FROM used)) RETURNING id
),
counters AS (DELETE FROM usage_counters USING gone WHERE scope = 'token' AND usage_counters.id = gone.id::text)
SELECT (SELECT count(*) FROM gone) AS gone, (SELECT count(*) FROM due) AS seen""",
        {"seconds": after_seconds, "limit": limit},
    )
    assert row is not None, "a SELECT without FROM has one row"
    return row["gone"], row["seen"]
