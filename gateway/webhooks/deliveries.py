"""Send again what a receiver lost."""

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

KEEP_SECONDS = 7 * 86_400.0
"""Time a delivery is kept after its end. What is older cannot be told from what was never sent."""

MOST_AT_ONCE = 10_000


async def resend_delivery(gateway: Gateway, principal: Principal, webhook_id: UUID, delivery_id: UUID) -> None:
    """Send one message again, under the id it had; raise NotFound."""
    await get_webhook(gateway, principal, webhook_id)
    if not await deliveries.send_again(gateway.database, webhook_id, delivery_id):
        raise NotFound("There is no such delivery.")


async def resend_since(gateway: Gateway, principal: Principal, webhook_id: UUID, since: datetime) -> int:
    """Send what failed since then and what happened since then while the webhook was off; return how many are due.

    Raises NotFound, and Invalid for a time that is longer ago than deliveries are kept.
    """
    webhook = await get_webhook(gateway, principal, webhook_id)
    if since < gateway.now() - timedelta(seconds=KEEP_SECONDS):
        raise Invalid("since lies more than seven days back.")
    return await deliveries.send_since(
        gateway.database,
        webhook.tenant_id,
        webhook.id,
        since=since,
        event_types=webhook.event_types,
        limit=MOST_AT_ONCE,
    )


async def try_webhook(gateway: Gateway, principal: Principal, webhook_id: UUID) -> SendResult:
    """Send `webhook.test` once, signed like any message, also where the webhook is off. Raises NotFound, NotConfigured.

    It is not a delivery: it is not repeated, and a failure does not count.
    """
    webhook = await get_webhook(gateway, principal, webhook_id)
    means = webhooks_of(gateway)
    now = gateway.now()
    body = orjson.dumps({"type": "webhook.test", "timestamp": now, "data": {"webhook_id": webhook.id}})
    message = SignedMessage(id=f"msg_{uuid4().hex}", timestamp=int(now.timestamp()), body=body)
    headers = means.secrets.headers(message, webhook.id, [webhook.secret_number])
    return await means.sender.send(webhook.url, headers, body)
