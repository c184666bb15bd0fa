"""Issue, list and revoke upload tokens; the table is in memory, `tests/api/test_upload_tokens.py` uses PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from gateway.auth.upload_tokens import TokenSigner
from gateway.context import Gateway
from gateway.database import upload_tokens
from gateway.database.upload_tokens import UploadToken
from gateway.domain.errors import Forbidden, Invalid, NotConfigured, NotFound
from gateway.domain.principal import Principal, TokenGrant
from gateway.tokens.manage import (
    MAX_ORIGINS,
    MAX_SECONDS,
    NewToken,
    get_token,
    issue_token,
    list_tokens,
    revoke_token,
    signer_of,
)

NOW = datetime(2026, 1, 1, 12, 0, 0, 999_999, tzinfo=UTC)
WHOLE = NOW.replace(microsecond=0)
ACME, OTHER = Principal("acme", "key7"), Principal("other", "key8")
BEARER = Principal("acme", "key7", TokenGrant(UUID(int=1), "media"))
SIGNER = TokenSigner(["s" * 32])


class MemoryTokens:
    """Keep tokens as the table does. The database is only compared: every query must name the gateway's."""

    def __init__(self) -> None:
        self.database = object()
        self.rows: dict[UUID, UploadToken] = {}

    async def insert(self, database: object, token: UploadToken) -> None:
        assert database is self.database
        self.rows[token.id] = token

    async def find(self, database: object, tenant_id: str, token_id: UUID) -> UploadToken | None:
        assert database is self.database
        found = self.rows.get(token_id)
        return found if found is not None and found.tenant_id == tenant_id else None

    async def list_page(
        self, database: object, tenant_id: str, *, before: UUID | None, limit: int
    ) -> list[UploadToken]:
        assert database is self.database
        found = [
            row for row in self.rows.values() if row.tenant_id == tenant_id and (before is None or row.id < before)
        ]
        return sorted(found, key=lambda row: row.id, reverse=True)[:limit]

    async def revoke(self, database: object, tenant_id: str, token_id: UUID) -> bool:
        found = await self.find(database, tenant_id, token_id)
        if found is not None:
            self.rows[token_id] = replace(found, revoked_at=NOW)
        return found is not None


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> MemoryTokens:
    """Give a table of tokens in memory."""
    table = MemoryTokens()
    for name in ("insert", "find", "list_page", "revoke"):
        monkeypatch.setattr(upload_tokens, name, getattr(table, name))
    return table


@pytest.fixture
def gateway(table: MemoryTokens) -> Gateway:
    """Give a gateway that signs tokens."""
    return cast("Gateway", SimpleNamespace(tokens=SIGNER, database=table.database, now=lambda: NOW))


async def test_a_token_is_signed_and_its_limits_are_kept(gateway: Gateway, table: MemoryTokens) -> None:
    """The row holds every limit, the text only rights and times; both end together."""
    wanted = NewToken(
        3600,
        max_files=3,
        max_size_bytes=9,
        metadata={"user": "7"},
        allowed_origins=("https://a.test",),
        allow_download=True,
        part_checksums_required=True,
    )
    issued = await issue_token(gateway, ACME, wanted)
    token = issued.token
    assert table.rows == {token.id: token}
    assert (token.tenant_id, token.key_id, token.policy) == ("acme", "key7", "media")
    assert (token.max_files, token.max_size_bytes, token.metadata) == (3, 9, {"user": "7"})
    assert (token.allowed_origins, token.part_checksums, token.revoked_at) == (("https://a.test",), "required", None)
    assert (token.created_at, token.expires_at) == (WHOLE, WHOLE + timedelta(hours=1))
    read = SIGNER.read(issued.text)
    assert read.grant == TokenGrant(token.id, "media", True, ("https://a.test",))
    assert (read.principal.tenant_id, read.principal.key_id) == ("acme", "key7")
    assert (read.not_before, read.expires_at) == (WHOLE, token.expires_at)
    assert issued.text not in repr(issued)


async def test_a_plain_token_has_no_limits_and_no_rights(gateway: Gateway) -> None:
    """What is not asked for is not given."""
    issued = await issue_token(gateway, ACME, NewToken(60))
    token = issued.token
    assert (token.max_files, token.max_size_bytes, token.metadata) == (None, None, {})
    assert (token.allowed_origins, token.part_checksums) == ((), None)
    assert SIGNER.read(issued.text).grant == TokenGrant(token.id, "media")


