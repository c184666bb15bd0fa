"""Make one-use tickets: browsers cannot set a header on EventSource and WebSocket, and servers log queries."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gateway.domain.errors import Unauthenticated
from gateway.domain.principal import Principal

_TICKET = re.compile(r"gwt_[0-9A-Za-z_-]{43}")
_PRINCIPAL = TypeAdapter(Principal)


def new_ticket() -> str:
    """Make a ticket of 256 random bits."""
    return f"gwt_{secrets.token_urlsafe(32)}"


def ticket_hash(text: str) -> bytes:
    """Return the SHA-256 of a ticket, which is stored; raise Unauthenticated for text of another form."""
    if _TICKET.fullmatch(text) is None:
        raise Unauthenticated
    return hashlib.sha256(text.encode()).digest()


def pack(principal: Principal) -> Mapping[str, Any]:
    """Return a principal as JSON to store with a ticket."""
    packed: Mapping[str, Any] = _PRINCIPAL.dump_python(principal, mode="json")
    return packed


def unpack(packed: Mapping[str, Any]) -> Principal:
    """Return the stored principal; raise Unauthenticated when another release stored it in another form."""
    try:
        return _PRINCIPAL.validate_python(packed)
    except ValidationError:
        raise Unauthenticated from None
