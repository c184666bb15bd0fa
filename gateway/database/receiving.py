"""Hold, renew and release the right to receive the file of an upload."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from psycopg.types.json import Jsonb

from gateway.database import progress
from gateway.database.engine import Database

_LEFT = "now() + make_interval(secs => %(seconds)s)"
_HALF = "now() + make_interval(secs => %(seconds)s / 2)"

_UNASKED = "now() + interval '2 s'"
"""While its receiver reports the progress of an upload, no process asks the store for it."""


async def claim(
    database: Database,
    upload_id: UUID,
    *,
    token: UUID,
    seconds: float,
    part_size_bytes: int | None = None,
    ends_with_request: bool,
) -> bool:
    """Become the one that receives this upload for *seconds*; False when it is not open or another one receives it.

    With *ends_with_request* the upload itself expires without a heartbeat: no client could send the file again.
    """
    touched = await database.execute(
        f"""UPDATE uploads SET stream_token = %(token)s, stream_until = {_LEFT}, streamed_bytes = 0,
            part_size_bytes = coalesce(%(part_size_bytes)s, part_size_bytes),
            expires_at = CASE WHEN %(ends_with_request)s THEN {_LEFT} ELSE expires_at END
        WHERE id = %(id)s AND state = 'uploading' AND (multipart_upload_id IS NOT NULL OR path IS NOT NULL)
            AND (stream_token IS NULL OR stream_until < now()) AND expires_at > now()""",
        {
            "id": upload_id,
            "token": token,
            "seconds": seconds,
            "part_size_bytes": part_size_bytes,
            "ends_with_request": ends_with_request,
        },
    )
    return touched > 0


async def save_progress(
    database: Database,
    upload_id: UUID,
    *,
    token: UUID,
    seconds: float,
    received_bytes: int,
    ends_with_request: bool,
    notify_watchers: bool,
    bytes_per_second: float | None = None,
) -> bool:
    """Say how far it is and stay its receiver; False when the upload is not ours any more.

    With *notify_watchers*, the watchers of the upload and of its tenant are woken. The two times are written only when
    half of the lease is gone, because their columns are in indexes; the count of bytes is not.
    """
    row = await database.fetch_one(
        f"""
WITH moved AS (
    UPDATE uploads SET streamed_bytes = %(received_bytes)s,
        stream_until = CASE WHEN stream_until < {_HALF} THEN {_LEFT} ELSE stream_until END,
        expires_at = CASE WHEN %(ends_with_request)s AND expires_at < {_HALF} THEN {_LEFT} ELSE expires_at END
    WHERE id = %(id)s AND state = 'uploading' AND stream_token = %(token)s
    RETURNING id, tenant_id
),
seen AS (
    INSERT INTO upload_progress (upload_id, polled_at, bytes_received, bytes_per_second, observed_at)
    SELECT id, {_UNASKED}, %(received_bytes)s, %(bytes_per_second)s, now() FROM moved WHERE %(notify_watchers)s
    ON CONFLICT (upload_id) DO UPDATE SET polled_at = excluded.polled_at, bytes_received = excluded.bytes_received,
        parts = NULL, bytes_per_second = excluded.bytes_per_second, observed_at = excluded.observed_at
)
SELECT tenant_id FROM moved""",
        {
            "id": upload_id,
            "token": token,
            "seconds": seconds,
            "received_bytes": received_bytes,
            "ends_with_request": ends_with_request,
            "notify_watchers": notify_watchers,
            "bytes_per_second": bytes_per_second,
        },
    )
    if row is not None and notify_watchers:
        progress.announce(database, row["tenant_id"], upload_id)
    return row is not None


async def add_metadata(database: Database, upload_id: UUID, metadata: Mapping[str, str], *, token: UUID) -> None:
    """Add metadata that came after the file; a name that the upload or its token has already keeps its value."""
    await database.execute(
        """UPDATE uploads SET metadata = %(metadata)s || coalesce(metadata, '{}')
        WHERE id = %(id)s AND state = 'uploading' AND stream_token = %(token)s""",
        {"id": upload_id, "metadata": Jsonb(dict(metadata)), "token": token},
    )


async def release(database: Database, upload_id: UUID, *, token: UUID) -> None:
    """Release the claim of an upload that stays open, so that its file can be sent again at once."""
    await database.execute(
        """UPDATE uploads SET stream_token = NULL, stream_until = NULL, streamed_bytes = NULL
        WHERE id = %(id)s AND stream_token = %(token)s""",
        {"id": upload_id, "token": token},
    )


async def find_ended_on_disk(database: Database, upload_ids: list[UUID]) -> list[tuple[UUID, str]]:
    """Return id and path of those of *upload_ids* that were kept on disk and ended without being ready."""
    rows = await database.fetch_all(
        """SELECT id, path FROM uploads
        WHERE id = ANY(%(ids)s) AND path IS NOT NULL AND state IN ('rejected', 'aborted', 'expired')""",
        {"ids": upload_ids},
    )
    return [(row["id"], row["path"]) for row in rows]
