"""Read the gateway's address and key from arguments and environment, and build HTTP clients for them."""

from __future__ import annotations

import difflib
import os
import ssl
from collections.abc import Mapping
from typing import Any, TypeVar

import httpx

from gateway.client.errors import NotConfigured

Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)

URL_VARIABLE = "GATEWAY_URL"
KEY_VARIABLE = "GATEWAY_API_KEY"
MAX_PORT = 65_535
DEFAULT_URL = "http://127.0.0.1:8080"

# `complete` works for up to 20 s inside a request and `Prefer: wait` holds one for 25 s: longer than both.
API_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
# A store may write a part of 512 MiB to disk before it answers.
STORE_TIMEOUT = httpx.Timeout(60.0, connect=10.0, read=180.0, pool=None)
# A proxy that the environment names is meant for other machines. httpx would send loopback addresses to it, too.
_LOOPBACK = ("all://127.0.0.1", "all://localhost", "all://[::1]")


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL. The rest may be a secret and is never shown."""
    try:
        parsed = httpx.URL(url)
        host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    except (httpx.InvalidURL, ValueError):
        return "an unreadable address"
    return f"{parsed.scheme}://{host}{f':{parsed.port}' if parsed.port else ''}"


def read_address(url: str | None) -> str:
    """Return the gateway's base address without a final slash or `/v1`; the default comes from GATEWAY_URL.

    Raises NotConfigured for any text but an http(s) address.
    """
    text = (url if url is not None else os.environ.get(URL_VARIABLE) or DEFAULT_URL).strip()
    advice = f"Set {URL_VARIABLE}, for instance to https://uploads.example.com."
    try:
        base = httpx.URL(text)
        # httpx takes any number for a port, and the system would refuse it in every try.
        usable = base.scheme in {"http", "https"} and bool(base.host) and (base.port or 0) <= MAX_PORT
    except (httpx.InvalidURL, ValueError):
        usable = False
    if not usable:
        message = "the gateway's address must begin with http:// or https:// and name a host"
        raise NotConfigured(message, advice=advice)
    path = base.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{origin_of(text)}{path}"


def read_key(key: str | None) -> str:
    """Return the API key or upload token; the default comes from GATEWAY_API_KEY. Raises NotConfigured for none."""
    text = (key if key is not None else os.environ.get(KEY_VARIABLE, "")).strip()
    if not text or not text.isascii() or not text.isprintable():
        problem = "the API key has characters that no key has" if text else f"an API key is needed{_similar_variable()}"
        raise NotConfigured(problem, advice=f"Set {KEY_VARIABLE}, or pass `key`. `gateway keys create` makes one.")
    return text


def _similar_variable() -> str:
    """Return a note about an environment variable whose name looks like a misspelt GATEWAY_API_KEY, or nothing."""
    similar = difflib.get_close_matches(KEY_VARIABLE, [name for name in os.environ if name != KEY_VARIABLE], 1, 0.8)
    return f" ({similar[0]} is set: is its name misspelt?)" if similar else ""


def api_headers(key: str) -> dict[str, str]:
    """Return the headers of every request to the gateway; the store gets none of them."""
    return {"Authorization": f"Bearer {key}", "Accept": "application/json"}


def http_options(proxy: str | httpx.Proxy | None, ssl_context: ssl.SSLContext | None, parallel: int) -> dict[str, Any]:
    """Return the options of an httpx client for the gateway and the store."""
    options: dict[str, Any] = {
        # A redirect could carry the API key to another server, and a part's signature is for one address.
        "follow_redirects": False,
        "verify": ssl_context if ssl_context is not None else httpx.create_ssl_context(),
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=max(parallel, 4)),
    }
    if proxy is not None:
        return options | {"proxy": proxy}
    mounts: Mapping[str, None] = dict.fromkeys(_LOOPBACK)
    return options | {"mounts": mounts}


def make_http(kind: type[Http], options: Mapping[str, Any]) -> Http:
    """Make an httpx client; raise NotConfigured where a proxy of the arguments or the environment cannot be used."""
    try:
        return kind(**options)
    except (ValueError, ImportError, httpx.InvalidURL) as exc:
        advice = "Check the proxy in HTTP_PROXY, HTTPS_PROXY and ALL_PROXY."
        raise NotConfigured(f"the HTTP client cannot be made: {exc}", advice=advice) from exc
