"""Serve the browser module and the upload page: files of our own, read once, with headers that let nothing else in."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.api.answers import json_response
from gateway.api.rate_limits import count_stranger
from gateway.api.requests import gateway_of
from gateway.auth.api_keys import authenticate
from gateway.database import api_keys
from gateway.domain.errors import Forbidden
from gateway.domain.origins import OriginRules
from gateway.settings import Settings
from gateway.storage.address import BucketAddress
from gateway.tokens.manage import NewToken, issue_token

MODULE = "gateway-upload.js"
PAGE_FILES = ("page.css", "page.svg", "page.js", "page-card.js", "page-files.js", "page-token.js", "page-words.js")
CONFIG_MARK = "__CONFIG__"

CHECK_AGAIN = "public, max-age=300, stale-while-revalidate=86400"
"""A page gets a new module within minutes of a release and waits for it never."""
NEVER_CHANGES = "public, max-age=31536000, immutable"
ALWAYS_CHECK = "no-cache"

_TYPES = {
    "js": "text/javascript; charset=utf-8",
    "ts": "text/plain; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "svg": "image/svg+xml",
}
_ANY_PAGE = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}
"""The module is public and asks for nothing by itself, so any page may load it, isolated ones too."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file in the forms it is sent in; the hash names its content."""

    body: bytes
    compressed: bytes
    media_type: str
    digest: str

    @classmethod
    def of(cls, name: str, body: bytes) -> Asset:
        """Prepare *body*; the same bytes always give the same asset."""
        digest = hashlib.sha256(body).hexdigest()[:16]
        return cls(body, gzip.compress(body, 9, mtime=0), _TYPES[name.rpartition(".")[2]], digest)

    def answer(self, request: Request, caching: str, more: Mapping[str, str]) -> Response:
        """Answer with the bytes, compressed if the client accepts it, or with 304 if the client has them."""
        coded = "gzip" in request.headers.get("accept-encoding", "")
        # Weak: both codings are one content.
        etag = f'W/"{self.digest}"'
        headers = {
            "etag": etag,
            "cache-control": caching,
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
            **more,
        }
        if _holds(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=headers)
        if coded:
            headers["content-encoding"] = "gzip"
        return Response(self.compressed if coded else self.body, headers=headers, media_type=self.media_type)


def routes(settings: Settings) -> APIRouter:
    """Read the files and build their routes; the page only where it is switched on."""
    router = APIRouter(include_in_schema=False)
    module = _add_module(router)
    if settings.upload_page != "off":
        _add_page(router, settings, module)
    return router


def content_security_policy(settings: Settings) -> str:
    """Return a policy under which the page runs its own files, talks to gateway and store, and is framed by nobody."""
    endpoint = settings.s3_public_endpoint or settings.s3_endpoint
    store = BucketAddress.of(endpoint, settings.s3_bucket, settings.s3_addressing_style).origin
    directives = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": f"'self' {store}",
        # The module makes its hashing worker from text, so that it works from any origin.
        "worker-src": "blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in directives.items())


def _add_module(router: APIRouter) -> str:
    """Serve the module and return the name of its hashed twin."""
    module = _read(MODULE)
    types = _read("gateway-upload.d.ts")
    hashed = f"client.{module.digest}.js"

    async def client(request: Request) -> Response:
        return module.answer(request, CHECK_AGAIN, {**_ANY_PAGE, "content-location": hashed})

    async def client_for_good(request: Request) -> Response:
        return module.answer(request, NEVER_CHANGES, _ANY_PAGE)

    async def client_types(request: Request) -> Response:
        return types.answer(request, CHECK_AGAIN, _ANY_PAGE)

    for path, route in (("client.js", client), (hashed, client_for_good), ("client.d.ts", client_types)):
        router.add_api_route(f"/{path}", route, methods=["GET", "HEAD"])
    return hashed


def _add_page(router: APIRouter, settings: Settings, module: str) -> None:
    dictionaries = _dictionaries()
    config = {
        "visit": settings.upload_page,
        "extensions": list(settings.allowed_upload_extensions),
        "maxFileSize": settings.max_file_size,
        "languages": sorted(dictionaries),
    }
    html = _source("index.html").replace(CONFIG_MARK.encode(), escape(json.dumps(config)).encode())
    html = html.replace(b'"client.js"', f'"{module}"'.encode())
    page_headers = {
        "content-security-policy": content_security_policy(settings),
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }
    _add_file(router, "/", Asset.of("index.html", html), page_headers)
    # The page and the module it was made with go together: the short address may give an older one from a cache.
    served = {name: _source(name).replace(b'"./client.js"', f'"./{module}"'.encode()) for name in PAGE_FILES}
    # Browsers of 2024 import no JSON: a dictionary is served as the module that it is the value of.
    served |= {f"words.{language}.js": b"export default " + text for language, text in dictionaries.items()}
    for name, body in served.items():
        _add_file(router, f"/{name}", Asset.of(name, body), {"cross-origin-resource-policy": "same-origin"})
    if settings.upload_page == "open":
        _add_tokens(router, settings)


def _add_tokens(router: APIRouter, settings: Settings) -> None:
    key = settings.dev_key
    if key is None:
        raise ValueError("GATEWAY_UPLOAD_PAGE=open needs GATEWAY_DEV_KEY: it gives away what that key may do")

    async def give_token(request: Request) -> Response:
        _require_own_page(request, settings)
        count_stranger(request, "visit")
        gateway = gateway_of(request)
        holder = await authenticate(key.get_secret_value(), lambda key_id: api_keys.find_live(gateway.database, key_id))
        wanted = NewToken(expires_in_seconds=settings.upload_seconds, allow_download=True)
        issued = await issue_token(gateway, holder, wanted)
        return json_response({"token": issued.text, "expires_at": issued.token.expires_at}, 201)

    router.add_api_route("/page/token", give_token, methods=["POST"])


def _require_own_page(request: Request, settings: Settings) -> None:
    """Refuse every page but our own.

    Another site's page names its own origin, and so does one whose host name was pointed at this machine afterwards
    (DNS rebinding); a page of an allowed origin elsewhere is to get its token from its own backend.
    """
    origin = request.headers.get("origin", "")
    if not OriginRules(settings.allowed_origins).allow(origin) or urlsplit(origin).netloc != request.headers.get(
        "host"
    ):
        raise Forbidden("Open the page at an address that GATEWAY_ALLOWED_ORIGINS names.")


def _add_file(router: APIRouter, path: str, asset: Asset, headers: Mapping[str, str]) -> None:
    async def serve(request: Request) -> Response:
        return asset.answer(request, ALWAYS_CHECK, headers)

    router.add_api_route(path, serve, methods=["GET", "HEAD"])


def _holds(if_none_match: str, etag: str) -> bool:
    given = {item.strip().removeprefix("W/") for item in if_none_match.split(",")}
    return "*" in given or etag.removeprefix("W/") in given


def _dictionaries() -> dict[str, bytes]:
    """Return the page's words by language; each file of the folder is one."""
    folder = files("gateway.web").joinpath("words")
    return {
        file.name.removesuffix(".json"): file.read_bytes() for file in folder.iterdir() if file.name.endswith(".json")
    }


def _source(name: str) -> bytes:
    return files("gateway.web").joinpath(name).read_bytes()


def _read(name: str) -> Asset:
    return Asset.of(name, _source(name))
