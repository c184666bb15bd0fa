"""Issue, list and revoke upload tokens, which a backend gives to its users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from gateway.auth.upload_tokens import TokenSigner
from gateway.context import Gateway
from gateway.database import upload_tokens
from gateway.database.upload_tokens import UploadToken
from gateway.domain.errors import Invalid, NotConfigured, NotFound
from gateway.domain.object_key import new_upload_id
from gateway.domain.origins import how_to_write, is_origin
from gateway.domain.policy import DEFAULT_POLICY, check_metadata, check_policy_name
from gateway.domain.principal import Principal, TokenGrant, require_key

MAX_SECONDS = 7 * 86_400
"""Longest life of a token, seconds: a week, the limit of S3 for a presigned URL."""

MAX_ORIGINS = 8
"""Most origins of one token: the token contains them, and paths contain the token."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A request for a token; None means no limit except the policy's."""

    expires_in_seconds: int
    policy: str = DEFAULT_POLICY
    max_files: int | None = None
    max_size_bytes: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    allowed_origins: Sequence[str] = ()
    allow_download: bool = False
    part_checksums_required: bool = False


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token. Its text exists only here."""

    token: UploadToken
    text: str = field(repr=False)


def signer_of(gateway: Gateway) -> TokenSigner:
    """Return the signer of tokens; raise NotConfigured when this gateway has no secret for tokens."""
    if gateway.tokens is None:
        raise NotConfigured("Upload tokens are off: set GATEWAY_TOKEN_SECRET to 32 random characters or more.")
    return gateway.tokens


async def issue_token(gateway: Gateway, principal: Principal, wanted: NewToken) -> IssuedToken:
    """Sign a token and store its limits.

    Raises Forbidden for a caller without an API key, Invalid, NotConfigured and Unavailable.
    """
    require_key(principal)
    signer = signer_of(gateway)
    if not 1 <= wanted.expires_in_seconds <= MAX_SECONDS:
        raise Invalid(f"expires_in_seconds must lie between 1 and {MAX_SECONDS}.")
    now = gateway.now().replace(microsecond=0)
    token = UploadToken(
        id=new_upload_id(),
        tenant_id=principal.tenant_id,
        key_id=principal.key_id,
        policy=check_policy_name(wanted.policy),
        max_files=wanted.max_files,
        max_size_bytes=wanted.max_size_bytes,
        metadata=check_metadata(wanted.metadata),
        allowed_origins=_origins(wanted.allowed_origins),
        created_at=now,
        expires_at=now + timedelta(seconds=wanted.expires_in_seconds),
        revoked_at=None,
        part_checksums="required" if wanted.part_checksums_required else None,
    )
    await upload_tokens.insert(gateway.database, token)
    grant = TokenGrant(token.id, token.policy, wanted.allow_download, token.allowed_origins)
    return IssuedToken(token, signer.sign(principal, grant, now, token.expires_at))


def _origins(given: Sequence[str]) -> tuple[str, ...]:
    """Return *given* if each is an origin; raise Invalid.

    Origins that are not in GATEWAY_ALLOWED_ORIGINS are accepted: an operator's rule of the bucket or MinIO's setting
    may allow more pages than the gateway does. A question to the store would delay each token.
    """
    if len(given) > MAX_ORIGINS:
        raise Invalid(f"allowed_origins holds more than {MAX_ORIGINS} origins.")
    for text in given:
        if not is_origin(text):
            raise Invalid(f"{how_to_write(text)}.")
    return tuple(given)


_NONE = "There is no such upload token."


async def get_token(gateway: Gateway, principal: Principal, token_id: UUID) -> UploadToken:
    """Return a token of the tenant; raise NotFound."""
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
    """Revoke a token: the gateway refuses it from now on. URLs that it obtained stay valid until they expire.

    May be called any number of times. Raises NotFound.
    """
    if not await upload_tokens.revoke(gateway.database, require_key(principal).tenant_id, token_id):
        raise NotFound(_NONE)
