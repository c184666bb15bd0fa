"""Translate `/v1/webhooks` into use cases and back."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from gateway.api import webhook_models as models
from gateway.api.addresses import location
from gateway.api.answers import json_response
from gateway.api.problems import responses
from gateway.api.requests import cursor_of, gateway_of, id_of, read_json
from gateway.api.upload_tokens import KeyHolder
from gateway.api.uploads import body_of
from gateway.database.deliveries import Delivery
from gateway.database.webhooks import Webhook
from gateway.webhooks.deliveries import resend_delivery, resend_since, try_webhook
from gateway.webhooks.manage import (
    Changes,
    NewWebhook,
    ShownSecret,
    add_webhook,
    change_webhook,
    get_webhook,
    list_deliveries,
    list_webhooks,
    remove_webhook,
    rotate_webhook_secret,
    secret_of,
    show_secret,
)

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


@router.post(
    "",
    status_code=201,
    response_model=models.CreatedWebhook,
    responses=responses(401, 403, 409, 413, 415, 422, 501, 503),
    openapi_extra=body_of(models.CreateWebhook),
)
async def create_webhook(request: Request, caller: KeyHolder) -> Response:
    """Be told what happens to your uploads, by signed messages (Standard Webhooks) to an address of yours."""
    body = await read_json(request, models.CreateWebhook)
    gateway = gateway_of(request)
    webhook = await add_webhook(gateway, caller, NewWebhook(body.url, body.event_types, body.description))
    answer = {**_answer(webhook), "secret": secret_of(gateway, webhook).secret}
    return json_response(answer, 201, {"location": location(request, f"/v1/webhooks/{webhook.id}")})


@router.get("", response_model=models.Webhooks, responses=responses(401, 403, 503))
async def list_all_webhooks(request: Request, caller: KeyHolder) -> Response:
    """List your webhooks, newest first."""
    return json_response({"webhooks": [_answer(one) for one in await list_webhooks(gateway_of(request), caller)]})


@router.get("/{webhook_id}", response_model=models.Webhook, responses=responses(401, 403, 404, 503))
async def get_one_webhook(request: Request, caller: KeyHolder, webhook_id: str) -> Response:
    """Get a webhook and its delivery status."""
    return json_response(_answer(await get_webhook(gateway_of(request), caller, _webhook_id(webhook_id))))


@router.patch(
    "/{webhook_id}",
    response_model=models.Webhook,
    responses=responses(401, 403, 404, 413, 415, 422, 501, 503),
    openapi_extra=body_of(models.ChangeWebhook),
)
async def change_one_webhook(request: Request, caller: KeyHolder, webhook_id: str) -> Response:
    """Change a webhook, or switch it off and on; messages that waited when it was switched off are sent afterwards."""
    body = await read_json(request, models.ChangeWebhook)
    changes = Changes(body.url, body.event_types, body.description, body.enabled)
    return json_response(_answer(await change_webhook(gateway_of(request), caller, _webhook_id(webhook_id), changes)))


@router.delete("/{webhook_id}", status_code=204, response_class=Response, responses=responses(401, 403, 404, 503))
async def remove_one_webhook(request: Request, caller: KeyHolder, webhook_id: str) -> Response:
    """Remove a webhook and its unsent messages."""
    await remove_webhook(gateway_of(request), caller, _webhook_id(webhook_id))
    return Response(status_code=204)


@router.get("/{webhook_id}/secret", response_model=models.WebhookSecret, responses=responses(401, 403, 404, 501, 503))
async def get_webhook_secret(request: Request, caller: KeyHolder, webhook_id: str) -> Response:
    """Get the secret that the receiver checks signatures with."""
    return json_response(_secret(await show_secret(gateway_of(request), caller, _webhook_id(webhook_id))))


@router.post(
    "/{webhook_id}/secret/rotate", response_model=models.WebhookSecret, responses=responses(401, 403, 404, 501, 503)
)
async def rotate_secret(request: Request, caller: KeyHolder, webhook_id: str) -> Response:
    """Make a new secret; for a day messages are signed with the old one as well."""
    return json_response(_secret(await rotate_webhook_secret(gateway_of(request), caller, _webhook_id(webhook_id))))


@router.post("/{webhook_id}/test", response_model=models.Tried, responses=responses(401, 403, 404, 501, 503))
async def send_test_message(request: Request, caller: KeyHolder, webhook_id: str) -> Response:
    """Send `webhook.test` once and return the result."""
    outcome = await try_webhook(gateway_of(request), caller, _webhook_id(webhook_id))
    return json_response({"delivered": outcome.ok, "status": outcome.status, "error": outcome.error})


@router.post(
    "/{webhook_id}/resend",
    status_code=202,
    response_model=models.Resent,
    responses=responses(401, 403, 404, 413, 415, 422, 503),
    openapi_extra=body_of(models.ResendSince),
)
async def resend_lost(request: Request, caller: KeyHolder, webhook_id: str) -> Response:
    """Send again what failed since a time, and what happened since then while the webhook was off."""
    body = await read_json(request, models.ResendSince)
    due = await resend_since(gateway_of(request), caller, _webhook_id(webhook_id), body.since)
    return json_response({"due": due}, 202)


@router.get(
    "/{webhook_id}/deliveries", response_model=models.DeliveryPage, responses=responses(401, 403, 404, 422, 503)
)
async def list_sent(
    request: Request,
    caller: KeyHolder,
    webhook_id: str,
    state: Literal["pending", "delivered", "failed"] | None = None,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Response:
    """List deliveries, newest first; ended ones are kept for seven days."""
    page, next_cursor = await list_deliveries(
        gateway_of(request), caller, _webhook_id(webhook_id), state=state, before=cursor_of(cursor), limit=limit
    )
    return json_response({"deliveries": [_delivery(one) for one in page], "next_cursor": next_cursor})


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/resend",
    status_code=204,
    response_class=Response,
    responses=responses(401, 403, 404, 503),
)
async def resend_one(request: Request, caller: KeyHolder, webhook_id: str, delivery_id: str) -> Response:
    """Send one message again, under the id it had."""
    ids = _webhook_id(webhook_id), id_of(delivery_id, "delivery")
    await resend_delivery(gateway_of(request), caller, *ids)
    return Response(status_code=204)


def _webhook_id(text: str) -> UUID:
    return id_of(text, "webhook")


def _secret(shown: ShownSecret) -> dict[str, Any]:
    return {"secret": shown.secret, "previous_secret_until": shown.previous_secret_until}


def _answer(webhook: Webhook) -> dict[str, Any]:
    return {
        "webhook_id": webhook.id,
        "url": webhook.url,
        "event_types": webhook.event_types,
        "description": webhook.description,
        "enabled": webhook.disabled_at is None,
        "disabled_at": webhook.disabled_at,
        "disabled_reason": webhook.disabled_reason,
        "failing_since": webhook.failing_since,
        "failures": webhook.failures,
        "created_at": webhook.created_at,
    }


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "delivery_id": delivery.id,
        "message_id": f"msg_{delivery.id.hex}",
        "event_type": delivery.event_type,
        "upload_id": delivery.upload_id,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "next_attempt_at": delivery.due_at,
        "last_attempt_at": delivery.last_attempt_at,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "created_at": delivery.created_at,
        "ended_at": delivery.ended_at,
    }
