"""Make one-use tickets: browsers cannot set a header on EventSource and WebSocket, and a query ends up in logs."""

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
    """Return what is kept of a ticket; raise Unauthenticated for what no ticket can be."""
    if _TICKET.fullmatch(text) is None:
        raise Unauthenticated
    return hashlib.sha256(text.encode()).digest()


def pack(principal: Principal) -> Mapping[str, Any]:
    """Return a principal as JSON to keep with a ticket."""
    packed: Mapping[str, Any] = _PRINCIPAL.dump_python(principal, mode="json")
    return packed


def unpack(packed: Mapping[str, Any]) -> Principal:
    """Return the principal that was kept; raise Unauthenticated when a release of another shape kept it."""
    try:
        return _PRINCIPAL.validate_python(packed)
    except ValidationError:
        raise Unauthenticated from None
