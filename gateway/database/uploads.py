"""Read uploads, take and renew their leases, and record that they are cleaned. States are written in `transitions`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from gateway.database.engine import Database
from gateway.database.upload_rows import COLUMNS, upload_of
from gateway.domain.parts import StoredPart
from gateway.domain.principal import Principal
from gateway.domain.upload import State, Upload

_VISIBLE_TO = """tenant_id = %(tenant_id)s AND (%(token_id)s::uuid IS NULL OR (token_id = %(token_id)s AND EXISTS (
    SELECT FROM upload_tokens JOIN api_keys ON api_keys.id = upload_tokens.key_id
    WHERE upload_tokens.id = %(token_id)s AND upload_tokens.revoked_at IS NULL AND api_keys.revoked_at IS NULL)))"""


async def find(database: Database, principal: Principal, upload_id: UUID) -> Upload | None:
    """Return one upload of the principal; a revoked token finds nothing."""
    row = await database.fetch_one(
        f"SELECT {COLUMNS} FROM uploads WHERE id = %(id)s AND {_VISIBLE_TO}",
        {"id": upload_id, "tenant_id": principal.tenant_id, "token_id": principal.token_id},
    )
    return upload_of(row) if row else None


async def extend(database: Database, upload_id: UUID, *, seconds: int, max_seconds: int) -> datetime | None:
    """Let an open upload expire *seconds* from now, at most *max_seconds* after its creation; return the new time.

    Returns None for an upload that is not open, has expired, or would expire sooner than it does.
    """
    row = await database.fetch_one(
        """UPDATE uploads SET expires_at = least(
            now() + make_interval(secs => %(seconds)s), created_at + make_interval(secs => %(max_seconds)s))
        WHERE id = %(id)s AND state = 'uploading' AND expires_at > now() AND expires_at < least(
            now() + make_interval(secs => %(seconds)s), created_at + make_interval(secs => %(max_seconds)s))
        RETURNING expires_at""",
        {"id": upload_id, "seconds": seconds, "max_seconds": max_seconds},
    )
    return row["expires_at"] if row else None


async def find_assembly(database: Database, upload_id: UUID) -> list[StoredPart] | None:
    """Return the parts that were chosen for assembly, or None before `complete` chose them."""
    row = await database.fetch_one("SELECT assembly FROM uploads WHERE id = %(id)s", {"id": upload_id})
    if row is None or row["assembly"] is None:
        return None
    return [StoredPart(number, size, etag, checksum) for number, size, etag, checksum in row["assembly"]]


async def find_unscoped(database: Database, upload_id: UUID) -> Upload | None:
    """Return one upload whoever's it is; for work that no tenant asked for."""
    row = await database.fetch_one(f"SELECT {COLUMNS} FROM uploads WHERE id = %(id)s", {"id": upload_id})
    return upload_of(row) if row else None


_LISTED = COLUMNS.replace(" checksums,", " NULL::text[] AS checksums,")
"""Without the checksums of parts, which no list shows: 1,000 uploads may have 470 MB of them."""


async def list_page(
    database: Database, principal: Principal, *, state: State | None, before: UUID | None, limit: int
) -> list[Upload]:
    """Return up to *limit* uploads of the principal's, newest first, those older than *before*."""
    rows = await database.fetch_all(
        f"""SELECT {_LISTED} FROM uploads
        WHERE {_VISIBLE_TO}
            AND (multipart_upload_id IS NOT NULL OR path IS NOT NULL OR state <> 'uploading')
            AND (%(state)s::text IS NULL OR state = %(state)s)
            AND (%(before)s::uuid IS NULL OR id < %(before)s)
        ORDER BY id DESC LIMIT %(limit)s""",
        {"tenant_id": principal.tenant_id, "token_id": principal.token_id}
        | {"state": state, "before": before, "limit": limit},
    )
    return [upload_of(row) for row in rows]


