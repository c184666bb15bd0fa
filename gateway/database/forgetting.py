"""Forget what uploads that ended leave in the database. Every call is one bounded statement that skips locked rows."""

from __future__ import annotations

from gateway.database.engine import Database


async def forget_working_rows(database: Database, *, after_seconds: float, limit: int) -> int:
    """Drop part checksums and progress of up to *limit* cleaned uploads, some time after their end; return how many.

    The time is for those who still sign parts of an upload that another process ends meanwhile.
    """
    return await database.execute(
        """
WITH due AS (
    SELECT id FROM uploads
    WHERE has_working_rows AND NOT cleanup_pending AND state IN ('ready', 'rejected', 'aborted', 'expired')
        AND updated_at < now() - make_interval(secs => %(seconds)s)
    ORDER BY updated_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
),
-- As an array: joined, they are few enough for an index and the planner reads the whole table all the same.
checksums AS (DELETE FROM part_checksums WHERE upload_id = ANY (ARRAY(SELECT id FROM due))),
progress AS (DELETE FROM upload_progress WHERE upload_id = ANY (ARRAY(SELECT id FROM due)))
UPDATE uploads SET has_working_rows = false FROM due WHERE uploads.id = due.id""",
        {"seconds": after_seconds, "limit": limit},
    )


async def forget_uploads(database: Database, *, after_seconds: float, limit: int) -> int:
    """Drop up to *limit* uploads that ended so long ago without being ready, with their events; return how many.

    The objects in the store are removed first: without the row nothing would find them.
    """
    return await database.execute(
        """
DELETE FROM uploads WHERE id IN (
    SELECT id FROM uploads
    WHERE NOT has_working_rows AND NOT cleanup_pending AND form_key IS NULL
        AND state IN ('rejected', 'aborted', 'expired')
        AND updated_at < now() - make_interval(secs => %(seconds)s)
    ORDER BY updated_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)""",
        {"seconds": after_seconds, "limit": limit},
    )
