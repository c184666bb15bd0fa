"""Tickets: one use, 256 bits, and the principal comes back as it was."""

from __future__ import annotations

import hashlib
import json
import re
from uuid import UUID

import pytest

from gateway.auth.tickets import new_ticket, pack, ticket_hash, unpack
from gateway.domain.errors import Unauthenticated
from gateway.domain.principal import Principal, TokenGrant

GRANT = TokenGrant(UUID(int=7), "media", allow_download=True, allowed_origins=("https://a.test",))


def test_a_ticket_has_256_random_bits() -> None:
    """Two differ, and only the hash of one is stored."""
    first, second = new_ticket(), new_ticket()
    assert first != second
    assert re.fullmatch(r"gwt_[0-9A-Za-z_-]{43}", first)
    assert ticket_hash(first) == hashlib.sha256(first.encode()).digest()


def test_text_of_another_form_is_refused() -> None:
    """No database is asked for it."""
    ticket = new_ticket()
    for text in (ticket.upper(), ticket[:-1], ticket + "A", ticket + "\n", ticket[1:], ""):
        with pytest.raises(Unauthenticated):
            ticket_hash(text)


@pytest.mark.parametrize("principal", [
    Principal("acme", "key"), Principal("acme", "key", GRANT), Principal("acme", "key", external=True),
])  # fmt: skip
def test_a_principal_survives_its_way_through_json(principal: Principal) -> None:
    """Tenant, key, token and its rights: a ticket gives no more and no less than its maker had."""
    packed = json.loads(json.dumps(pack(principal)))
    assert unpack(packed) == principal
    assert type(unpack(packed).token_id) is type(principal.token_id)


@pytest.mark.parametrize("packed", [{}, {"tenant_id": "acme"}, {"tenant_id": 7, "key_id": "key"}])
def test_a_principal_of_another_release_is_nobody(packed: dict[str, object]) -> None:
    """The client asks for a new ticket."""
    with pytest.raises(Unauthenticated):
        unpack(packed)