async def take_lease(database: Database, upload_id: UUID, *, token: UUID, seconds: float) -> Upload | None:
    """Take over an upload whose lease ran out; return None when its lease is valid or it has none."""
    row = await database.fetch_one(
        f"""UPDATE uploads SET lease_token = %(token)s, lease_until = now() + make_interval(secs => %(seconds)s)
        WHERE id = %(id)s AND lease_until < now()
            AND (state IN ('completing', 'validating') OR (state = 'uploading' AND multipart_upload_id IS NULL))
        RETURNING {COLUMNS}""",
        {"id": upload_id, "token": token, "seconds": seconds},
    )
    return upload_of(row) if row else None


async def renew_lease(database: Database, upload_id: UUID, *, token: UUID, seconds: float) -> bool:
    """Renew a lease; return False when another process has it. Zero seconds releases it."""
    return (
        await database.execute(
            """UPDATE uploads SET lease_until = now() + make_interval(secs => %(seconds)s)
        WHERE id = %(id)s AND lease_token = %(token)s""",
            {"id": upload_id, "token": token, "seconds": seconds},
        )
        > 0
    )


async def mark_cleaned(database: Database, upload_id: UUID) -> None:
    """Record that the store holds nothing of this upload any more."""
    await database.execute(
        "UPDATE uploads SET cleanup_pending = false WHERE id = %(id)s AND cleanup_pending", {"id": upload_id}
    )


async def find_dropped(database: Database, *, limit: int) -> Sequence[UUID]:
    """Return uploads whose lease ran out, oldest first."""
    rows = await database.fetch_all(
        """SELECT id FROM uploads WHERE state IN ('completing', 'validating') AND lease_until < now()
        ORDER BY lease_until LIMIT %(limit)s""",
        {"limit": limit},
    )
    return [row["id"] for row in rows]


async def claim_unclean(
    database: Database, *, after_tenant: str, clean_after_seconds: float, per_tenant: int, limit: int
) -> list[Upload]:
    """Return ended uploads that the store may still hold something of, from tenants after *after_tenant* in turn.

    They are put at the end of the line at once: processes that ask at the same time share the rows, and an upload that
    cannot be cleaned does not hold up the others.
    """
    rows = await database.fetch_all(
        f"""
WITH RECURSIVE tenants AS (
    (SELECT tenant_id FROM uploads WHERE cleanup_pending AND tenant_id > %(after)s ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant_id FROM uploads WHERE cleanup_pending AND tenant_id > tenants.tenant_id
        ORDER BY tenant_id LIMIT 1)
    FROM tenants WHERE tenants.tenant_id IS NOT NULL
),
due AS (
    SELECT one.id FROM (SELECT tenant_id FROM tenants WHERE tenant_id IS NOT NULL LIMIT 1000) AS owners,
        LATERAL (SELECT id FROM uploads WHERE uploads.tenant_id = owners.tenant_id AND cleanup_pending
            AND updated_at < now() - make_interval(secs => %(seconds)s)
            ORDER BY updated_at LIMIT %(per_tenant)s FOR UPDATE SKIP LOCKED) AS one
    LIMIT %(limit)s
)
UPDATE uploads SET updated_at = now() WHERE id = ANY (ARRAY(SELECT id FROM due)) RETURNING {COLUMNS}""",
        {"after": after_tenant, "seconds": clean_after_seconds, "per_tenant": per_tenant, "limit": limit},
    )
    return [upload_of(row) for row in rows]


async def claim_orphans(database: Database, *, after_seconds: float, limit: int) -> list[Upload]:
    """Return uploads whose CreateMultipartUpload was tried twice, some time after their creation, and unmark them.

    The time is for a first try that reaches the store late.
    """
    rows = await database.fetch_all(
        f"""UPDATE uploads SET orphans_possible = false WHERE id IN (
            SELECT id FROM uploads WHERE orphans_possible
                AND created_at < now() - make_interval(secs => %(seconds)s)
            ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        RETURNING {COLUMNS}""",
        {"seconds": after_seconds, "limit": limit},
    )
    return [upload_of(row) for row in rows]


async def mark_orphans(database: Database, upload_id: UUID) -> None:
    """Mark an upload again whose orphans could not be looked for."""
    await database.execute("UPDATE uploads SET orphans_possible = true WHERE id = %(id)s", {"id": upload_id})
