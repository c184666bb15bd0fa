"""Write the states of uploads: the only module that does, and each statement writes the event as well.

A transition is a compare-and-set: it names the state it starts from, and changes nothing when the upload is in another.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from gateway.database.engine import Connection, Database
from gateway.database.notify import WEBHOOKS_TOPIC
from gateway.database.upload_rows import COLUMNS, upload_of
from gateway.domain.parts import StoredPart
from gateway.domain.transition import Transition
from gateway.domain.upload import Upload

_WRITE_EVENT = f"""
logged AS (
    INSERT INTO events (tenant_id, upload_id, type, data)
    SELECT tenant_id, id, step.type, step.data
    FROM moved, (VALUES (1, %(via)s::text, '{{}}'::jsonb), (2, %(event)s, %(data)s)) AS step (number, type, data)
    WHERE step.type IS NOT NULL ORDER BY step.number
    RETURNING id, tenant_id, upload_id, type
),
-- The webhooks are locked first: if one is being removed, its foreign key would fail the whole transition.
due AS (
    INSERT INTO webhook_deliveries (webhook_id, event_id)
    SELECT webhooks.id, logged.id FROM logged JOIN webhooks USING (tenant_id)
    WHERE disabled_at IS NULL AND 'upload.' || logged.type = ANY (event_types) FOR KEY SHARE OF webhooks
    RETURNING 1
)
SELECT {COLUMNS}, EXISTS (SELECT FROM due) AS webhooks_due FROM moved"""


class Moved(NamedTuple):
    """A changed upload, and the topics to announce when the change is committed."""

    upload: Upload
    topics: tuple[str, ...]


def _moved(row: dict[str, Any]) -> Moved:
    webhooks_due = row.pop("webhooks_due")
    upload = upload_of(row)
    topics = (upload.tenant_id, str(upload.id))
    return Moved(upload, (*topics, WEBHOOKS_TOPIC) if webhooks_due else topics)


_APPLY = (
    """
WITH moved AS (
    UPDATE uploads SET
        state = %(to_state)s,
        updated_at = now(),
        lease_token = %(lease_token)s,
        lease_until = CASE WHEN %(lease_token)s::uuid IS NULL THEN NULL
                           ELSE now() + make_interval(secs => %(lease_seconds)s) END,
        observed_size_bytes = coalesce(%(observed_size_bytes)s, observed_size_bytes),
        observed_etag = coalesce(%(observed_etag)s, observed_etag),
        -- The check has the last word: if it could not read by version, no version is pinned.
        observed_version_id = CASE WHEN %(to_state)s = 'ready' THEN %(observed_version_id)s
                                   ELSE coalesce(%(observed_version_id)s, observed_version_id) END,
        content_type = coalesce(%(content_type)s, content_type),
        detection = coalesce(%(detection)s, detection),
        assembly = coalesce(%(assembly)s, assembly),
        rejection_code = %(rejection_code)s,
        rejection_detail = %(rejection_detail)s,
        stream_token = NULL,
        stream_until = NULL,
        cleanup_pending = coalesce(%(cleanup_pending)s, cleanup_pending)
    WHERE id = %(id)s AND state = %(from_state)s
        AND (%(fence)s::uuid IS NULL OR lease_token = %(fence)s)
        AND (%(expired_only)s::boolean IS NULL OR (expires_at <= now()) = %(expired_only)s)
        AND (%(to_state)s <> 'completing' OR stream_token IS NULL OR stream_token = %(receiver_token)s
            OR (path IS NULL AND stream_until < now()))
    RETURNING *
),"""
    + _WRITE_EVENT
)


async def apply(connection: Connection, upload_id: UUID, change: Transition) -> Moved | None:
    """Apply *change* and write its events; return None when the upload is not, or no longer, in its first state."""
    rejection, assembly = change.rejection, change.assembly
    cursor = await connection.execute(
        _APPLY,
        {
            "id": upload_id,
            "from_state": change.from_state,
            "to_state": change.to_state,
            "fence": change.fence,
            "lease_token": change.lease_token,
            "lease_seconds": change.lease_seconds,
            "observed_size_bytes": change.observed_size_bytes,
            "observed_etag": change.observed_etag,
            "observed_version_id": change.observed_version_id,
            "content_type": change.content_type,
            "detection": Jsonb(change.detection) if change.detection is not None else None,
            "assembly": Jsonb([_packed(part) for part in assembly]) if assembly is not None else None,
            "rejection_code": rejection.code if rejection else None,
            "rejection_detail": rejection.detail if rejection else None,
            "cleanup_pending": change.cleanup_pending,
            "expired_only": change.expired_only,
            "receiver_token": change.receiver_token,
            "via": change.via.value if change.via else None,
            "event": change.to_state.value,
            "data": Jsonb(dict(change.data)),
        },
    )
    row = await cursor.fetchone()
    return _moved(row) if row else None


def _packed(part: StoredPart) -> tuple[int, int, str, str | None]:
    return part.part_number, part.size_bytes, part.etag, part.checksum_sha256


async def insert_intent(
    connection: Connection, upload: Upload, *, key_id: str, counted_bytes: int, lease_seconds: float
) -> None:
    """Write the intent to create *upload*: a row without a multipart_upload_id, with a lease for its writer.

    It counts for *key_id*, and for *counted_bytes* while it is open.
    """
    await connection.execute(
        """
