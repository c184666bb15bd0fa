"""Check the ceilings of a new upload inside the transaction that writes it."""

from __future__ import annotations

from gateway.database import usage
from gateway.database.engine import Connection
from gateway.database.upload_tokens import UploadToken
from gateway.domain.ceilings import Ceilings, Scope, check_room
from gateway.domain.errors import TokenExhausted
from gateway.domain.upload import Upload


async def check(
    connection: Connection, ceilings: Ceilings, intent: Upload, token: UploadToken | None, key_id: str, size_bytes: int
) -> None:
    """Raise TooManyUploads, TokenExhausted or CreatesExhausted when *intent* would pass a ceiling.

    The token's row is locked, so its ceilings are exact. Those of a key and a tenant may be passed by the creates of
    one moment.
    """
    names: dict[Scope, str] = {"key": key_id, "tenant": intent.tenant_id}
    if token is not None:
        names["token"] = str(token.id)
    used = await usage.read(connection, names)
    max_files = token.max_files if token is not None else None
    for scope, found in used.items():
        check_room(
            scope,
            found,
            ceilings.of(scope),
            size_bytes=size_bytes,
            now=intent.created_at,
            max_files=max_files if scope == "token" else None,
        )
    if token is None or max_files is None or used["token"].files < max_files:
        return
    if used["token"].files - await usage.count_stale(connection, token.id) >= max_files:
        raise TokenExhausted(f"This upload token was good for {max_files} files.")
