"""Send messages again that a receiver lost."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import orjson

from gateway.context import Gateway
from gateway.database import deliveries
from gateway.domain.errors import Invalid, NotFound
from gateway.domain.principal import Principal
from gateway.outbound.public_http import SendResult
from gateway.outbound.webhook_signing import SignedMessage
from gateway.webhooks.manage import get_webhook, webhooks_of

RESEND_SECONDS = 7 * 86_400.0
"""Age of the oldest event that can be sent again."""

KEEP_SECONDS = RESEND_SECONDS + 3600.0
"""Seconds that a delivery is kept after its end. It is kept an hour longer than an event can be sent again: an event
whose delivery is deleted looks like one that was never sent."""

MAX_RESENT = 10_000
"""Messages of each kind that one call makes due."""


async def resend_delivery(gateway: Gateway, principal: Principal, webhook_id: UUID, delivery_id: UUID) -> None:
    """Send one message again, under the id it had; raise NotFound."""
    await get_webhook(gateway, principal, webhook_id)
    if not await deliveries.resend(gateway.database, webhook_id, delivery_id):
        raise NotFound("There is no such delivery.")


async def resend_since(gateway: Gateway, principal: Principal, webhook_id: UUID, since: datetime) -> int:
    """Send messages that failed since then, and events that happened while the webhook was off; return how many.

    Raises NotFound, and Invalid for a time more than RESEND_SECONDS ago.
    """
    webhook = await get_webhook(gateway, principal, webhook_id)
    if since < gateway.now() - timedelta(seconds=RESEND_SECONDS):
        raise Invalid("since is more than seven days ago.")
    return await deliveries.resend_since(
        gateway.database,
        webhook.tenant_id,
        webhook.id,
        since=since,
        keep_seconds=RESEND_SECONDS,
        event_types=webhook.event_types,
        limit=MAX_RESENT,
    )


async def try_webhook(gateway: Gateway, principal: Principal, webhook_id: UUID) -> SendResult:
    """Send `webhook.test` once, signed like any message, even if the webhook is off. Raises NotFound, NotConfigured.

    It is not a delivery: it is not repeated, and a failure is not counted.
    """
    webhook = await get_webhook(gateway, principal, webhook_id)
    webhooks = webhooks_of(gateway)
    now = gateway.now()
    body = orjson.dumps({"type": "webhook.test", "timestamp": now, "data": {"webhook_id": webhook.id}})
    message = SignedMessage(id=f"msg_{uuid4().hex}", timestamp=int(now.timestamp()), body=body)
    headers = webhooks.secrets.headers(message, webhook.id, [webhook.secret_number])
    return await webhooks.sender.send(webhook.url, headers, body)
