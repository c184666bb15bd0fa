"""Sign upload tokens and read them: JWTs of one fixed form, so that nothing in a token chooses how it is checked.

A token names the tenant, the row with its limits, and its times. Limits and metadata stay in the database: the bearer
can read a token, and paths contain it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from gateway.domain.errors import Unauthenticated
from gateway.domain.principal import Principal, TokenGrant

ALGORITHM = "HS256"
TYPE = "upload-token+jwt"
ISSUER = "upload-gateway"
AUDIENCE = "upload-gateway/uploads"

MIN_SECRET_BYTES = 32
"""RFC 7518, 3.2: a key for HS256 has at least as many bits as its hash."""

CLOCK_LEEWAY = timedelta(seconds=5)
"""Replicas' clocks differ a little; every replica must accept a new token at once."""

_HEADER = {"alg": ALGORITHM, "typ": TYPE}
_MAX_LENGTH = 4096
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token with a valid signature; its times are not checked yet."""

    principal: Principal
    grant: TokenGrant
    not_before: datetime
    expires_at: datetime

    def principal_at(self, now: datetime) -> Principal:
        """Return the principal of the token; raise Unauthenticated before and after its time."""
        if now < self.not_before - CLOCK_LEEWAY or now >= self.expires_at:
            raise Unauthenticated("The upload token has expired. Ask for a new one.")
        return self.principal


class TokenSigner:
    """Sign with the first secret and accept every secret, so that a new one can be added before the old one."""

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets or any(len(secret.encode()) < MIN_SECRET_BYTES for secret in secrets):
            raise ValueError(f"a token secret has at least {MIN_SECRET_BYTES} bytes")
        self._keys = [OctKey.import_key(secret) for secret in secrets]

    def sign(self, principal: Principal, grant: TokenGrant, issued_at: datetime, expires_at: datetime) -> str:
        """Return the token that makes its bearer *principal*, limited to *grant*."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": principal.tenant_id,
            "jti": str(grant.token_id),
            "key": principal.key_id,
            "pol": grant.policy,
            "iat": int(issued_at.timestamp()),
            "nbf": int(issued_at.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        if grant.allow_download:
            claims["dl"] = True
        if grant.allowed_origins:
            claims["origins"] = list(grant.allowed_origins)
        return jwt.encode(dict(_HEADER), claims, self._keys[0], algorithms=[ALGORITHM])

    def read(self, text: str) -> Claims:
        """Return the claims of a token that this gateway signed; raise Unauthenticated for any other text.

        The header must be equal to ours. A header with other members (`jku`, `jwk`, `kid`, `crit`, another `alg`)
        is refused, and their values are not used.
        """
        if len(text) > _MAX_LENGTH or _COMPACT.fullmatch(text) is None:
            raise Unauthenticated
        for key in self._keys:
            try:
                token = jwt.decode(text, key, algorithms=[ALGORITHM])
            except (JoseError, ValueError, TypeError, KeyError):
                # For a header or body that is no JSON object the library raises built-in errors.
                continue
            if token.header == _HEADER:
                return _claims(token.claims)
        raise Unauthenticated


def looks_like_token(text: str) -> bool:
    """Return whether a bearer text has the form of a token and not of an API key; `read` checks it."""
    return text.startswith("eyJ") and text.count(".") == 2


def _claims(found: dict[str, Any]) -> Claims:
    if found.get("iss") != ISSUER or found.get("aud") != AUDIENCE:
        raise Unauthenticated
    try:
        grant = TokenGrant(
            token_id=UUID(found["jti"]),
            policy=str(found["pol"]),
            allow_download=found.get("dl") is True,
            allowed_origins=tuple(str(origin) for origin in found.get("origins", ())),
        )
        principal = Principal(tenant_id=str(found["sub"]), key_id=str(found["key"]), token=grant)
        times = [_time(found[name]) for name in ("nbf", "exp")]
    except (KeyError, ValueError, TypeError, AttributeError):
        # The signature is valid but the claims are not: another program uses the same secret.
        raise Unauthenticated from None
    return Claims(principal, grant, *times)


def _time(value: object) -> datetime:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("a time is a whole number of seconds")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError) as exc:
        raise ValueError("a time that no calendar has") from exc
