"""Say what an origin is: scheme, host and port of a page, written as browsers write them."""

from __future__ import annotations

import re

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_ORIGIN = re.compile(r"(https?)://(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::([1-9][0-9]{0,4}))?")
_AFTER_HOST = re.compile(r"[/?#]")


def is_origin(text: str) -> bool:
    """Say whether a browser may write *text* as a page's origin.

    No wildcard, `null`, path or slash, upper case host or default port is one: origins are compared as texts.
    """
    found = _ORIGIN.fullmatch(text)
    return found is not None and found[2] != _DEFAULT_PORTS[found[1]]


def origin_of(text: str) -> str | None:
    """Return the origin of an address, or what was probably meant by a text that is almost one; None for no idea."""
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
    """Return a sentence about a *text* that is no origin: what to write instead."""
    meant = origin_of(text)
    advice = f"write {meant}" if meant else "write it as a browser does, e.g. https://app.example.com"
    return f"{text[:100]!r} is no origin: {advice}"
