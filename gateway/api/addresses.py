"""Build every address of this gateway that an answer contains.

The gateway may be reached below a path (`GATEWAY_PUBLIC_URL=https://example.com/media`, or mounted in another
application), with a proxy that removes this path before it forwards a request, or with one that keeps it.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.domain.addresses import is_own_host
from gateway.domain.errors import UnknownHost
from gateway.settings import Settings

_DOUBLED = re.compile(r"//+")


def root_path_of(settings: Settings) -> str:
    """Return the path below which clients reach the gateway, without a slash at its end; empty for none."""
    return urlsplit(settings.public_url or "").path.rstrip("/")


def absolute_url(request: HTTPConnection, path: str) -> str:
    """Return the full address of *path* (`/v1/…`) for a client: below GATEWAY_PUBLIC_URL, else as it was asked.

    Raises UnknownHost where GATEWAY_PUBLIC_URL is not set and the Host header may name another server: addresses with
    a token in them would send it there.
    """
    settings: Settings = request.app.state.settings
    if settings.public_url is not None:
        return f"{settings.public_url.rstrip('/')}{path}"
    server = (request.scope.get("server") or ("",))[0]
    if not is_own_host(request.url.hostname or "", (settings.host, server)):
        raise UnknownHost
    return f"{request.url.scheme}://{request.url.netloc}{location(request, path)}"


def location(request: HTTPConnection, path: str) -> str:
    """Return *path* (`/v1/…`) as a Location header gives it: an absolute path, which is right at any host name."""
    root: str = request.scope.get("root_path", "")
    return f"{root.rstrip('/')}{path}"


def route_path(scope: Scope) -> str:
    """Return the path of a request below the root path, whether or not a proxy removed the root path."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    below = path.removeprefix(root)
    return below if root and path.startswith(root) and below[:1] in ("", "/") else path


class PathCleaner:
    """Set the root path, and serve `/v1//uploads/` as `/v1/uploads`: clients join addresses with a slash too many.

    The path is corrected and not redirected: a client may drop the body or the key of a redirected request, and the
    target of a redirect from `//host` would be another host.
    """

    def __init__(self, app: ASGIApp, root_path: str = "") -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if not scope.get("root_path"):
            scope = {**scope, "root_path": self._root_path}
        path = route_path(scope)
        if path == "" and scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            await _redirect_to_root(scope, send)
            return
        clean = _DOUBLED.sub("/", path).rstrip("/") or "/"
        if clean != path:
            root = scope["path"].removesuffix(path)
            scope = {**scope, "path": f"{root}{clean}", "raw_path": None}
        await self._app(scope, receive, send)


async def _redirect_to_root(scope: Scope, send: Send) -> None:
    """Redirect `/media` to `/media/`: the page at the root loads its files by relative addresses."""
    target = f"{scope['root_path'].rstrip('/')}/".encode()
    headers = [(b"location", target), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 308, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
