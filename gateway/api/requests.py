"""Read the principal and the JSON body of a request; the body is bounded before it is parsed."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, HTTPConnection

from gateway.api import cors
from gateway.api.json_bodies import SMALL_BYTES, parse
from gateway.api.rate_limits import (
    BYTES_PER_UNIT,
    caller_name,
    charge,
    count_key,
    count_stranger,
    count_token,
    limits_of,
    require_patience,
    strangers_counted,
)
from gateway.auth.api_keys import NewKey, parse_key, recognise
from gateway.auth.upload_tokens import looks_like_token
from gateway.context import Gateway
from gateway.database import api_keys
from gateway.domain.errors import (
    BodyTooLarge,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    RequestTimeout,
    Unauthenticated,
    UnsupportedBody,
)
from gateway.domain.principal import Principal, TokenGrant
from gateway.settings import Settings

Authenticate = Callable[[HTTPConnection], Awaitable[Principal | None]]
"""Return the principal of a request by an outer application's own means, or None for none."""

Body = TypeVar("Body", bound=BaseModel)

MAX_IDEMPOTENCY_KEY = 255

BODY_SECONDS = 10.0
"""Time for a body that is read into memory, from its headers on."""

BODY_LEAST_RATE = 32 * 1024
"""Bytes that give a large body one more second: 2 MB on a bad mobile connection (256 kbit/s) take a minute."""


def gateway_of(request: HTTPConnection) -> Gateway:
    """Return the gateway that serves this request."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def settings_of(request: HTTPConnection) -> Settings:
    """Return the settings this process was started with."""
    settings: Settings = request.app.state.settings
    return settings


async def principal_of(request: HTTPConnection) -> Principal:
    """Return the principal of a request, by an API key or an upload token in its Authorization header.

    A token may also stand in the path, under `/uppy/{token}/`. Raises Unauthenticated, Forbidden for a page whose
    origin the token was not made for, and TooMany.
    """
    if "token" in request.path_params:
        return token_principal(request, request.path_params["token"])
    authenticate: Authenticate | None = request.app.state.authenticate
    if authenticate is not None and (found := await authenticate(request)) is not None:
        return replace(found, external=True)
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    text = text.strip()
    bearer = scheme.lower() == "bearer"
    if bearer and looks_like_token(text):
        return token_principal(request, text)
    if not bearer or not text:
        count_stranger(request, "nothing")
        raise Unauthenticated
    with strangers_counted(request, "key"):
        return await _key_principal(request, parse_key(text))


async def _key_principal(request: HTTPConnection, key: NewKey) -> Principal:
    database, good_keys = gateway_of(request).database, limits_of(request).good_keys
    was_good = key.secret_hash in good_keys
    if was_good:
        # Before the database is asked: a key that asks too often shall not load it either.
        count_key(request, key.key_id)
    else:
        require_patience(request, "key")
    try:
        caller = await recognise(key, lambda key_id: api_keys.find_live(database, key_id))
    except Unauthenticated:
        good_keys.drop(key.secret_hash)
        raise
    good_keys.put(key.secret_hash, True)
    if not was_good:
        count_key(request, key.key_id)
    return caller


def token_principal(request: HTTPConnection, text: str) -> Principal:
    """Return the principal of an upload token by its signature alone; the database decides what it may reach."""
    gateway = gateway_of(request)
    with strangers_counted(request, "token"):
        if gateway.tokens is None:
            raise Unauthenticated
        claims = gateway.tokens.read(text)
    # Also for an expired token: the page must be able to read that it has expired, or has to wait.
    let_read(request, claims.grant)
    count_token(request, claims.grant.token_id)
    require_page(request, claims.grant)
    return claims.principal_at(gateway.now())


def let_read(request: HTTPConnection, grant: TokenGrant | None) -> None:
    """Let pages of an upload token's origins read the answer."""
    setattr(request.state, cors.STATE, grant.allowed_origins if grant else ())


