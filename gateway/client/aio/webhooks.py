"""Offer the calls of `/v1/webhooks`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from gateway.client import webhook_calls
from gateway.client.aio.driver import AsyncDriver
from gateway.client.flow import exchange
from gateway.client.webhook_calls import Delivery, DeliveryPage, Webhook, WebhookSecret, WebhookTest

_PAGE_SIZE = 200


class AsyncWebhooks:
    """Register and manage webhooks; these calls need an API key. A receiver checks messages with `verify_webhook`."""

    def __init__(self, driver: AsyncDriver) -> None:
        self._driver = driver

    async def create(self, url: str, *, event_types: Sequence[str] | None = None, description: str = "") -> Webhook:
        """Register a URL that gets signed messages about your uploads; the answer has the `secret`."""
        body = {"url": url, "event_types": _listed(event_types), "description": description}
        return await self._driver.run(exchange(webhook_calls.create(body), self._driver.endpoint))

    async def list(self) -> tuple[Webhook, ...]:
        """Return all webhooks, newest first."""
        return await self._driver.run(exchange(webhook_calls.list_all(), self._driver.endpoint))

    async def get(self, webhook_id: str) -> Webhook:
        """Return a webhook and its latest failures."""
        return await self._driver.run(exchange(webhook_calls.get(webhook_id), self._driver.endpoint))

    async def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        event_types: Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Change the given fields of a webhook; the others stay."""
        body = {
            "url": url,
            "event_types": _listed(event_types),
            "description": description,
            "enabled": enabled,
        }
        return await self._driver.run(exchange(webhook_calls.change(webhook_id, body), self._driver.endpoint))

    async def remove(self, webhook_id: str) -> None:
        """Remove a webhook and its messages that were not sent yet."""
        return await self._driver.run(exchange(webhook_calls.remove(webhook_id), self._driver.endpoint))

    async def secret(self, webhook_id: str) -> WebhookSecret:
        """Return the secret that signs the messages."""
        return await self._driver.run(exchange(webhook_calls.secret(webhook_id), self._driver.endpoint))

    async def rotate_secret(self, webhook_id: str) -> WebhookSecret:
        """Make a new secret; for a day, messages are signed with the old one as well."""
        return await self._driver.run(exchange(webhook_calls.rotate_secret(webhook_id), self._driver.endpoint))

    async def test(self, webhook_id: str) -> WebhookTest:
        """Send one test message and return whether it was delivered."""
        return await self._driver.run(exchange(webhook_calls.test(webhook_id), self._driver.endpoint))

    async def deliveries(
        self, webhook_id: str, *, state: str | None = None, cursor: str | None = None, limit: int | None = None
    ) -> DeliveryPage:
        """Return one page of messages, newest first: `pending`, `delivered` or `failed`."""
        call = webhook_calls.deliveries(webhook_id, state, cursor, limit)
        return await self._driver.run(exchange(call, self._driver.endpoint))

    async def iter_deliveries(self, webhook_id: str, *, state: str | None = None) -> AsyncIterator[Delivery]:
        """Yield every message, newest first, and ask for the next page when it is needed."""
        cursor: str | None = None
        while True:
            page = await self.deliveries(webhook_id, state=state, cursor=cursor, limit=_PAGE_SIZE)
            for delivery in page.deliveries:
                yield delivery
            cursor = page.next_cursor
            if cursor is None:
                return

    async def resend(self, webhook_id: str, delivery_id: str) -> None:
        """Send one message again, with the id that it had."""
        return await self._driver.run(exchange(webhook_calls.resend(webhook_id, delivery_id), self._driver.endpoint))

    async def resend_since(self, webhook_id: str, since: datetime) -> int:
        """Send again what failed or was not sent since a time; return the number of messages.

        At most 10,000 messages are queued at once: repeat the call until it returns 0.
        """
        return await self._driver.run(exchange(webhook_calls.resend_since(webhook_id, since), self._driver.endpoint))


# Not a method: inside the class `list` is the call above.
def _listed(event_types: Sequence[str] | None) -> Sequence[str] | None:
    return None if event_types is None else list(event_types)
