"""Read and move uploads: every function is one statement, every move a compare-and-set with its event and wake-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from psycopg.types.json import Jsonb

from gateway.database.engine import Connection, Database
from gateway.domain.principal import Principal
from gateway.domain.upload import Rejection, State, Upload

NOTIFY_CHANNEL = "gateway_uploads"
"""The payload is `tenant_id upload_id`; it says that there is something to read, never what."""

WEBHOOKS_TOPIC = "webhooks"
"""Behind the payload, or alone, where a webhook is owed a message."""

_COLUMNS = """id, tenant_id, state, filename, extension, declared_size_bytes, declared_content_type, part_size_bytes,
    part_checksums, checksums, metadata, bucket, object_key, multipart_upload_id, observed_size_bytes, observed_etag,
    content_type, detection, rejection_code, rejection_detail, lease_token, lease_until, created_at, updated_at,
    expires_at, token_id, max_size_bytes, form_key, path, stream_token, stream_until, streamed_bytes,
    observed_version_id"""

_SEEN_BY = """tenant_id = %(tenant_id)s AND (%(token_id)s::uuid IS NULL OR (token_id = %(token_id)s AND EXISTS (
    SELECT FROM upload_tokens JOIN api_keys ON api_keys.id = upload_tokens.key_id
    WHERE upload_tokens.id = %(token_id)s AND upload_tokens.revoked_at IS NULL AND api_keys.revoked_at IS NULL)))"""

# An unread CTE that only selects is not run by PostgreSQL, so the last SELECT reads `notified`.
_TELL = f"""
told AS (
    INSERT INTO events (tenant_id, upload_id, type, data)
    SELECT tenant_id, id, %(event)s, %(data)s FROM moved RETURNING id, tenant_id, upload_id, type
),
-- Locked first: of a webhook that is removed this moment, the foreign key would fail the whole move.
owed AS (
    INSERT INTO webhook_deliveries (webhook_id, event_id)
    SELECT webhooks.id, told.id FROM told JOIN webhooks USING (tenant_id)
    WHERE disabled_at IS NULL AND 'upload.' || told.type = ANY (event_types) FOR KEY SHARE OF webhooks
    RETURNING 1
),
notified AS (
    SELECT pg_notify('{NOTIFY_CHANNEL}', tenant_id || ' ' || upload_id
        || CASE WHEN EXISTS (SELECT FROM owed) THEN ' {WEBHOOKS_TOPIC}' ELSE '' END) FROM told
)
SELECT {_COLUMNS} FROM moved, notified"""


StoredAs: TypeAlias = tuple[int, int, str, str | None]
"""A part to assemble: part_number, size_bytes, etag, base64 SHA-256 or None."""


@dataclass(frozen=True, slots=True)
class Move:
    """Describe one transition and what is learned with it. None leaves a column as it is."""

    after: State
    to: State
    fence: UUID | None = None
    """Only while this lease token is still the upload's: a process that lost its lease changes nothing."""
    lease_token: UUID | None = None
    lease_seconds: float = 0.0
    observed_size_bytes: int | None = None
    observed_etag: str | None = None
    observed_version_id: str | None = None
    content_type: str | None = None
    detection: Mapping[str, Any] | None = None
    assembly: Sequence[StoredAs] | None = None
    rejection: Rejection | None = None
    cleanup_pending: bool | None = None
    expired_only: bool | None = None
    """True: only past expires_at. False: only before it."""
    stream_token: UUID | None = None
    """Whoever streams the file is the only one who may complete it, as long as there are signs of life."""
    data: Mapping[str, Any] = field(default_factory=dict)


_MOVE = (
    """
WITH moved AS (
    UPDATE uploads SET
        state = %(to)s,
        updated_at = now(),
        lease_token = %(lease_token)s,
        lease_until = CASE WHEN %(lease_token)s::uuid IS NULL THEN NULL
                           ELSE now() + make_interval(secs => %(lease_seconds)s) END,
        observed_size_bytes = coalesce(%(observed_size_bytes)s, observed_size_bytes),
        observed_etag = coalesce(%(observed_etag)s, observed_etag),
        -- The last word is the check's: one that could not read by version has pinned none.
        observed_version_id = CASE WHEN %(to)s = 'ready' THEN %(observed_version_id)s
                                   ELSE coalesce(%(observed_version_id)s, observed_version_id) END,
        content_type = coalesce(%(content_type)s, content_type),
        detection = coalesce(%(detection)s, detection),
        assembly = coalesce(%(assembly)s, assembly),
        rejection_code = %(rejection_code)s,
        rejection_detail = %(rejection_detail)s,
        stream_token = NULL,
        stream_until = NULL,
        cleanup_pending = coalesce(%(cleanup_pending)s, cleanup_pending)
    WHERE id = %(id)s AND state = %(after)s
        AND (%(fence)s::uuid IS NULL OR lease_token = %(fence)s)
        AND (%(expired_only)s::boolean IS NULL OR (expires_at <= now()) = %(expired_only)s)
        AND (%(to)s <> 'completing' OR stream_token IS NULL OR stream_token = %(stream_token)s
            OR (path IS NULL AND stream_until < now()))
    RETURNING *
),"""
    + _TELL
)


