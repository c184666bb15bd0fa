"""Find uploads that come as browser forms, which nobody announces when they are there."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from gateway.database.engine import Database
from gateway.database.notify import POST_UPLOADS_TOPIC

LATE_SECONDS = 86_400.0
"""Time after which no POST can still run that began while its form was valid."""


async def claim_due_checks(database: Database, *, limit: int) -> Sequence[UUID]:
    """Return forms that are worth a look, and mark them looked at.

    The wait between two looks is a tenth of the age, or of the time left if that is less, and a second at least: a form
    that comes is found soon, one that comes at the last moment too, and one that never comes costs some hundred looks.
    Workers that ask at once share the rows.
    """
    rows = await database.fetch_all(
        """
UPDATE uploads SET updated_at = now() WHERE id IN (
    SELECT id FROM uploads
    WHERE form_key IS NOT NULL AND state = 'uploading' AND multipart_upload_id IS NOT NULL AND expires_at > now()
        AND updated_at + greatest(interval '1 second', least(now() - created_at, expires_at - now()) / 10) <= now()
    ORDER BY updated_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING id""",
        {"limit": limit},
    )
    return [row["id"] for row in rows]


async def to_remove(database: Database, *, limit: int) -> Sequence[UUID]:
    """Return uploads that expired a day ago: no form of them can be accepted or still be sent.

    A POST that began while its form was valid may end long after its upload; its object belongs to nothing.
    """
    rows = await database.fetch_all(
        """SELECT id FROM uploads WHERE form_key IS NOT NULL AND state <> 'uploading'
            AND expires_at <= now() - make_interval(secs => %(late)s)
        ORDER BY expires_at LIMIT %(limit)s""",
        {"limit": limit, "late": LATE_SECONDS},
    )
    return [row["id"] for row in rows]


async def removed(database: Database, upload_id: UUID) -> None:
    """Record that nothing is left, and nothing can come any more, at the form's key."""
    await database.execute("UPDATE uploads SET form_key = NULL WHERE id = %(id)s", {"id": upload_id})


def request_check(database: Database, upload_id: UUID) -> None:
    """Wake every worker, so that one of them looks for the file of this POST upload now."""
    database.announcements.add(f"{POST_UPLOADS_TOPIC}:{upload_id}")
