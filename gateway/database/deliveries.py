"""Store webhook deliveries: written with their event, claimed by one sender at a time, repeated until they end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from gateway.database.engine import Database
from gateway.database.notify import WEBHOOKS_TOPIC

_LISTED = """webhook_deliveries.id, webhook_id, 'upload.' || events.type AS event_type, events.upload_id, state,
    attempts, CASE WHEN state = 'pending' THEN due_at END AS due_at, last_attempt_at, last_status, last_error,
    webhook_deliveries.created_at, ended_at"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one webhook, and its progress. Times are aware UTC."""

    id: UUID
    webhook_id: UUID
    event_type: str
    upload_id: UUID
    state: str
    attempts: int
    due_at: datetime | None
    last_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery to attempt now, with the fields that its message and signature need."""

    id: UUID
    claim: UUID
    webhook_id: UUID
    attempts: int
    """Attempts, including this one."""
    url: str
    secret_numbers: tuple[int, ...]
    event_type: str
    at: datetime
    upload_id: UUID


_CLAIM = """
WITH capacity AS (
    SELECT id, CASE WHEN failures = 0 THEN %(each)s ELSE 1 END - (
        SELECT count(*) FROM webhook_deliveries AS held WHERE held.webhook_id = webhooks.id AND claimed_until > now()
    ) AS free
    FROM webhooks WHERE disabled_at IS NULL AND EXISTS (
        SELECT FROM webhook_deliveries AS due
        WHERE due.webhook_id = webhooks.id AND state = 'pending' AND due_at <= now())
),
due AS (
    SELECT waiting.id FROM capacity, LATERAL (
        SELECT id, due_at FROM webhook_deliveries
        WHERE webhook_id = capacity.id AND state = 'pending' AND due_at <= now()
        ORDER BY due_at LIMIT greatest(free, 0) FOR UPDATE SKIP LOCKED
    ) AS waiting ORDER BY waiting.due_at LIMIT %(limit)s
),
claimed AS (
    -- Due again when the claim ends: if this process dies, another one sends the message.
    UPDATE webhook_deliveries SET claim = %(claim)s, attempts = attempts + 1, last_attempt_at = now(),
        claimed_until = now() + make_interval(secs => %(seconds)s), due_at = now() + make_interval(secs => %(seconds)s)
    FROM due WHERE webhook_deliveries.id = due.id
    RETURNING webhook_deliveries.id, webhook_id, event_id, claim, attempts
)
SELECT claimed.id, claim, webhook_id, attempts, url, 'upload.' || events.type AS event_type,
    events.created_at AS at, events.upload_id,
    CASE WHEN previous_secret_until > now() THEN ARRAY[secret_number, secret_number - 1] ELSE ARRAY[secret_number] END
        AS secret_numbers
