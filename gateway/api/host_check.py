"""Refuse requests without exactly one well-formed Host header."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.problems import problem_response
from gateway.domain.errors import BadHost

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~-]{1,255})(?::[0-9]{1,5})?")


class HostCheck:
    """Answer 400, as RFC 9112, 3.2 requires: of two Host headers a proxy may use one and the gateway the other.

    HTTP/1.0 has no Host header; health checks of load balancers still use it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan" or _is_good(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            answer = problem_response(BadHost())
            answer.headers["connection"] = "close"
            await answer(scope, receive, send)


def _is_good(scope: Scope) -> bool:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if not hosts:
        return str(scope.get("http_version")) == "1.0"
    return len(hosts) == 1 and _HOST.fullmatch(hosts[0].decode("latin-1")) is not None
