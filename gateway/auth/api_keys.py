"""Make API keys and recognise them.

A key the gateway makes reads `gw_<id>_<secret>`: the id finds the row, and the `gw_` lets secret scanners find a leaked
key. A key that a developer chose may be any text; its id is drawn from its hash. Only the SHA-256 of either is stored.
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

_MADE = re.compile(r"gw_([0-9a-f]{10})_[0-9A-Za-z_-]{43}")
_ANY = re.compile(r"[\x21-\x7e]{8,200}")
_NOBODY = bytes(32)

FindKey = Callable[[str], Awaitable[tuple[str, bytes] | None]]
"""Find tenant and secret hash of a live key by its id."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key. Its text exists only here."""

    key_id: str
    secret_hash: bytes
    text: str = field(repr=False)


def new_key() -> NewKey:
    """Make a key of 40 bits of id and 256 bits of secret."""
    return parse_key(f"gw_{secrets.token_hex(5)}_{secrets.token_urlsafe(32)}")


def parse_key(text: str) -> NewKey:
    """Split a key into id and hash; raise Unauthenticated for text that is not 8 to 200 printable ASCII."""
    if _ANY.fullmatch(text) is None:
        raise Unauthenticated
    made = _MADE.fullmatch(text)
    digest = hashlib.sha256(text.encode()).digest()
    return NewKey(made[1] if made else f"own{digest.hex()[:10]}", digest, text)


async def authenticate(text: str, find_live: FindKey) -> Principal:
    """Return the principal of a key; unknown, revoked, malformed and wrong keys raise the same Unauthenticated."""
    return await recognise(parse_key(text), find_live)


async def recognise(key: NewKey, find_live: FindKey) -> Principal:
    """Return the principal of a key; raise Unauthenticated as `authenticate` does."""
    found = await find_live(key.key_id)
    tenant_id, expected = found or ("", _NOBODY)
    if not hmac.compare_digest(expected, key.secret_hash) or found is None:
        raise Unauthenticated
    return Principal(tenant_id=tenant_id, key_id=key.key_id)