def _upload(row: Mapping[str, Any]) -> Upload:
    values = dict(row)
    values["state"] = State(values["state"])
    values["checksums"] = tuple(values["checksums"]) if values["checksums"] is not None else None
    return Upload(**values)


async def move(connection: Connection, upload_id: UUID, change: Move) -> Upload | None:
    """Apply *change* and write its event, or return None when the upload is not (or no longer) where it must be."""
    rejection = change.rejection
    cursor = await connection.execute(
        _MOVE,
        {
            "id": upload_id,
            "after": change.after,
            "to": change.to,
            "fence": change.fence,
            "lease_token": change.lease_token,
            "lease_seconds": change.lease_seconds,
            "observed_size_bytes": change.observed_size_bytes,
            "observed_etag": change.observed_etag,
            "observed_version_id": change.observed_version_id,
            "content_type": change.content_type,
            "detection": Jsonb(change.detection) if change.detection is not None else None,
            "assembly": Jsonb(change.assembly) if change.assembly is not None else None,
            "rejection_code": rejection.code if rejection else None,
            "rejection_detail": rejection.detail if rejection else None,
            "cleanup_pending": change.cleanup_pending,
            "expired_only": change.expired_only,
            "stream_token": change.stream_token,
            "event": change.to.value,
            "data": Jsonb(dict(change.data)),
        },
    )
    row = await cursor.fetchone()
    return _upload(row) if row else None


async def insert(connection: Connection, upload: Mapping[str, Any], *, lease_seconds: float) -> None:
    """Write the intent to create an upload: a row without a multipart_upload_id, leased to its writer."""
    await connection.execute(
        """
INSERT INTO uploads (id, tenant_id, state, filename, extension, declared_size_bytes, declared_content_type,
    part_size_bytes, part_checksums, checksums, metadata, bucket, object_key, content_type, lease_token, lease_until,
    created_at, expires_at, token_id, max_size_bytes, form_key, path)
VALUES (%(id)s, %(tenant_id)s, 'uploading', %(filename)s, %(extension)s, %(declared_size_bytes)s,
    %(declared_content_type)s, %(part_size_bytes)s, %(part_checksums)s, %(checksums)s, %(metadata)s, %(bucket)s,
    %(object_key)s, %(content_type)s, %(lease_token)s, now() + make_interval(secs => %(lease_seconds)s),
    %(created_at)s, %(expires_at)s, %(token_id)s, %(max_size_bytes)s, %(form_key)s, %(path)s)""",
        {"path": None, **upload, "metadata": Jsonb(upload["metadata"]), "lease_seconds": lease_seconds},
    )


async def drop_intent(connection: Connection, upload_id: UUID) -> None:
    """Take an intent back before anything was asked of the store."""
    await connection.execute(
        "DELETE FROM uploads WHERE id = %(id)s AND state = 'uploading' AND multipart_upload_id IS NULL",
        {"id": upload_id},
    )


_OPEN = (
    """
WITH moved AS (
    UPDATE uploads SET multipart_upload_id = %(multipart_upload_id)s, expires_at = %(expires_at)s,
        lease_token = NULL, lease_until = NULL, updated_at = now()
    WHERE id = %(id)s AND state = 'uploading' AND multipart_upload_id IS NULL AND lease_token = %(fence)s
    RETURNING *
),"""
    + _TELL
)


async def open_parts(
    database: Database, upload_id: UUID, *, multipart_upload_id: str | None, fence: UUID, expires_at: datetime
) -> Upload | None:
    """Record the store's answer to CreateMultipartUpload (None: kept on disk), unless another process took over."""
    row = await database.fetch_one(
        _OPEN,
        {
            "id": upload_id,
            "multipart_upload_id": multipart_upload_id,
            "fence": fence,
            "expires_at": expires_at,
            "event": "created",
            "data": Jsonb({}),
        },
    )
    return _upload(row) if row else None


async def find(database: Database, principal: Principal, upload_id: UUID) -> Upload | None:
    """Return one upload of the principal's; nobody finds another's. A revoked token finds nothing."""
    row = await database.fetch_one(
        f"SELECT {_COLUMNS} FROM uploads WHERE id = %(id)s AND {_SEEN_BY}",
        {"id": upload_id, "tenant_id": principal.tenant_id, "token_id": principal.token_id},
    )
    return _upload(row) if row else None


