"""Receive events of the store: hints that a POST upload has arrived, so that it is completed without delay.

Events may be repeated, late, out of order or missing, and anyone with the secret can forge one. Therefore an event is
only a reason to ask the store about the object key that it names.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from gateway.api.rate_limits import strangers_counted
from gateway.api.requests import gateway_of, read_json, settings_of
from gateway.context import Gateway
from gateway.domain.errors import GatewayError, NotConfigured, Unauthenticated
from gateway.uploads.post_uploads import complete_arrived

logger = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)

MAX_RECORDS = 1000
MAX_LOOKS = 16
"""Looks at once; what finds no room here is found by the worker a moment later."""

# Keys made by earlier releases have no random part.
_POST_KEY = re.compile(r"(?:^|/)forms/([0-9a-f-]{36})(?:-[0-9a-f]{32})?\.[a-z0-9]{1,16}$")


class StoreEvents(BaseModel):
    """What MinIO's webhook and S3's notifications have in common."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    records: list[dict[str, Any]] = Field(default_factory=list, alias="Records", max_length=MAX_RECORDS)


@router.post("/store-events", status_code=204)
async def take_events(request: Request) -> Response:
    """Look for the forms that the events name, after answering: the store waits for nothing."""
    secret = settings_of(request).store_events_secret
    if secret is None:
        raise NotConfigured("Store events are off: set GATEWAY_STORE_EVENTS_SECRET.")
    given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    with strangers_counted(request, "event"):
        if not hmac.compare_digest(given.encode(), secret.get_secret_value().encode()):
            raise Unauthenticated
    events = await read_json(request, StoreEvents, optional=True)
    running: set[asyncio.Task[None]] = request.app.state.form_looks
    for upload_id in {found for record in events.records if (found := _upload_id(record)) is not None}:
        if len(running) >= MAX_LOOKS:
            break
        task = asyncio.create_task(_complete_posted_file(gateway_of(request), upload_id))
        running.add(task)
        task.add_done_callback(running.discard)
    return Response(status_code=204)


def _upload_id(record: dict[str, Any]) -> UUID | None:
    if not str(record.get("eventName", "")).removeprefix("s3:").startswith("ObjectCreated:"):
        return None
    try:
        found = _POST_KEY.search(unquote_plus(str(record["s3"]["object"]["key"])[:2048]))
        return UUID(found[1]) if found else None
    except (KeyError, TypeError, ValueError):
        return None


async def _complete_posted_file(gateway: Gateway, upload_id: UUID) -> None:
    try:
        await complete_arrived(gateway, upload_id)
    except GatewayError as exc:
        logger.info("an event's form will be looked for again", extra={"upload_id": str(upload_id), "code": exc.code})