FROM claimed JOIN webhooks ON webhooks.id = webhook_id JOIN events ON events.id = event_id"""


async def claim(database: Database, *, claim: UUID, seconds: float, each: int, limit: int) -> list[Claimed]:
    """Claim up to *limit* due messages, oldest first: up to *each* of one webhook, and one of a failing webhook."""
    rows = await database.fetch_all(_CLAIM, {"claim": claim, "seconds": seconds, "each": each, "limit": limit})
    return [Claimed(**{**row, "secret_numbers": tuple(row["secret_numbers"])}) for row in rows]


async def mark_delivered(database: Database, delivery: Claimed, *, status: int) -> bool:
    """Record that the receiver accepted the message; False when another process has the claim."""
    # Not one transaction: removing a webhook locks it before its deliveries, so the opposite order could deadlock.
    async with database.connection() as connection:
        cursor = await connection.execute(
            """UPDATE webhook_deliveries SET state = 'delivered', ended_at = now(), claim = NULL, claimed_until = NULL,
                last_status = %(status)s, last_error = NULL
            WHERE id = %(id)s AND claim = %(claim)s""",
            {"id": delivery.id, "claim": delivery.claim, "status": status},
        )
        if cursor.rowcount == 0:
            return False
        await connection.execute(
            "UPDATE webhooks SET failures = 0, failing_since = NULL WHERE id = %(id)s AND failures > 0",
            {"id": delivery.webhook_id},
        )
    return True


@dataclass(frozen=True, slots=True)
class Failure:
    """The result of a failed attempt."""

    status: int | None
    error: str | None
    retry_after_seconds: float | None
    """None: this was the last attempt."""
    gone: bool
    """The receiver answered 410: it wants no more messages."""


async def failed(
    database: Database, delivery: Claimed, failure: Failure, *, give_up_failures: int, give_up_after: timedelta
) -> str | None:
    """Record a failed attempt; return the reason if it switched the webhook off."""
    # Two statements, as above. If the process dies between them, the next attempt counts its failure.
    async with database.connection() as connection:
        cursor = await connection.execute(
            """UPDATE webhook_deliveries SET claim = NULL, claimed_until = NULL,
                last_status = %(status)s, last_error = %(error)s,
                state = CASE WHEN %(seconds)s::float8 IS NULL THEN 'failed' ELSE state END,
                ended_at = CASE WHEN %(seconds)s::float8 IS NULL THEN now() END,
                due_at = now() + make_interval(secs => coalesce(%(seconds)s::float8, 0))
            WHERE id = %(id)s AND claim = %(claim)s""",
            {
                "id": delivery.id,
                "claim": delivery.claim,
                "status": failure.status,
                "error": failure.error,
                "seconds": failure.retry_after_seconds,
            },
        )
        if cursor.rowcount == 0:
            return None
        cursor = await connection.execute(
            """UPDATE webhooks SET failures = failures + 1, failing_since = coalesce(failing_since, now()),
                disabled_at = CASE WHEN off.reason IS NULL THEN disabled_at ELSE now() END, disabled_reason = off.reason
            FROM (SELECT id, CASE WHEN %(gone)s THEN 'gone'
                    WHEN failures + 1 >= %(most)s AND failing_since < now() - %(after)s THEN 'failing' END AS reason
                FROM webhooks WHERE id = %(id)s AND disabled_at IS NULL FOR NO KEY UPDATE) AS off
            WHERE webhooks.id = off.id RETURNING disabled_reason""",
            {"id": delivery.webhook_id, "gone": failure.gone, "most": give_up_failures, "after": give_up_after},
        )
        row = await cursor.fetchone()
    return row["disabled_reason"] if row else None


async def list_page(
    database: Database, webhook_id: UUID, *, state: str | None, before: UUID | None, limit: int
) -> list[Delivery]:
    """Return up to *limit* deliveries to a webhook, newest first, those older than *before*."""
    rows = await database.fetch_all(
        f"""SELECT {_LISTED} FROM webhook_deliveries JOIN events ON events.id = event_id
        WHERE webhook_id = %(webhook_id)s AND (%(state)s::text IS NULL OR state = %(state)s)
            AND (%(before)s::uuid IS NULL OR event_id < (
                SELECT event_id FROM webhook_deliveries WHERE id = %(before)s AND webhook_id = %(webhook_id)s))
        ORDER BY event_id DESC LIMIT %(limit)s""",
        {"webhook_id": webhook_id, "state": state, "before": before, "limit": limit},
    )
    return [Delivery(**row) for row in rows]


async def resend(database: Database, webhook_id: UUID, delivery_id: UUID) -> bool:
    """Make one delivery due now, in any state, under the same id; False when there is no such delivery."""
    row = await database.fetch_one(
        """UPDATE webhook_deliveries SET state = 'pending', attempts = 0, due_at = now(), ended_at = NULL
        WHERE id = %(id)s AND webhook_id = %(webhook_id)s RETURNING id""",
        {"id": delivery_id, "webhook_id": webhook_id},
    )
    if row is not None:
        database.announcements.add(WEBHOOKS_TOPIC)
    return row is not None


async def resend_since(
    database: Database,
    tenant_id: str,
    webhook_id: UUID,
    *,
    since: datetime,
    keep_seconds: float,
    event_types: tuple[str, ...],
    limit: int,
) -> int:
    """Make deliveries due that failed since then, and events due that have no delivery; return how many.

    An event counts as missed because it has no delivery. Deliveries are deleted some time after their end, so events
    older than *keep_seconds* by the database's clock never count: their delivery may have been deleted.
    """
    row = await database.fetch_one(
        """WITH again AS (
            UPDATE webhook_deliveries SET state = 'pending', attempts = 0, due_at = now(), ended_at = NULL
            WHERE id IN (SELECT id FROM webhook_deliveries WHERE webhook_id = %(webhook_id)s AND state = 'failed'
                AND created_at >= %(since)s ORDER BY created_at LIMIT %(limit)s) RETURNING 1),
        missed AS (
            INSERT INTO webhook_deliveries (webhook_id, event_id)
            SELECT %(webhook_id)s, id FROM events
            WHERE tenant_id = %(tenant_id)s AND 'upload.' || type = ANY (%(event_types)s)
                AND created_at >= greatest(%(since)s, now() - make_interval(secs => %(keep_seconds)s))
                AND NOT EXISTS (
                    SELECT FROM webhook_deliveries WHERE webhook_id = %(webhook_id)s AND event_id = events.id)
            ORDER BY id LIMIT %(limit)s
            ON CONFLICT DO NOTHING RETURNING 1)
        SELECT (SELECT count(*) FROM again) + (SELECT count(*) FROM missed) AS due""",
        {
            "tenant_id": tenant_id,
            "webhook_id": webhook_id,
            "since": since,
            "keep_seconds": keep_seconds,
            "event_types": list(event_types),
            "limit": limit,
        },
    )
    assert row is not None, "a SELECT without FROM has one row"
    count: int = row["due"]
    if count:
        database.announcements.add(WEBHOOKS_TOPIC)
    return count


async def forget_ended(database: Database, *, after_seconds: float, limit: int) -> int:
    """Delete up to *limit* deliveries that ended at least *after_seconds* ago; return how many."""
    return await database.execute(
        """DELETE FROM webhook_deliveries WHERE id IN (
            SELECT id FROM webhook_deliveries WHERE ended_at < now() - make_interval(secs => %(seconds)s)
            ORDER BY ended_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)""",
        {"seconds": after_seconds, "limit": limit},
    )