@pytest.mark.parametrize(("seconds", "valid"), [(0, False), (1, True), (MAX_SECONDS, True), (MAX_SECONDS + 1, False)])
async def test_a_token_lives_a_second_to_a_week(
    gateway: Gateway, table: MemoryTokens, seconds: int, valid: bool
) -> None:
    """Other lifetimes are refused, and no row is written."""
    if valid:
        issued = await issue_token(gateway, ACME, NewToken(seconds))
        assert issued.token.expires_at == WHOLE + timedelta(seconds=seconds)
        return
    with pytest.raises(Invalid, match="expires_in_seconds must lie between 1 and 604800"):
        await issue_token(gateway, ACME, NewToken(seconds))
    assert table.rows == {}


@pytest.mark.parametrize(("wanted", "sentence"), [
    (NewToken(9, policy="other"), "policy"),
    (NewToken(9, metadata={"user": "\0"}), "metadata holds a NUL character"),
    (NewToken(9, allowed_origins=("https://a.test/path",)), "https://a.test"),
    (NewToken(9, allowed_origins=("https://a.test",) * (MAX_ORIGINS + 1)), "allowed_origins holds more than 8 origins"),
])  # fmt: skip
async def test_wrong_limits_are_refused(gateway: Gateway, table: MemoryTokens, wanted: NewToken, sentence: str) -> None:
    """Before anything is written."""
    with pytest.raises(Invalid, match=sentence):
        await issue_token(gateway, ACME, wanted)
    assert table.rows == {}


async def test_eight_origins_are_enough_and_allowed(gateway: Gateway) -> None:
    """All of them are in the token."""
    origins = tuple(f"https://{number}.test" for number in range(MAX_ORIGINS))
    issued = await issue_token(gateway, ACME, NewToken(9, allowed_origins=origins))
    assert SIGNER.read(issued.text).grant.allowed_origins == origins


async def test_only_an_api_key_manages_tokens(gateway: Gateway, table: MemoryTokens) -> None:
    """The bearer of a token can neither issue, read, list nor revoke one."""
    issued = await issue_token(gateway, ACME, NewToken(9))
    before = dict(table.rows)
    for call in (
        issue_token(gateway, BEARER, NewToken(9)),
        get_token(gateway, BEARER, issued.token.id),
        list_tokens(gateway, BEARER, before=None, limit=9),
        revoke_token(gateway, BEARER, issued.token.id),
    ):
        with pytest.raises(Forbidden):
            await call
    assert table.rows == before


async def test_without_a_secret_tokens_are_off(gateway: Gateway, table: MemoryTokens) -> None:
    """The error says what to set."""
    off = cast("Gateway", SimpleNamespace(tokens=None, database=table.database, now=lambda: NOW))
    with pytest.raises(NotConfigured, match="Upload tokens are off: set GATEWAY_TOKEN_SECRET"):
        await issue_token(off, ACME, NewToken(9))
    assert signer_of(gateway) is SIGNER


async def test_a_token_is_its_tenants(gateway: Gateway, table: MemoryTokens) -> None:
    """Another tenant neither reads nor revokes it, and learns nothing of it."""
    token = (await issue_token(gateway, ACME, NewToken(9))).token
    assert await get_token(gateway, ACME, token.id) == token
    for missing in (get_token(gateway, OTHER, token.id), revoke_token(gateway, OTHER, token.id),
                    get_token(gateway, ACME, uuid4()), revoke_token(gateway, ACME, uuid4())):  # fmt: skip
        with pytest.raises(NotFound, match=r"There is no such upload token\."):
            await missing
    assert table.rows[token.id].revoked_at is None
    await revoke_token(gateway, ACME, token.id)
    await revoke_token(gateway, ACME, token.id)
    assert table.rows[token.id].revoked_at == NOW


async def test_pages_are_newest_first_and_end_with_no_cursor(gateway: Gateway) -> None:
    """Five tokens are pages of three and two."""
    made: list[Any] = sorted([(await issue_token(gateway, ACME, NewToken(9))).token.id for _ in range(5)])
    await issue_token(gateway, OTHER, NewToken(9))
    pages, before = [], None
    for _ in range(2):
        page, before = await list_tokens(gateway, ACME, before=before, limit=3)
        pages.append([token.id for token in page])
    assert (pages, before) == ([made[4:1:-1], made[1::-1]], None)
    page, before = await list_tokens(gateway, ACME, before=None, limit=5)
    assert (len(page), before) == (5, None)
