"""Sign webhooks by Standard Webhooks, with secrets that are not stored: they are derived when needed.

A webhook's secret is derived from the gateway's own secret, the webhook's id and a number that a rotation counts up.
A reader of the database can sign nothing.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

MIN_SECRET_BYTES = 32

_PURPOSE = b"upload-gateway webhook secret v1"


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """A signed message: its id is the same in every attempt, its time (Unix seconds) is not."""

    id: str
    timestamp: int
    body: bytes


class WebhookSecrets:
    """Derive the secrets of webhooks from the gateway's own secrets, the newest first."""

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets or any(len(secret.encode()) < MIN_SECRET_BYTES for secret in secrets):
            raise ValueError(f"a webhook secret has at least {MIN_SECRET_BYTES} bytes")
        self._secrets = [secret.encode() for secret in secrets]

    def shown(self, webhook_id: UUID, number: int) -> str:
        """Return the secret with which the receiver verifies messages."""
        return f"whsec_{b64encode(self._derived(self._secrets[0], webhook_id, number)).decode()}"

    def headers(self, message: SignedMessage, webhook_id: UUID, numbers: Sequence[int]) -> Mapping[str, str]:
        """Return the headers of *message*, with one signature for each secret that a receiver may still use."""
        content = f"{message.id}.{message.timestamp}.".encode() + message.body
        keys = [self._derived(secret, webhook_id, number) for number in numbers for secret in self._secrets]
        signatures = [b64encode(hmac.digest(key, content, sha256)).decode() for key in keys]
        return {
            "webhook-id": message.id,
            "webhook-timestamp": str(message.timestamp),
            "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
        }

    @staticmethod
    def _derived(secret: bytes, webhook_id: UUID, number: int) -> bytes:
        """HKDF-Expand (RFC 5869) for one block; the gateway's secret is random already."""
        return hmac.digest(secret, b"%b %b %d\x01" % (_PURPOSE, webhook_id.bytes, number), sha256)