async def find_assembly(database: Database, upload_id: UUID) -> list[StoredAs] | None:
    """Return the parts that were chosen for assembly, or None before `complete` chose them."""
    row = await database.fetch_one("SELECT assembly FROM uploads WHERE id = %(id)s", {"id": upload_id})
    if row is None or row["assembly"] is None:
        return None
    return [(number, size, etag, checksum) for number, size, etag, checksum in row["assembly"]]


async def find_for_job(database: Database, upload_id: UUID) -> Upload | None:
    """Return one upload whoever's it is; for work that no tenant asked for."""
    row = await database.fetch_one(f"SELECT {_COLUMNS} FROM uploads WHERE id = %(id)s", {"id": upload_id})
    return _upload(row) if row else None


async def list_page(
    database: Database, principal: Principal, *, state: State | None, before: UUID | None, limit: int
) -> list[Upload]:
    """Return up to *limit* uploads of the principal's, newest first, those older than *before*."""
    rows = await database.fetch_all(
        f"""SELECT {_COLUMNS} FROM uploads
        WHERE {_SEEN_BY}
            AND (multipart_upload_id IS NOT NULL OR path IS NOT NULL OR state <> 'uploading')
            AND (%(state)s::text IS NULL OR state = %(state)s)
            AND (%(before)s::uuid IS NULL OR id < %(before)s)
        ORDER BY id DESC LIMIT %(limit)s""",
        {"tenant_id": principal.tenant_id, "token_id": principal.token_id}
        | {"state": state, "before": before, "limit": limit},
    )
    return [_upload(row) for row in rows]


async def take_lease(database: Database, upload_id: UUID, *, token: UUID, seconds: float) -> Upload | None:
    """Take a leased upload whose holder gave no sign of life in time; None when it is held, moved on or unleased."""
    row = await database.fetch_one(
        f"""UPDATE uploads SET lease_token = %(token)s, lease_until = now() + make_interval(secs => %(seconds)s)
        WHERE id = %(id)s AND lease_until < now()
            AND (state IN ('completing', 'validating') OR (state = 'uploading' AND multipart_upload_id IS NULL))
        RETURNING {_COLUMNS}""",
        {"id": upload_id, "token": token, "seconds": seconds},
    )
    return _upload(row) if row else None


async def renew_lease(database: Database, upload_id: UUID, *, token: UUID, seconds: float) -> bool:
    """Give a sign of life; False when the lease is another's by now. Zero seconds hands the upload on."""
    return (
        await database.execute(
            """UPDATE uploads SET lease_until = now() + make_interval(secs => %(seconds)s)
        WHERE id = %(id)s AND lease_token = %(token)s""",
            {"id": upload_id, "token": token, "seconds": seconds},
        )
        > 0
    )


async def cleaned(database: Database, upload_id: UUID) -> None:
    """Record that the store holds nothing of this upload any more."""
    await database.execute(
        "UPDATE uploads SET cleanup_pending = false WHERE id = %(id)s AND cleanup_pending", {"id": upload_id}
    )


async def to_sweep(database: Database, *, clean_after_seconds: float, limit: int) -> dict[str, Sequence[UUID]]:
    """Find what was abandoned, oldest first: `expired`, `dropped` (a lease ran out) and `unclean` uploads."""
    rows = await database.fetch_all(
        """
(SELECT 'expired' AS what, id FROM uploads WHERE state = 'uploading' AND expires_at <= now()
    ORDER BY expires_at LIMIT %(limit)s)
UNION ALL
(SELECT 'dropped', id FROM uploads WHERE state IN ('completing', 'validating') AND lease_until < now()
    ORDER BY lease_until LIMIT %(limit)s)
UNION ALL
(SELECT 'unclean', id FROM uploads
    WHERE cleanup_pending AND updated_at < now() - make_interval(secs => %(clean_after_seconds)s)
    ORDER BY updated_at LIMIT %(limit)s)""",
        {"limit": limit, "clean_after_seconds": clean_after_seconds},
    )
    found: dict[str, list[UUID]] = {"expired": [], "dropped": [], "unclean": []}
    for row in rows:
        found[row["what"]].append(row["id"])
    return dict(found)


async def postpone_cleaning(database: Database, upload_id: UUID) -> None:
    """Put an upload that could not be cleaned at the end of the line, so that it does not block the others."""
    await database.execute("UPDATE uploads SET updated_at = now() WHERE id = %(id)s", {"id": upload_id})
