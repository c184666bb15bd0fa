"""Add a webhook: an address of a tenant's that is told what happens to its uploads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.database import webhooks
from gateway.database.webhooks import Webhook
from gateway.domain.errors import Invalid, NotConfigured, TooManyWebhooks
from gateway.domain.object_key import new_upload_id
from gateway.domain.principal import Principal, require_key
from gateway.domain.webhooks import DEFAULT_EVENT_TYPES, check_event_types, check_url
from gateway.events.webhooks import NotPublic
from gateway.uploads.gateway import Gateway, Webhooks

MOST_WEBHOOKS = 20
"""Of one tenant: each is a row more for each of its events."""


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """What the holder of an API key asks for."""

    url: str
    event_types: Sequence[str] = DEFAULT_EVENT_TYPES
    description: str = ""


def webhooks_of(gateway: Gateway) -> Webhooks:
    """Return what signs and sends webhooks; raise NotConfigured where they are off."""
    if gateway.webhooks is None:
        raise NotConfigured("Webhooks are off: set GATEWAY_WEBHOOK_SECRET to 32 random characters or more.")
    return gateway.webhooks


async def add_webhook(gateway: Gateway, principal: Principal, wanted: NewWebhook) -> Webhook:
    """Keep a webhook; its secret is for `show_secret`.

    Raises Forbidden for a caller who has only a token, Invalid, NotConfigured, TooManyWebhooks and Unavailable.
    """
    tenant_id = require_key(principal).tenant_id
    row = {
        "id": new_upload_id(),
        "tenant_id": tenant_id,
        "url": await require_url(gateway, wanted.url),
        "event_types": list(require_event_types(wanted.event_types)),
        "description": wanted.description,
    }
    webhook = await webhooks.insert(gateway.database, row, most=MOST_WEBHOOKS)
    if webhook is None:
        raise TooManyWebhooks(f"A tenant has at most {MOST_WEBHOOKS} webhooks.")
    return webhook


async def require_url(gateway: Gateway, url: str) -> str:
    """Return *url* if messages may go there and its host is public now; raise Invalid."""
    means = webhooks_of(gateway)
    try:
        check_url(url, private=means.private)
        await means.sender.require_public_host(url)
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
