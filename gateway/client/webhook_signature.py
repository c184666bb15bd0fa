"""Check that a webhook message comes from the gateway (Standard Webhooks)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.client.errors import InvalidWebhook
from gateway.client.models import UploadState, read_time

PREFIX = "whsec_"
# The tolerance of the Standard Webhooks libraries: an older message may be one that somebody recorded and sends again.
TOLERANCE_SECONDS = 300.0
_ADVICE = "Answer 401 and do not use the message."


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """Hold one webhook message: `message_id` is the same in every attempt, `data` describes the upload."""

    message_id: str
    event_type: str
    timestamp: datetime | None
    data: Mapping[str, Any]

    @property
    def upload_id(self) -> str | None:
        """Return the upload that the message is about, None for a test message."""
        return self.data.get("upload_id")

    @property
    def state(self) -> UploadState | None:
        """Return the state that the event led to, None for a test message."""
        state = self.data.get("state")
        return None if state is None else UploadState(state)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Return the metadata of the upload and of its upload token."""
        return self.data.get("metadata") or {}


def verify_webhook(
    secret: str, headers: Mapping[str, str], body: bytes | str, *, tolerance_seconds: float = TOLERANCE_SECONDS
) -> WebhookMessage:
    """Return the message if *secret* signed it; *body* is the request body exactly as it came.

    Raises InvalidWebhook for a missing or wrong signature, and for a timestamp more than *tolerance_seconds* away.
    """
    named = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, sent_at = named["webhook-id"], named["webhook-timestamp"]
        signatures = named["webhook-signature"]
    except KeyError as exc:
        raise InvalidWebhook(f"the header {exc.args[0]} is missing", advice=_ADVICE) from None
    payload = body.encode() if isinstance(body, str) else body
    _check_time(sent_at, tolerance_seconds)
    _check_signature(secret, f"{message_id}.{sent_at}.".encode() + payload, signatures)
    try:
        message = json.loads(payload)
        return WebhookMessage(message_id, message["type"], read_time(message.get("timestamp")), message["data"])
    except (ValueError, KeyError, TypeError) as exc:
        raise InvalidWebhook("the body is not a message of the gateway", advice=_ADVICE) from exc


def _check_time(sent_at: str, tolerance_seconds: float) -> None:
    if not sent_at.isascii() or not sent_at.isdigit() or len(sent_at) > 15:
        raise InvalidWebhook("the header webhook-timestamp is not a time", advice=_ADVICE)
    if abs(time.time() - int(sent_at)) > tolerance_seconds:
        message = f"the message was sent more than {tolerance_seconds:.0f} seconds ago or ahead of this clock"
        raise InvalidWebhook(message, advice=_ADVICE)


def _check_signature(secret: str, signed: bytes, signatures: str) -> None:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidWebhook("the secret is not a webhook secret", advice="Use the secret of the webhook.") from None
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
    # A message carries one signature for each secret while a new secret replaces the old one.
    for signature in signatures.split(" "):
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(value.encode(errors="replace"), expected):
            return
    raise InvalidWebhook("no signature of the message was made with this secret", advice=_ADVICE)
