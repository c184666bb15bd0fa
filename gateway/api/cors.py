"""Let web pages of named origins read the API's answers; exact origins only, and never with credentials.

No cookies are read, so no page can use those of a visitor: a page needs its own key or token, which it sends
by itself. `Access-Control-Allow-Credentials` is therefore never sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.domain.origins import OriginRules, is_origin

STATE = "cors_origins"
"""Name under which authentication leaves the origins of the request's token."""

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
EXPOSED = "ETag, Location, Retry-After, X-Request-Id, Preference-Applied, X-Amz-Error-Code"
MAX_AGE_SECONDS = 7200
"""Chromium keeps a preflight's answer for two hours at most."""

_MAX_ORIGIN = 300
_VARY = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class Cors:
    """Answer preflights, and mark answers that a page may read."""

    def __init__(self, app: ASGIApp, allowed_origins: Collection[str]) -> None:
        self._app = app
        self._allowed = OriginRules(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is not None and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await self._preflight(origin, headers.get("access-control-request-headers", ""), send)
            return
        state = scope.setdefault("state", {})

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(b"vary", b"Origin")]
                # The browser module sets this header itself, and two values of it allow no page.
                said = any(name == b"access-control-allow-origin" for name, _ in message["headers"])
                if not said and origin is not None and (self._allowed.allow(origin) or origin in state.get(STATE, ())):
                    extra += [
                        (b"access-control-allow-origin", origin.encode("latin-1")),
                        (b"access-control-expose-headers", EXPOSED.encode()),
                    ]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        await self._app(scope, receive, marked)

    async def _preflight(self, origin: str, wanted_headers: str, send: Send) -> None:
        """Answer every origin alike, instead of the application.

        A preflight carries neither key nor token. An answer that depended on the origins of upload tokens would tell
        anybody which companies use this gateway. It grants nothing: without a key or token a page is
        refused, and it can read an answer only if its origin is allowed.
        """
        headers: list[tuple[bytes, bytes]] = [(b"vary", _VARY), (b"content-length", b"0")]
        allowed = len(origin) <= _MAX_ORIGIN and (self._allowed.allow(origin) or is_origin(origin))
        if allowed:
            headers += [
                (b"access-control-allow-origin", origin.encode("latin-1")),
                (b"access-control-allow-methods", METHODS.encode()),
                (b"access-control-allow-headers", _names(wanted_headers)),
                (b"access-control-max-age", str(MAX_AGE_SECONDS).encode()),
            ]
        await send({"type": "http.response.start", "status": 204 if allowed else 403, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _names(wanted: str) -> bytes:
    """Repeat the header names that were asked for, if names they are: every header is ours to judge anyway."""
    return ", ".join(_plain(wanted.split(",")[:32])).encode()


def _plain(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        bare = name.strip().lower()
        if bare and len(bare) <= 64 and bare.isascii() and bare.replace("-", "").replace("_", "").isalnum():
            yield bare
