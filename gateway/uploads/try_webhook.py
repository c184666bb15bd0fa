"""Send a test message to a webhook and say what came of it."""

from __future__ import annotations

from uuid import UUID, uuid4

import orjson

from gateway.auth.webhook_secrets import Message
from gateway.domain.principal import Principal
from gateway.events.webhooks import Outcome
from gateway.uploads.add_webhook import webhooks_of
from gateway.uploads.gateway import Gateway
from gateway.uploads.load_webhook import get_webhook


async def try_webhook(gateway: Gateway, principal: Principal, webhook_id: UUID) -> Outcome:
    """Send `webhook.test` once, signed like any message, also where the webhook is off. Raises NotFound, NotConfigured.

    It is not a delivery: it is not repeated, and a failure does not count.
    """
    webhook = await get_webhook(gateway, principal, webhook_id)
    means = webhooks_of(gateway)
    now = gateway.now()
    body = orjson.dumps({"type": "webhook.test", "timestamp": now, "data": {"webhook_id": webhook.id}})
    message = Message(id=f"msg_{uuid4().hex}", timestamp=int(now.timestamp()), body=body)
    headers = means.secrets.headers(message, webhook.id, [webhook.secret_number])
    return await means.sender.send(webhook.url, headers, body)
