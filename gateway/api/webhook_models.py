"""Define the request and response bodies of `/v1/webhooks`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gateway.api.models import Strict
from gateway.domain.webhooks import DEFAULT_EVENT_TYPES, EVENT_TYPES, MAX_URL

Url = Annotated[str, Field(min_length=1, max_length=MAX_URL, examples=["https://app.example.com/webhooks/uploads"])]
EventTypes = Annotated[
    list[Annotated[str, Field(max_length=64)]],
    Field(min_length=1, max_length=len(EVENT_TYPES), description=f"Some of {', '.join(EVENT_TYPES)}."),
]
Description = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$", description="For yourself.")]


class CreateWebhook(Strict):
    """Ask to be told what happens to your uploads."""

    url: Url
    event_types: EventTypes = Field(default_factory=lambda: list(DEFAULT_EVENT_TYPES))
    description: Description = ""


class ChangeWebhook(Strict):
    """Change the named fields; the others stay."""

    url: Url | None = None
    event_types: EventTypes | None = None
    description: Description | None = None
    enabled: bool | None = Field(None, description="false: nothing is sent. true: also after it was switched off.")


class ResendSince(Strict):
    """Request lost messages."""

    model_config = ConfigDict(strict=False, extra="forbid", frozen=True)

    since: AwareDatetime = Field(description="A time with an offset, up to seven days ago.")


class Webhook(BaseModel):
    """A webhook and its delivery status."""

    webhook_id: UUID
    url: str
    event_types: list[str]
    description: str
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: Literal["asked", "failing", "gone"] | None = Field(
        description="`failing`: ten failures in a row over three days; `gone`: the receiver answered 410."
    )
    failing_since: datetime | None
    failures: int = Field(description="Failed attempts since the last one that was taken.")
    created_at: datetime


class WebhookSecret(BaseModel):
    """The secret with which the receiver verifies signatures."""

    secret: str = Field(examples=["whsec_…"])
    previous_secret_until: datetime | None = Field(
        description="Until then messages carry a signature with the secret before this one, too."
    )


class CreatedWebhook(Webhook):
    """A new webhook with its secret."""

    secret: str


class Webhooks(BaseModel):
    """All webhooks of the tenant, newest first."""

    webhooks: list[Webhook]


class Delivery(BaseModel):
    """One message to one webhook. `message_id` is its `webhook-id`, the same in every attempt."""

    delivery_id: UUID
    message_id: str
    event_type: str
    upload_id: UUID
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    last_status: int | None
    last_error: Literal["timeout", "tls_failed", "not_reachable", "no_answer"] | None
    created_at: datetime
    ended_at: datetime | None


class DeliveryPage(BaseModel):
    """A page of deliveries, newest first; pass `next_cursor` as `cursor` for the next one."""

    deliveries: list[Delivery]
    next_cursor: UUID | None


class Resent(BaseModel):
    """How many messages are due now; at most 10,000 of each kind are taken up at once."""

    due: int


class Tried(BaseModel):
    """The result of a test message."""

    delivered: bool
    status: int | None
    error: Literal["timeout", "tls_failed", "not_reachable", "no_answer"] | None