INSERT INTO uploads (id, tenant_id, state, filename, extension, declared_size_bytes, declared_content_type,
    part_size_bytes, part_checksums, checksums, metadata, bucket, object_key, content_type, lease_token, lease_until,
    created_at, expires_at, token_id, max_size_bytes, form_key, path, key_id, counted_bytes, measure_at)
VALUES (%(id)s, %(tenant_id)s, 'uploading', %(filename)s, %(extension)s, %(declared_size_bytes)s,
    %(declared_content_type)s, %(part_size_bytes)s, %(part_checksums)s, %(checksums)s, %(metadata)s, %(bucket)s,
    %(object_key)s, %(content_type)s, %(lease_token)s, now() + make_interval(secs => %(lease_seconds)s),
    %(created_at)s, %(expires_at)s, %(token_id)s, %(max_size_bytes)s, %(post_key)s, %(path)s, %(key_id)s,
    %(counted_bytes)s, CASE WHEN %(path)s::text IS NULL AND %(post_key)s::text IS NULL
        THEN now() + make_interval(secs => %(measure_seconds)s) END)""",
        {
            **{name: getattr(upload, name) for name in _INSERTED},
            "checksums": list(upload.checksums) if upload.checksums is not None else None,
            "metadata": Jsonb(dict(upload.metadata)),
            "lease_seconds": lease_seconds,
            "key_id": key_id,
            "counted_bytes": counted_bytes,
            "measure_seconds": FIRST_MEASURE_SECONDS,
        },
    )


FIRST_MEASURE_SECONDS = 60.0
"""Time from create until the store is first asked how much a planned upload holds."""

_INSERTED = (
    *("id", "tenant_id", "filename", "extension", "declared_size_bytes", "declared_content_type", "part_size_bytes"),
    *("part_checksums", "bucket", "object_key", "content_type", "lease_token", "created_at", "expires_at", "token_id"),
    *("max_size_bytes", "post_key", "path"),
)


_OPEN = (
    """
WITH moved AS (
    UPDATE uploads SET multipart_upload_id = %(multipart_upload_id)s, expires_at = %(expires_at)s,
        lease_token = NULL, lease_until = NULL, updated_at = now(), orphans_possible = %(orphans_possible)s
    WHERE id = %(id)s AND state = 'uploading' AND multipart_upload_id IS NULL AND lease_token = %(fence)s
    RETURNING *
),"""
    + _WRITE_EVENT
)


async def open_upload(
    database: Database,
    upload_id: UUID,
    *,
    multipart_upload_id: str | None,
    fence: UUID,
    expires_at: datetime,
    orphans_possible: bool = False,
) -> Upload | None:
    """Record the store's answer to CreateMultipartUpload and write the event `created`.

    A file on the gateway's disk has no *multipart_upload_id*. Returns None when another process
    holds the lease.
    """
    row = await database.fetch_one(
        _OPEN,
        {
            "id": upload_id,
            "multipart_upload_id": multipart_upload_id,
            "fence": fence,
            "expires_at": expires_at,
            "orphans_possible": orphans_possible,
            "via": None,
            "event": "created",
            "data": Jsonb({}),
        },
    )
    if row is None:
        return None
    moved = _moved(row)
    database.announcements.add(*moved.topics)
    return moved.upload


_EXPIRE = f"""
WITH RECURSIVE tenants AS (
    (SELECT tenant_id FROM uploads WHERE state = 'uploading' AND tenant_id > %(after)s ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant_id FROM uploads WHERE state = 'uploading' AND tenant_id > tenants.tenant_id
        ORDER BY tenant_id LIMIT 1)
    FROM tenants WHERE tenants.tenant_id IS NOT NULL
),
late AS (
    SELECT one.id FROM (SELECT tenant_id FROM tenants WHERE tenant_id IS NOT NULL LIMIT 1000) AS owners,
        LATERAL (SELECT id FROM uploads
            WHERE uploads.tenant_id = owners.tenant_id AND state = 'uploading' AND expires_at <= now()
            ORDER BY expires_at LIMIT %(per_tenant)s FOR UPDATE SKIP LOCKED) AS one
    LIMIT %(limit)s
),
moved AS (
    UPDATE uploads SET state = 'expired', updated_at = now(), lease_token = NULL, lease_until = NULL,
        stream_token = NULL, stream_until = NULL, cleanup_pending = true
    WHERE id = ANY (ARRAY(SELECT id FROM late)) AND state = 'uploading' RETURNING *
),
logged AS (
    INSERT INTO events (tenant_id, upload_id, type, data)
    SELECT tenant_id, id, 'expired', '{{}}' FROM moved RETURNING id, tenant_id, upload_id, type
),
due AS (
    INSERT INTO webhook_deliveries (webhook_id, event_id)
    SELECT webhooks.id, logged.id FROM logged JOIN webhooks USING (tenant_id)
    WHERE disabled_at IS NULL AND 'upload.' || logged.type = ANY (event_types) FOR KEY SHARE OF webhooks
    RETURNING event_id
)
SELECT {COLUMNS}, EXISTS (SELECT FROM due) AS webhooks_due FROM moved"""


async def expire_late(database: Database, *, after_tenant: str, per_tenant: int, limit: int) -> list[Upload]:
    """Expire overdue uploads, tenant by tenant after *after_tenant*, and return them.

    One statement for all. Processes that run it at once skip each other's rows.
    """
    rows = await database.fetch_all(_EXPIRE, {"after": after_tenant, "per_tenant": per_tenant, "limit": limit})
    moved = [_moved(row) for row in rows]
    if moved:
        database.announcements.add(*{topic for one in moved for topic in one.topics})
    return [one.upload for one in moved]
