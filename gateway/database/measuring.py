"""Decide which open uploads the store is asked about, and count part URLs without a signed length."""

from __future__ import annotations

from uuid import UUID

from gateway.database.engine import Database
from gateway.database.upload_rows import COLUMNS, upload_of
from gateway.domain.upload import Upload


async def claim_due(database: Database, *, limit: int) -> list[Upload]:
    """Return open uploads that are due to be measured, and set their next time.

    The wait is a tenth of the upload's age: 2 to 30 seconds while URLs without a signed length were given out, else one
    to five minutes. Workers that ask at once share the rows.
    """
    rows = await database.fetch_all(
        f"""
UPDATE uploads SET measure_at = now() + CASE WHEN unsized_urls > 0
    THEN least(greatest((now() - created_at) / 10, interval '2 seconds'), interval '30 seconds')
    ELSE least(greatest((now() - created_at) / 10, interval '1 minute'), interval '5 minutes') END
WHERE id IN (
    SELECT id FROM uploads WHERE state = 'uploading' AND measure_at <= now()
    ORDER BY measure_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING {COLUMNS}""",
        {"limit": limit},
    )
    return [upload_of(row) for row in rows]


async def count_unsized_urls(database: Database, upload_id: UUID, *, count: int, most: int) -> bool:
    """Count URLs without a signed length that are given out; False when there would be more than *most* in all."""
    return (
        await database.execute(
            """UPDATE uploads SET unsized_urls = unsized_urls + %(count)s,
                measure_at = least(measure_at, now() + interval '2 seconds')
            WHERE id = %(id)s AND unsized_urls + %(count)s <= %(most)s""",
            {"id": upload_id, "count": count, "most": most},
        )
        > 0
    )
