"""Send due webhook messages: claim, send, record, and retry until they arrive or the webhook is switched off."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson

from gateway.context import Gateway
from gateway.database import deliveries, uploads
from gateway.database.deliveries import Claimed, Failure
from gateway.domain.upload import FINAL_STATES, State, Upload
from gateway.domain.webhooks import GIVE_UP_AFTER, GIVE_UP_FAILURES, PREFIX, retry_wait
from gateway.outbound.public_http import TIMEOUT_SECONDS, SendResult
from gateway.outbound.webhook_signing import SignedMessage
from gateway.webhooks.manage import webhooks_of

logger = logging.getLogger(__name__)

MAX_CONCURRENT = 64
"""Messages that one process sends at the same time."""

MAX_CONCURRENT_EACH = 8
"""Messages sent to one webhook at the same time. A failing webhook gets one, which leaves capacity for the others."""

CLAIM_SECONDS = 4 * TIMEOUT_SECONDS
"""Seconds after which another process may send a claimed message whose sender recorded no result."""

_FINAL = frozenset(PREFIX + state for state in FINAL_STATES)


async def claim_due(gateway: Gateway, *, limit: int) -> Sequence[Claimed]:
    """Claim due messages; raise Unavailable."""
    return await deliveries.claim(
        gateway.database, claim=uuid4(), seconds=CLAIM_SECONDS, each=MAX_CONCURRENT_EACH, limit=limit
    )


async def send_claimed(gateway: Gateway, delivery: Claimed) -> SendResult | None:
    """Attempt one message and record the result; None when its upload was deleted. Raises Unavailable.

    If this process dies between the two steps, the message is sent twice with the same id, so receivers can drop it.
    """
    webhooks = webhooks_of(gateway)
    upload = await uploads.find_unscoped(gateway.database, delivery.upload_id)
    if upload is None:
        return None
    body = orjson.dumps(payload_of(delivery, upload))
    now = gateway.now().timestamp()
    message = SignedMessage(id=f"msg_{delivery.id.hex}", timestamp=int(now), body=body)
    headers = webhooks.secrets.headers(message, delivery.webhook_id, delivery.secret_numbers)
    outcome = await webhooks.sender.send(delivery.url, headers, body)
    if outcome.ok and outcome.status is not None:
        await deliveries.mark_delivered(gateway.database, delivery, status=outcome.status)
    else:
        await _record_failure(gateway, delivery, outcome)
    return outcome


async def _record_failure(gateway: Gateway, delivery: Claimed, outcome: SendResult) -> None:
    gone = outcome.status == 410  # Gone: by Standard Webhooks the receiver wants no more messages
    wait = retry_wait(
        delivery.attempts,
        jitter=random.random(),  # noqa: S311 - spreads load, is no secret
        asked_seconds=outcome.asked_seconds(gateway.now().timestamp()),
        waits=webhooks_of(gateway).retry_seconds,
    )
    failure = Failure(outcome.status, outcome.error, None if gone else wait, gone)
    reason = await deliveries.failed(
        gateway.database, delivery, failure, give_up_failures=GIVE_UP_FAILURES, give_up_after=GIVE_UP_AFTER
    )
    if reason is not None:
        logger.warning("webhook switched off", extra={"webhook_id": str(delivery.webhook_id), "reason": reason})


def payload_of(delivery: Claimed, upload: Upload) -> Mapping[str, Any]:
    """Return the message: the same in every attempt, although the upload changes meanwhile.

    Results of validation appear only in final events; fields that never change appear in all events.
    """
    data: dict[str, Any] = {
        "upload_id": upload.id,
        "state": State.UPLOADING if delivery.event_type == "upload.created" else delivery.event_type[len(PREFIX) :],
        "filename": upload.filename,
        "metadata": upload.metadata,
        "token_id": upload.token_id,
        "object_key": upload.object_key,
        "bucket": None,
        **upload.place,
        "declared_size_bytes": upload.declared_size_bytes,
        "declared_content_type": upload.declared_content_type,
        "created_at": upload.created_at,
    }
    if delivery.event_type in _FINAL:
        ready, rejection = upload.state is State.READY, upload.rejection
        data |= {
            "size_bytes": upload.observed_size_bytes if ready else None,
            "content_type": upload.content_type if ready else None,
            "etag": upload.observed_etag if ready else None,
            "version_id": upload.observed_version_id if ready else None,
            "detection": upload.detection,
            "complete": (upload.detection or {}).get("complete"),
            "extension_mismatch": (upload.detection or {}).get("extension_mismatch"),
            "suggested_filename": (upload.detection or {}).get("suggested_filename"),
            "rejection": {"code": rejection.code, "detail": rejection.detail} if rejection else None,
        }
    return {"type": delivery.event_type, "timestamp": delivery.at, "data": data}
