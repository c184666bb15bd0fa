"""Send again what a receiver lost."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from gateway.database import deliveries
from gateway.domain.errors import Invalid, NotFound
from gateway.domain.principal import Principal
from gateway.uploads.gateway import Gateway
from gateway.uploads.load_webhook import get_webhook

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
