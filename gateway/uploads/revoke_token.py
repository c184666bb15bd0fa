"""Look at upload tokens and revoke them."""

from __future__ import annotations

from uuid import UUID

from gateway.database import upload_tokens
from gateway.database.upload_tokens import UploadToken
from gateway.domain.errors import NotFound
from gateway.domain.principal import Principal, require_key
from gateway.uploads.gateway import Gateway

_NONE = "There is no such upload token."


async def get_token(gateway: Gateway, principal: Principal, token_id: UUID) -> UploadToken:
    """Return a token of the tenant's; raise NotFound."""
    found = await upload_tokens.find(gateway.database, require_key(principal).tenant_id, token_id)
    if found is None:
        raise NotFound(_NONE)
    return found


async def list_tokens(
    gateway: Gateway, principal: Principal, *, before: UUID | None, limit: int
) -> tuple[list[UploadToken], UUID | None]:
    """Return a page of the tenant's tokens, newest first, and the cursor of the next one."""
    tenant_id = require_key(principal).tenant_id
    found = await upload_tokens.list_page(gateway.database, tenant_id, before=before, limit=limit + 1)
    page = found[:limit]
    return page, page[-1].id if len(found) > limit else None


async def revoke_token(gateway: Gateway, principal: Principal, token_id: UUID) -> None:
    """Revoke a token: from now on it reaches no upload. URLs that were signed with it live on until they expire.

    Raises NotFound; again is fine.
    """
    if not await upload_tokens.revoke(gateway.database, require_key(principal).tenant_id, token_id):
        raise NotFound(_NONE)
