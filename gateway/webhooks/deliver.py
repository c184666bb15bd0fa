"""Send what webhooks are owed: claimed, sent, recorded, and tried again until it arrives or nobody listens any more."""

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

AT_ONCE = 64
"""Messages on their way from one process."""

AT_ONCE_EACH = 8
"""Of them to one webhook; one that fails gets a single one, so that dead receivers leave room for the others."""

CLAIM_SECONDS = 4 * TIMEOUT_SECONDS
"""Time after which another process sends what its sender gave no news of."""

_FINAL = frozenset(PREFIX + state for state in FINAL_STATES)


async def claim_due(gateway: Gateway, *, limit: int) -> Sequence[Claimed]:
    """Claim what is to be sent now; raise Unavailable."""
    return await deliveries.claim(
        gateway.database, claim=uuid4(), seconds=CLAIM_SECONDS, each=AT_ONCE_EACH, limit=limit
    )


async def send_claimed(gateway: Gateway, delivery: Claimed) -> SendResult | None:
    """Attempt one message and record what became of it; None when its upload is gone. Raises Unavailable.

    Sent twice if this process dies between the two: receivers go by the id, which stays the same.
    """
    means = webhooks_of(gateway)
    upload = await uploads.find_unscoped(gateway.database, delivery.upload_id)
    if upload is None:
        return None
    body = orjson.dumps(payload_of(delivery, upload))
    now = gateway.now().timestamp()
    message = SignedMessage(id=f"msg_{delivery.id.hex}", timestamp=int(now), body=body)
    headers = means.secrets.headers(message, delivery.webhook_id, delivery.secret_numbers)
    outcome = await means.sender.send(delivery.url, headers, body)
    if outcome.ok and outcome.status is not None:
        await deliveries.succeeded(gateway.database, delivery, status=outcome.status)
    else:
        await _record_failure(gateway, delivery, outcome)
    return outcome


async def _record_failure(gateway: Gateway, delivery: Claimed, outcome: SendResult) -> None:
    gone = outcome.status == 410  # Gone: the receiver asks for no more, as Standard Webhooks has it
    wait = retry_wait(
        delivery.attempts,
        jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
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
    """Return what the message says: the same in every attempt, though the upload moves on meanwhile.

    So what its last states decide stands in the events of those, and what never changes in all.
    """
    data: dict[str, Any] = {
        "upload_id": upload.id,
        "state": State.UPLOADING if delivery.event_type == "upload.created" else delivery.event_type[len(PREFIX) :],
        "filename": upload.filename,
        "metadata": upload.metadata,
        "token_id": upload.token_id,
        "object_key": upload.object_key,
        **({"path": upload.path} if upload.on_disk else {}),
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
            "detection": upload.detection,
            "rejection": {"code": rejection.code, "detail": rejection.detail} if rejection else None,
        }
    return {"type": delivery.event_type, "timestamp": delivery.at, "data": data}
