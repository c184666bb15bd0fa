"""Create, change, list and remove the webhooks of a tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from gateway.context import Gateway, Webhooks
from gateway.database import deliveries, webhooks
from gateway.database.deliveries import Delivery
from gateway.database.webhooks import Webhook
from gateway.domain.errors import Invalid, NotConfigured, NotFound, TooManyWebhooks
from gateway.domain.object_key import new_upload_id
from gateway.domain.principal import Principal, require_key
from gateway.domain.webhooks import DEFAULT_EVENT_TYPES, check_event_types, check_url
from gateway.outbound.public_http import NotPublic

MAX_WEBHOOKS = 20
"""Webhooks of one tenant. Each of them adds one row to each of the tenant's events."""


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """The fields of a new webhook."""

    url: str
    event_types: Sequence[str] = DEFAULT_EVENT_TYPES
    description: str = ""


def webhooks_of(gateway: Gateway) -> Webhooks:
    """Return the signer and sender of webhooks; raise NotConfigured where webhooks are off."""
    if gateway.webhooks is None:
        raise NotConfigured("Webhooks are off: set GATEWAY_WEBHOOK_SECRET to 32 random characters or more.")
    return gateway.webhooks


async def add_webhook(gateway: Gateway, principal: Principal, wanted: NewWebhook) -> Webhook:
    """Create a webhook; `show_secret` returns its secret.

    Raises Forbidden for the bearer of an upload token, Invalid, NotConfigured, TooManyWebhooks and Unavailable.
    """
    tenant_id = require_key(principal).tenant_id
    row = {
        "id": new_upload_id(),
        "tenant_id": tenant_id,
        "url": await require_url(gateway, wanted.url),
        "event_types": list(require_event_types(wanted.event_types)),
        "description": wanted.description,
    }
    webhook = await webhooks.insert(gateway.database, row, most=MAX_WEBHOOKS)
    if webhook is None:
        raise TooManyWebhooks(f"A tenant has at most {MAX_WEBHOOKS} webhooks.")
    return webhook


async def require_url(gateway: Gateway, url: str) -> str:
    """Return *url* if messages may be sent there and its host is public now; raise Invalid."""
    settings = webhooks_of(gateway)
    try:
        check_url(url, private=settings.private)
        await settings.sender.require_public_host(url)
    except ValueError as exc:
        raise Invalid(f"{exc}.") from exc
    except NotPublic as exc:
        raise Invalid(f"url: {exc}.") from exc
    return url


def require_event_types(given: Sequence[str]) -> tuple[str, ...]:
    """Return the event types in our order; raise Invalid."""
    try:
        return check_event_types(given)
    except ValueError as exc:
        raise Invalid(f"{exc}.") from exc


@dataclass(frozen=True, slots=True)
class ShownSecret:
    """The secret with which a receiver checks signatures. It is not stored."""

    secret: str = field(repr=False)
    previous_secret_until: datetime | None
    """Until then, messages are also signed with the previous secret."""


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
    return await webhooks.list_all(gateway.database, require_key(principal).tenant_id, limit=MAX_WEBHOOKS)


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
    """Return a page of a webhook's deliveries, newest first, and the cursor of the next page; raise NotFound."""
    await get_webhook(gateway, principal, webhook_id)
    rows = await deliveries.list_page(gateway.database, webhook_id, state=state, before=before, limit=limit + 1)
    page = rows[:limit]
    return page, page[-1].id if len(rows) > limit else None


@dataclass(frozen=True, slots=True)
class Changes:
    """The fields to change; None leaves a field unchanged."""

    url: str | None = None
    event_types: Sequence[str] | None = None
    description: str | None = None
    enabled: bool | None = None


async def change_webhook(gateway: Gateway, principal: Principal, webhook_id: UUID, changes: Changes) -> Webhook:
    """Apply *changes*. Messages that were due while it was off are sent once it is on. Raises Invalid, NotFound."""
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


async def remove_webhook(gateway: Gateway, principal: Principal, webhook_id: UUID) -> None:
    """Remove a webhook at once. A message that is being sent may still arrive. Raises NotFound."""
    if not await webhooks.remove(gateway.database, require_key(principal).tenant_id, webhook_id):
        raise NotFound("There is no such webhook.")


KEEP_PREVIOUS_SECONDS = 86_400.0
"""One day to configure the new secret at the receiver."""


async def rotate_webhook_secret(gateway: Gateway, principal: Principal, webhook_id: UUID) -> ShownSecret:
    """Make a new secret and return it; a second rotation within the day ends the first secret. Raises NotFound."""
    tenant_id = require_key(principal).tenant_id
    webhooks_of(gateway)
    rotated = await webhooks.rotate_secret(
        gateway.database, tenant_id, webhook_id, keep_previous_seconds=KEEP_PREVIOUS_SECONDS
    )
    return secret_of(gateway, found(rotated))
