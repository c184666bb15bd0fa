"""Issue and redeem one-use tickets that open an event stream or a WebSocket."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from gateway.auth.tickets import new_ticket, pack, ticket_hash, unpack
from gateway.context import Gateway
from gateway.database import tickets
from gateway.domain.errors import Unauthenticated
from gateway.domain.principal import Principal
from gateway.uploads.access import load

FORGET_AT_ONCE = 100
"""Ended tickets that are deleted whenever a new one is made, so the table holds about one minute of tickets."""


async def make_ticket(
    gateway: Gateway, principal: Principal, upload_id: UUID | None, *, seconds: float
) -> tuple[str, datetime]:
    """Make a ticket for one upload, or with None for all of the tenant; return it and its expiry. Raises NotFound."""
    if upload_id is not None:
        await load(gateway, principal, upload_id)
    text = new_ticket()
    await tickets.forget_ended(gateway.database, limit=FORGET_AT_ONCE)
    await tickets.add(
        gateway.database,
        ticket_hash=ticket_hash(text),
        tenant_id=principal.tenant_id,
        principal=pack(principal),
        upload_id=upload_id,
        seconds=seconds,
    )
    return text, gateway.now() + timedelta(seconds=seconds)


async def use_ticket(gateway: Gateway, text: str, upload_id: UUID | None) -> Principal:
    """Redeem a ticket and return its principal; raise Unauthenticated if it does not open this stream."""
    packed = await tickets.redeem(gateway.database, ticket_hash=ticket_hash(text), upload_id=upload_id)
    if packed is None:
        raise Unauthenticated("The ticket was already used, has expired, or is for another upload. Get a new one.")
    return unpack(packed)
