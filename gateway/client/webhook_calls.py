"""Describe the calls of `/v1/webhooks` and hold their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from gateway.client.flow import Call
from gateway.client.models import need_time, read_time
from gateway.client.token_calls import page_params

_PATH = "/v1/webhooks"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Describe a webhook and its latest failures; `secret` only in the answer to create, never shown."""

    webhook_id: str
    url: str
    event_types: tuple[str, ...]
    description: str
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    failing_since: datetime | None
    failures: int
    created_at: datetime
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """Hold the secret that signs a webhook's messages; the previous one signs, too, until the given time."""

    secret: str = field(repr=False)
    previous_secret_until: datetime | None


@dataclass(frozen=True, slots=True)
class WebhookTest:
    """Say whether a test message was delivered, with the receiver's status or one word for the failure."""

    delivered: bool
    status: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """Describe one message to one webhook; `message_id` is its `webhook-id`, the same in every attempt."""

    delivery_id: str
    message_id: str
    event_type: str
    upload_id: str
    state: str
    attempts: int
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Hold one page of deliveries. Pass `next_cursor` as `cursor` for the next page; None is the end."""

    deliveries: tuple[Delivery, ...]
    next_cursor: str | None


def _path(webhook_id: str, rest: str = "") -> str:
    return f"{_PATH}/{quote(webhook_id, safe='')}{rest}"


def _present(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def create(body: Mapping[str, Any]) -> Call[Webhook]:
    """Ask for a webhook; fields that are None are left out."""
    return Call("POST", _PATH, _webhook, json=_present(body))


def list_all() -> Call[tuple[Webhook, ...]]:
    """Ask for all webhooks."""

    def parse(response: httpx.Response) -> tuple[Webhook, ...]:
        return tuple(_read(item) for item in response.json()["webhooks"])

    return Call("GET", _PATH, parse)


def get(webhook_id: str) -> Call[Webhook]:
    """Ask for one webhook."""
    return Call("GET", _path(webhook_id), _webhook)


def change(webhook_id: str, body: Mapping[str, Any]) -> Call[Webhook]:
    """Ask to change the fields that are not None."""
    return Call("PATCH", _path(webhook_id), _webhook, json=_present(body))


def remove(webhook_id: str) -> Call[None]:
    """Ask to remove a webhook."""
    return Call("DELETE", _path(webhook_id), _nothing)


def secret(webhook_id: str) -> Call[WebhookSecret]:
    """Ask for the secret."""
    return Call("GET", _path(webhook_id, "/secret"), _secret)


def rotate_secret(webhook_id: str) -> Call[WebhookSecret]:
    """Ask for a new secret."""
    return Call("POST", _path(webhook_id, "/secret/rotate"), _secret)


def test(webhook_id: str) -> Call[WebhookTest]:
    """Ask to send one test message."""

    def parse(response: httpx.Response) -> WebhookTest:
        body = response.json()
        return WebhookTest(body["delivered"], body.get("status"), body.get("error"))

    return Call("POST", _path(webhook_id, "/test"), parse)


def deliveries(webhook_id: str, state: str | None, cursor: str | None, limit: int | None) -> Call[DeliveryPage]:
    """Ask for a page of deliveries."""

    def parse(response: httpx.Response) -> DeliveryPage:
        body = response.json()
        return DeliveryPage(tuple(_delivery(item) for item in body["deliveries"]), body.get("next_cursor"))

    return Call("GET", _path(webhook_id, "/deliveries"), parse, params=page_params(cursor, limit, state=state))


def resend(webhook_id: str, delivery_id: str) -> Call[None]:
    """Ask to send one message again."""
    return Call("POST", _path(webhook_id, f"/deliveries/{quote(delivery_id, safe='')}/resend"), _nothing)


def resend_since(webhook_id: str, since: datetime) -> Call[int]:
    """Ask to send again what failed since a time; the answer is the number of messages."""

    def parse(response: httpx.Response) -> int:
        return int(response.json()["due"])

    moment = since if since.tzinfo else since.astimezone()
    return Call("POST", _path(webhook_id, "/resend"), parse, json={"since": moment.isoformat()})


def _nothing(_: httpx.Response) -> None:
    return None


def _webhook(response: httpx.Response) -> Webhook:
    return _read(response.json())


def _secret(response: httpx.Response) -> WebhookSecret:
    body = response.json()
    return WebhookSecret(body["secret"], read_time(body.get("previous_secret_until")))


def _read(body: Mapping[str, Any]) -> Webhook:
    return Webhook(
        webhook_id=body["webhook_id"],
        url=body["url"],
        event_types=tuple(body["event_types"]),
        description=body["description"],
        enabled=body["enabled"],
        disabled_at=read_time(body.get("disabled_at")),
        disabled_reason=body.get("disabled_reason"),
        failing_since=read_time(body.get("failing_since")),
        failures=body["failures"],
        created_at=need_time(body["created_at"]),
        secret=body.get("secret"),
    )


def _delivery(body: Mapping[str, Any]) -> Delivery:
    return Delivery(
        delivery_id=body["delivery_id"],
        message_id=body["message_id"],
        event_type=body["event_type"],
        upload_id=body["upload_id"],
        state=body["state"],
        attempts=body["attempts"],
        next_attempt_at=read_time(body.get("next_attempt_at")),
        last_attempt_at=read_time(body.get("last_attempt_at")),
        last_status=body.get("last_status"),
        last_error=body.get("last_error"),
        created_at=need_time(body["created_at"]),
        ended_at=read_time(body.get("ended_at")),
    )
