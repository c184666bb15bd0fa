"""Look at webhooks, their secrets and what was sent to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from gateway.database import deliveries, webhooks
from gateway.database.deliveries import Delivery
from gateway.database.webhooks import Webhook
from gateway.domain.errors import NotFound
from gateway.domain.principal import Principal, require_key
from gateway.uploads.add_webhook import MOST_WEBHOOKS, webhooks_of
from gateway.uploads.gateway import Gateway


@dataclass(frozen=True, slots=True)
class ShownSecret:
    """What a receiver checks signatures with; kept nowhere."""

    secret: str = field(repr=False)
    previous_secret_until: datetime | None
    """Until then messages carry a signature with the secret before this one, too."""


def found(webhook: Webhook | None) -> Webhook:
    """Return the webhook; raise NotFound for None."""
    if webhook is None:
        raise NotFound("There is no such webhook.")
    return webhook


async def get_webhook(gateway: Gateway, principal: Principal, webhook_id: UUID) -> Webhook:
    """Return a webhook of the tenant's; raise NotFound."""
    return found(await webhooks.find(gateway.database, require_key(principal).tenant_id, webhook_id))


async def list_webhooks(gateway: Gateway, principal: Principal) -> list[Webhook]:
    """Return all webhooks of the tenant, newest first."""
    return await webhooks.list_all(gateway.database, require_key(principal).tenant_id, limit=MOST_WEBHOOKS)


async def show_secret(gateway: Gateway, principal: Principal, webhook_id: UUID) -> ShownSecret:
    """Return the signing secret of a webhook; raise NotFound, NotConfigured."""
    return secret_of(gateway, await get_webhook(gateway, principal, webhook_id))


def secret_of(gateway: Gateway, webhook: Webhook) -> ShownSecret:
    """Return the signing secret of *webhook*; raise NotConfigured."""
    until = webhook.previous_secret_until
    return ShownSecret(
        webhooks_of(gateway).secrets.shown(webhook.id, webhook.secret_number),
        until if until is not None and until > gateway.now() else None,
    )


async def list_deliveries(
    gateway: Gateway, principal: Principal, webhook_id: UUID, *, state: str | None, before: UUID | None, limit: int
) -> tuple[list[Delivery], UUID | None]:
    """Return a page of what was sent to a webhook, newest first, and the cursor of the next one; raise NotFound."""
    await get_webhook(gateway, principal, webhook_id)
    rows = await deliveries.list_page(gateway.database, webhook_id, state=state, before=before, limit=limit + 1)
    page = rows[:limit]
    return page, page[-1].id if len(rows) > limit else None
