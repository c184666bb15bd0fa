"""Store the webhooks of tenants, with the numbers of their signing secrets but not the secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from gateway.database.engine import Database

_COLUMNS = """id, tenant_id, url, description, event_types, secret_number, previous_secret_until, failing_since,
    failures, disabled_at, disabled_reason, created_at"""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook as the database holds it. Times are aware UTC."""

    id: UUID
    tenant_id: str
    url: str
    description: str
    event_types: tuple[str, ...]
    secret_number: int
    previous_secret_until: datetime | None
    failing_since: datetime | None
    failures: int
    disabled_at: datetime | None
    disabled_reason: str | None
    created_at: datetime


def _webhook(row: Mapping[str, Any]) -> Webhook:
    return Webhook(**{**row, "event_types": tuple(row["event_types"])})


async def insert(database: Database, webhook: Mapping[str, Any], *, most: int) -> Webhook | None:
    """Store a new webhook; None when the tenant has *most* of them. A lock serialises the creates of one tenant."""
    async with database.transaction() as connection:
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('webhooks ' || %(tenant_id)s, 0))", webhook
        )
        cursor = await connection.execute(
            f"""INSERT INTO webhooks (id, tenant_id, url, description, event_types)
            SELECT %(id)s, %(tenant_id)s, %(url)s, %(description)s, %(event_types)s
            WHERE (SELECT count(*) FROM webhooks WHERE tenant_id = %(tenant_id)s) < %(most)s
            RETURNING {_COLUMNS}""".encode(),
            {**webhook, "most": most},
        )
        row = await cursor.fetchone()
    return _webhook(row) if row else None


async def find(database: Database, tenant_id: str, webhook_id: UUID) -> Webhook | None:
    """Return one webhook of a tenant."""
    row = await database.fetch_one(
        f"SELECT {_COLUMNS} FROM webhooks WHERE id = %(id)s AND tenant_id = %(tenant_id)s",
        {"id": webhook_id, "tenant_id": tenant_id},
    )
    return _webhook(row) if row else None


async def list_all(database: Database, tenant_id: str, *, limit: int) -> list[Webhook]:
    """Return the webhooks of a tenant, newest first."""
    rows = await database.fetch_all(
        f"SELECT {_COLUMNS} FROM webhooks WHERE tenant_id = %(tenant_id)s ORDER BY id DESC LIMIT %(limit)s",
        {"tenant_id": tenant_id, "limit": limit},
    )
    return [_webhook(row) for row in rows]


async def change(
    database: Database,
    tenant_id: str,
    webhook_id: UUID,
    *,
    url: str | None,
    description: str | None,
    event_types: tuple[str, ...] | None,
    enabled: bool | None,
) -> Webhook | None:
    """Change the fields that are not None and return the webhook. Switching it on resets its failures."""
    row = await database.fetch_one(
        f"""UPDATE webhooks SET
            url = coalesce(%(url)s, url),
            description = coalesce(%(description)s, description),
            event_types = coalesce(%(event_types)s::text[], event_types),
            failing_since = CASE WHEN %(enabled)s::boolean THEN NULL ELSE failing_since END,
            failures = CASE WHEN %(enabled)s::boolean THEN 0 ELSE failures END,
            disabled_at = CASE WHEN %(enabled)s::boolean THEN NULL
                WHEN NOT %(enabled)s::boolean THEN coalesce(disabled_at, now()) ELSE disabled_at END,
            disabled_reason = CASE WHEN %(enabled)s::boolean THEN NULL
                WHEN NOT %(enabled)s::boolean THEN coalesce(disabled_reason, 'asked') ELSE disabled_reason END
        WHERE id = %(id)s AND tenant_id = %(tenant_id)s RETURNING {_COLUMNS}""",
        {
            "id": webhook_id,
            "tenant_id": tenant_id,
            "url": url,
            "description": description,
            "event_types": list(event_types) if event_types is not None else None,
            "enabled": enabled,
        },
    )
    return _webhook(row) if row else None


async def rotate_secret(
    database: Database, tenant_id: str, webhook_id: UUID, *, keep_previous_seconds: float
) -> Webhook | None:
    """Increase the number of the secret; the previous secret also signs for *keep_previous_seconds*."""
    row = await database.fetch_one(
        f"""UPDATE webhooks SET secret_number = secret_number + 1,
            previous_secret_until = now() + make_interval(secs => %(seconds)s)
        WHERE id = %(id)s AND tenant_id = %(tenant_id)s RETURNING {_COLUMNS}""",
        {"id": webhook_id, "tenant_id": tenant_id, "seconds": keep_previous_seconds},
    )
    return _webhook(row) if row else None


async def remove(database: Database, tenant_id: str, webhook_id: UUID) -> bool:
    """Delete a webhook and its deliveries; False when the tenant has no such webhook."""
    return (
        await database.execute(
            "DELETE FROM webhooks WHERE id = %(id)s AND tenant_id = %(tenant_id)s",
            {"id": webhook_id, "tenant_id": tenant_id},
        )
        > 0
    )
