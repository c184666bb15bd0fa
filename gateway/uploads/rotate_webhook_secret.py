"""Give a webhook a new signing secret; the old one signs as well until the receiver has it."""

from __future__ import annotations

from uuid import UUID

from gateway.database import webhooks
from gateway.domain.principal import Principal, require_key
from gateway.uploads.add_webhook import webhooks_of
from gateway.uploads.gateway import Gateway
from gateway.uploads.load_webhook import ShownSecret, found, secret_of

KEEP_PREVIOUS_SECONDS = 86_400.0
"""A day to bring the new secret to the receiver."""


async def rotate_webhook_secret(gateway: Gateway, principal: Principal, webhook_id: UUID) -> ShownSecret:
    """Make a new secret and return it; a second rotation within the day ends the first secret. Raises NotFound."""
    tenant_id = require_key(principal).tenant_id
    webhooks_of(gateway)
    rotated = await webhooks.rotate_secret(
        gateway.database, tenant_id, webhook_id, keep_previous_seconds=KEEP_PREVIOUS_SECONDS
    )
    return secret_of(gateway, found(rotated))
