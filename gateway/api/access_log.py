"""Log each request by its route, never by its URL: paths and queries can carry tokens."""

from __future__ import annotations

import logging
import secrets
import time
from uuid import UUID

from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("gateway.access")

STATE = "log_fields"
"""Name under which a refusal leaves what else the line is to say: ids, never anything that opens a door."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})
"""Methods that are logged by name; a client may put any word in their place."""

REFUSALS = frozenset({401, 429})
"""Who guesses or floods is named by address; nobody else is."""

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class AccessLog:
    """Give every answer a request id and the headers that keep browsers from guessing, and log it in one line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = secrets.token_hex(8)
        status = 500

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                extra = [pair for pair in HEADERS if pair[0] not in given]
                message["headers"] = [*message["headers"], *extra, (b"x-request-id", request_id.encode())]
            elif message["type"] == "websocket.accept":
                status = 101
            elif message["type"] == "websocket.http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, marked)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            fields = {
                "request_id": request_id,
                "method": _method(scope),
                "route": route,
                "status": status,
                "ms": round((time.perf_counter() - began) * 1000, 1),
            }
            upload_id = _upload_id(scope)
            if upload_id is not None:
                fields["upload_id"] = upload_id
            if status in REFUSALS:
                fields |= {"client": (scope.get("client") or [""])[0], **scope.get("state", {}).get(STATE, {})}
            logger.info("request", extra=fields)


def _upload_id(scope: Scope) -> str | None:
    """Return the upload id of the path; None for any other text there, which may be a key that a client misplaced."""
    try:
        return str(UUID(scope.get("path_params", {}).get("upload_id", "")))
    except ValueError:
        return None


def _method(scope: Scope) -> str:
    method = str(scope.get("method", "WEBSOCKET"))
    return method if method in METHODS else "OTHER"
