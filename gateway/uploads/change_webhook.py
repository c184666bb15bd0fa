"""Change a webhook: where it goes, what it is told, whether it is on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from gateway.database import webhooks
from gateway.database.webhooks import Webhook
from gateway.domain.principal import Principal, require_key
from gateway.uploads.add_webhook import require_event_types, require_url
from gateway.uploads.gateway import Gateway
from gateway.uploads.load_webhook import found


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be another; None stays as it is."""

    url: str | None = None
    event_types: Sequence[str] | None = None
    description: str | None = None
    enabled: bool | None = None


async def change_webhook(gateway: Gateway, principal: Principal, webhook_id: UUID, changes: Changes) -> Webhook:
    """Apply *changes*; what was owed while it was off is sent once it is on. Raises Invalid, NotFound."""
    tenant_id = require_key(principal).tenant_id
    return found(
        await webhooks.change(
            gateway.database,
            tenant_id,
            webhook_id,
            url=None if changes.url is None else await require_url(gateway, changes.url),
            description=changes.description,
            event_types=None if changes.event_types is None else require_event_types(changes.event_types),
            enabled=changes.enabled,
        )
    )
