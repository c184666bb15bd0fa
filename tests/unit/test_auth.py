"""API keys: their shape, and that every failure looks alike."""

from __future__ import annotations

import pytest

from gateway.auth.api_keys import authenticate, new_key, parse_key
from gateway.domain.errors import Unauthenticated


def test_a_new_key_holds_256_bits_and_shows_its_id_only() -> None:
    """Two keys differ, the id can be read from the text, and the text is not in its repr."""
    first, second = new_key(), new_key()
    assert first.text != second.text
    assert first.text.split("_")[1] == first.key_id
    assert first.text not in repr(first)
    assert parse_key(first.text) == first


def test_a_key_of_ones_own_has_an_id_too() -> None:
    """A development key may be any text; its id says nothing of it."""
    key = parse_key("my-own-dev-key")
    assert key.key_id.startswith("own")
    assert len(key.key_id) == 13
    assert "my" not in key.key_id


@pytest.mark.parametrize("text", ["", "short", "x" * 201, "has space in it", "umläut-key", "line\nbreak-key"])
def test_what_no_key_can_be_is_refused(text: str) -> None:
    """Other texts are refused before the database is asked."""
    with pytest.raises(Unauthenticated):
        parse_key(text)


async def test_d4_only_the_right_secret_opens() -> None:
    """A known id with another secret, and an unknown id, raise the same error with the same words."""
    key = new_key()

    async def known(key_id: str) -> tuple[str, bytes] | None:
        return ("acme", key.secret_hash) if key_id == key.key_id else None

    principal = await authenticate(key.text, known)
    assert (principal.tenant_id, principal.key_id) == ("acme", key.key_id)
    words = []
    for text in (f"gw_{key.key_id}_" + "A" * 43, new_key().text, "x" * 20):
        with pytest.raises(Unauthenticated) as caught:
            await authenticate(text, known)
        words.append((caught.value.detail, caught.value.fields))
    assert len({word[0] for word in words}) == 1


async def test_d4_an_empty_hash_in_the_database_opens_nothing() -> None:
    """A row that lost its hash recognises nobody."""

    async def empty(_: str) -> tuple[str, bytes] | None:
        return ("acme", b"")

    with pytest.raises(Unauthenticated):
        await authenticate(new_key().text, empty)
