"""Read what upload tokens, API keys and tenants use. A trigger on `uploads` counts, so that no rows are walked."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from gateway.database.engine import Connection
from gateway.domain.ceilings import Scope, Usage


async def read(connection: Connection, names: Mapping[Scope, str]) -> dict[Scope, Usage]:
    """Return the usage of each scope; one that was never counted uses nothing."""
    cursor = await connection.execute(
        """SELECT scope, open_uploads, open_bytes, creates, files,
            CASE WHEN creates_day = (now() AT TIME ZONE 'UTC')::date THEN creates_that_day ELSE 0 END AS creates_today
        FROM usage_counters JOIN unnest(%(scopes)s::text[], %(ids)s::text[]) AS wanted (scope, id) USING (scope, id)""",
        {"scopes": list(names), "ids": list(names.values())},
    )
    found = {row.pop("scope"): Usage(**row) for row in await cursor.fetchall()}
    return {scope: found.get(scope, Usage()) for scope in names}


async def count_stale(connection: Connection, token_id: UUID) -> int:
    """Count a token's open uploads that nobody can use any more and that the sweep has not ended yet.

    Intents whose lease ran out, and uploads past their time. The minute is for a claim that began before.
    """
    cursor = await connection.execute(
        """SELECT count(*) AS stale FROM uploads WHERE token_id = %(id)s AND state = 'uploading'
            AND ((multipart_upload_id IS NULL AND lease_until < now()) OR expires_at < now() - interval '1 minute')""",
        {"id": token_id},
    )
    row = await cursor.fetchone()
    return row["stale"] if row else 0
