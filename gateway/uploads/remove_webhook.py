"""Remove a webhook, and with it what was still to be sent there."""

from __future__ import annotations

from uuid import UUID

from gateway.database import webhooks
from gateway.domain.errors import NotFound
from gateway.domain.principal import Principal, require_key
from gateway.uploads.gateway import Gateway


async def remove_webhook(gateway: Gateway, principal: Principal, webhook_id: UUID) -> None:
    """Remove a webhook at once; a message on its way may still arrive. Raises NotFound."""
    if not await webhooks.remove(gateway.database, require_key(principal).tenant_id, webhook_id):
        raise NotFound("There is no such webhook.")
