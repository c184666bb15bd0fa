"""Define web origins: scheme, host and port of a page, written as browsers write them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from publicsuffixlist import PublicSuffixList

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_WEB = re.compile(r"(https?)://(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::([1-9][0-9]{0,4}))?")
_APP = re.compile(r"([a-z][a-z0-9+.-]{1,30})://[a-z0-9._-]{1,253}(?::[1-9][0-9]{0,4})?")
"""Origin of an application's own scheme: Capacitor, Ionic, Tauri, Electron and browser extensions send such."""

_NO_APP_SCHEMES = frozenset(
    {"http", "https", "ws", "wss", "ftp", "file", "data", "blob", "about", "javascript", "mailto", "tel", "view-source"}
)
"""Schemes of documents that are no application: a browser writes their origin as `null`."""

_ANY_PORT = ":*"
_ANY_LOOPBACK_PORT = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\]):\*")
"""Every program on these hosts is on the visitor's own machine; on another host a port may belong to somebody else."""

LOOPBACK_ORIGINS = tuple(
    f"{scheme}://{host}{port}"
    for scheme in ("http", "https")
    for host in ("localhost", "127.0.0.1", "[::1]")
    for port in ("", _ANY_PORT)
)
"""Every page that a server on the visitor's own machine delivers. A browser does not write the default port."""

_AFTER_HOST = re.compile(r"[/?#]")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")


def is_origin(text: str) -> bool:
    """Return whether a browser may write *text* as a page's origin.

    False for a wildcard, `null`, a path or slash, an upper-case host and a default port: origins are compared as text.
    """
    found = _WEB.fullmatch(text)
    if found is not None:
        return found[2] != _DEFAULT_PORTS[found[1]]
    app = _APP.fullmatch(text)
    return app is not None and app[1] not in _NO_APP_SCHEMES


def is_origin_pattern(text: str) -> bool:
    """Return whether *text* is an origin with one `*`: a label (`https://*.example.com`) or a loopback host's port.

    The domain after the `*` must be one that somebody registered: `https://*.app` would allow every page below `app`.
    """
    if _ANY_LOOPBACK_PORT.fullmatch(text):
        return True
    before, star, after = text.partition("*.")
    if not star or "*" in after or not re.fullmatch(r"https?://(?:[a-z0-9-]+\.)*", before):
        return False
    domain = after.partition(":")[0]
    return is_origin(f"{before}a.{after}") and not _is_registry(domain)


def _is_registry(domain: str) -> bool:
    """Return whether anybody can register a name directly below *domain*, as below `app` or `co.uk`."""
    labels = domain.split(".")
    if "" in labels or labels[-1].isdigit():
        return True
    return _registries().publicsuffix(domain) == domain


@lru_cache(maxsize=1)
def _registries() -> PublicSuffixList:
    # Registries only: below `vercel.app` or `github.io`, which the full list has too, a team has its own names.
    return PublicSuffixList(only_icann=True)


class OriginRules:
    """Decide which origins are allowed: exact ones and patterns with one `*`, for a label or a port."""

    def __init__(self, allowed: Iterable[str]) -> None:
        texts = frozenset(allowed)
        self._exact = frozenset(text for text in texts if "*" not in text)
        self._patterns = [text.split("*", 1) for text in texts - self._exact]

    def allow(self, origin: str) -> bool:
        """Return whether pages of *origin* are allowed."""
        return origin in self._exact or any(_matches(origin, before, after) for before, after in self._patterns)


def _matches(origin: str, before: str, after: str) -> bool:
    """Return whether *origin* is *before*, exactly one label or port, and *after*."""
    if not (origin.startswith(before) and origin.endswith(after)):
        return False
    middle = origin[len(before) : len(origin) - len(after)]
    return (_LABEL if after else _PORT).fullmatch(middle) is not None


def example_of(text: str) -> str:
    """Return an origin that the origin or pattern *text* allows, for asking a store."""
    return text.replace(_ANY_PORT, ":8000").replace("*", "upload-gateway-probe")


def origin_of(text: str) -> str | None:
    """Return the origin of an address, or the probable origin of a text that is almost one; else None."""
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        scheme, rest = "https", scheme
    host = _AFTER_HOST.split(rest, maxsplit=1)[0].lower()
    if not separator and "." not in host:
        return None
    scheme = scheme.lower()
    origin = f"{scheme}://{host.removesuffix(':' + _DEFAULT_PORTS.get(scheme, ''))}"
    return origin if is_origin(origin) else None


def how_to_write(text: str) -> str:
    """Return a sentence about a *text* that is no origin: how to write it."""
    if "*" in text:
        return (
            f"{text[:100]!r} is no pattern of origins: one label may be `*`, before a domain of yours, "
            "e.g. https://*.example.com"
        )
    meant = origin_of(text)
    advice = f"write {meant}" if meant else "write it as a browser does, e.g. https://app.example.com"
    return f"{text[:100]!r} is no origin: {advice}"