def require_page(request: HTTPConnection, grant: TokenGrant | None) -> None:
    """Let pages of an upload token's origins read the answer; raise Forbidden for a page that it was not made for."""
    let_read(request, grant)
    origins = grant.allowed_origins if grant else ()
    origin = request.headers.get("origin")
    if origins and origin is not None and origin not in origins:
        raise Forbidden("This upload token is not for pages of this origin.")


async def read_body(request: Request, limit: int) -> bytes:
    """Read a body of at most *limit* bytes into memory.

    Raises BodyTooLarge before or while it grows past the limit, and RequestTimeout for a body that takes more than
    BODY_SECONDS and one second more for each BODY_LEAST_RATE bytes that came.
    """
    too_large = BodyTooLarge(f"A request body here has at most {limit} bytes.")
    announced = request.headers.get("content-length")
    if announced is not None and announced.isdecimal():
        if int(announced) > limit:
            raise too_large
        charge(request, int(announced) // BYTES_PER_UNIT)
    chunks = bytearray()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + BODY_SECONDS
    try:
        async with asyncio.timeout_at(deadline) as timeout:
            async for chunk in request.stream():
                chunks += chunk
                if len(chunks) > limit:
                    raise too_large
                timeout.reschedule(deadline + len(chunks) / BODY_LEAST_RATE)
    except TimeoutError:
        raise RequestTimeout from None
    except ClientDisconnect:
        raise Malformed("The body broke off.") from None
    if announced is None:
        charge(request, len(chunks) // BYTES_PER_UNIT)
    return bytes(chunks)


def _plain_json(request: Request, body: bytes) -> bytes:
    """Return a JSON body without a byte order mark; raise UnsupportedBody for UTF-16, UTF-32 and compressed bodies."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise UnsupportedBody(f"A body with Content-Encoding {encoding} is not read here: send it uncompressed.")
    # JSON begins with an ASCII character, so that a zero byte among the first two, or such a mark, is no UTF-8.
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in body[:2]:
        raise UnsupportedBody("A body in UTF-16 or UTF-32 is not read here: send JSON as UTF-8.")
    return body.removeprefix(codecs.BOM_UTF8)


async def read_json(request: Request, model: type[Body], *, optional: bool = False) -> Body:
    """Parse the body into *model*; NaN, huge numbers, deep nesting and unknown fields raise Invalid.

    Of a key given twice the last one counts. An empty body is `{}` where the body is *optional*.
    """
    body = _plain_json(request, await read_body(request, settings_of(request).max_body_bytes))
    if optional and not body.strip():
        body = b"{}"
    if len(body) <= SMALL_BYTES:
        return await parse(body, model)
    # One large body of the process at a time, callers in turn.
    async with gateway_of(request).heavy.held(caller_name(request)):
        return await parse(body, model)


def upload_id_of(text: str) -> UUID:
    """Parse an upload id; raise NotFound for an invalid one, as for an unknown one."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None


def id_of(text: str, what: str) -> UUID:
    """Parse another id of this API; raise NotFound for an invalid one, as for an unknown one."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"There is no such {what}.") from None


def cursor_of(text: str | None) -> UUID | None:
    """Parse the `cursor` of a list; None is its beginning. Raises Invalid for an invalid id."""
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise Invalid("cursor is not one of ours.") from None


def idempotency_key_of(request: Request) -> str | None:
    """Return the Idempotency-Key header, quotes stripped; raise Invalid for an empty, endless or unprintable one."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    key = key.strip().removeprefix('"').removesuffix('"')
    if not key or len(key) > MAX_IDEMPOTENCY_KEY or not key.isascii() or not key.isprintable():
        raise Invalid(f"Idempotency-Key must be 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters.")
    return key


def wait_of(request: Request, longest_seconds: float = 30.0) -> float:
    """Return N of `Prefer: wait=N` (RFC 7240), at most *longest_seconds*; 0 without one."""
    for header in request.headers.getlist("prefer"):
        for preference in header.split(","):
            name, _, value = preference.partition(";")[0].partition("=")
            if name.strip().lower() == "wait" and value.strip().isdecimal():
                return min(float(value.strip()[:6]), longest_seconds)
    return 0.0
