"""Say on whose behalf a request is made."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from gateway.domain.errors import Forbidden


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """The rights of an upload token beside sending files; its limits are in its row."""

    token_id: UUID
    policy: str
    allow_download: bool = False
    allowed_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Principal:
    """The tenant and the key of a request; both come from our rows or signatures, not from the client.

    With *token* set, the request came with an upload token that the key's holder gave away: it reaches the uploads
    that were created with it and no others.
    """

    tenant_id: str
    key_id: str
    token: TokenGrant | None = None
    external: bool = False
    """The application that the gateway is mounted in authenticated the request; there is no API key to revoke."""

    @property
    def token_id(self) -> UUID | None:
        """Return the upload token's id, or None for the holder of an API key."""
        return self.token.token_id if self.token else None


def require_key(principal: Principal) -> Principal:
    """Return the principal of an API key; raise Forbidden for an upload token."""
    if principal.token is not None:
        raise Forbidden("An upload token may not do that: use an API key.")
    return principal


def require_own_key(principal: Principal) -> Principal:
    """Return the principal of one of our API keys, which upload tokens depend on; raise Forbidden for others."""
    if principal.external:
        raise Forbidden("Upload tokens belong to an API key, and this request came without one.")
    return require_key(principal)
