"""Give each request the address of its client where it came through a proxy that the operator named."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.domain.addresses import address_of, client_behind, is_in, network_of

_SECURE = {"http": "https", "ws": "wss"}


class ClientAddress:
    """Set client and scheme by X-Forwarded-For and X-Forwarded-Proto of trusted proxies.

    uvicorn's own implementation is switched off: it trusts every process of this machine, and accepts any text as an
    address.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        self._app = app
        self._trusted = [network_of(text) for text in trusted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "lifespan":
            self._read(scope)
        await self._app(scope, receive, send)

    def _read(self, scope: Scope) -> None:
        peer = address_of((scope.get("client") or ("", 0))[0])
        if peer is None or not is_in(peer, self._trusted):
            return
        headers = Headers(scope=scope)
        client = client_behind(peer, ",".join(headers.getlist("x-forwarded-for")), self._trusted)
        scope["client"] = (str(client), 0)
        # Of several values the last one counts: a client can write the values before it.
        if headers.getlist("x-forwarded-proto")[-1:] in (["https"], ["wss"]):
            scope["scheme"] = _SECURE.get(scope["scheme"], scope["scheme"])
