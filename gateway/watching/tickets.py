"""Hand out one-use tickets for watching, and take them."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from gateway.auth.tickets import new_ticket, pack, ticket_hash, unpack
from gateway.context import Gateway
from gateway.database import tickets
from gateway.domain.errors import Unauthenticated
from gateway.domain.principal import Principal
from gateway.uploads.access import load

FORGET = 100
"""Ended tickets that are dropped whenever a new one is made; the table stays as small as a minute's tickets."""


async def make_ticket(
    gateway: Gateway, principal: Principal, upload_id: UUID | None, *, seconds: float
) -> tuple[str, datetime]:
    """Make a ticket to watch one upload, or with None all of the tenant's; return it and its end. Raises NotFound."""
    if upload_id is not None:
        await load(gateway, principal, upload_id)
    text = new_ticket()
    await tickets.forget_ended(gateway.database, limit=FORGET)
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
    """Return whom a ticket stands for and use it up; raise Unauthenticated for one that is not good for this."""
    packed = await tickets.take(gateway.database, ticket_hash=ticket_hash(text), upload_id=upload_id)
    if packed is None:
        raise Unauthenticated("The ticket is used, over, or for something else. Ask for a new one.")
    return unpack(packed)
