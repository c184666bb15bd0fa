"""Make API keys and recognise them.

A key reads `gw_<id>_<secret>`: the id finds the row, the secret (256 random bits) is known by its SHA-256 only. The
`gw_` makes leaked keys findable by secret scanners.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gateway.domain.errors import Unauthenticated
from gateway.domain.principal import Principal

_SHAPE = re.compile(r"gw_([0-9a-z]{8,32})_([0-9A-Za-z_-]{32,128})")
_NO_SECRET = hashlib.sha256(b"").digest()

FindKey = Callable[[str], Awaitable[tuple[str, bytes] | None]]
"""Find tenant and secret hash of a live key by its id."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; the only moment its text exists."""

    key_id: str
    secret_hash: bytes
    text: str = field(repr=False)


def new_key() -> NewKey:
    """Make a key of 40 bits of id and 256 bits of secret."""
    return parse_key(f"gw_{secrets.token_hex(5)}_{secrets.token_urlsafe(32)}")


def parse_key(text: str) -> NewKey:
    """Split a key into id and secret hash; raise Unauthenticated for any other text."""
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise Unauthenticated
    return NewKey(shape[1], hashlib.sha256(shape[2].encode()).digest(), text)


async def authenticate(text: str, find_live: FindKey) -> Principal:
    """Return whom a key stands for; unknown, revoked, malformed and wrong keys all raise the same Unauthenticated."""
    key = parse_key(text)
    found = await find_live(key.key_id)
    tenant_id, expected = found or ("", _NO_SECRET)
    if not hmac.compare_digest(expected, key.secret_hash) or found is None:
        raise Unauthenticated
    return Principal(tenant_id=tenant_id, key_id=key.key_id)
