"""Check a webhook's address and event types, and compute the times of retries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from gateway.domain.events import EventType
from gateway.domain.public_addresses import is_public

PREFIX = "upload."

EVENT_TYPES = tuple(f"{PREFIX}{kind}" for kind in EventType)
"""Event types that a webhook can receive."""

DEFAULT_EVENT_TYPES = ("upload.ready", "upload.rejected", "upload.aborted", "upload.expired")
"""The final events, which most receivers need."""

MAX_URL = 2048

PORTS = (443, 8443)
"""Ports of public addresses. A service on another port might treat a signed POST as a command."""

RETRY_SECONDS = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Waits between attempts, as in Standard Webhooks: ten attempts in 76 hours."""

MOST_JITTER = 0.1
"""Largest random share added to a wait, so that messages that failed together are not repeated together."""

GIVE_UP_FAILURES = 10
GIVE_UP_AFTER = timedelta(days=3)
"""This many failures in a row, over at least this time, switch a webhook off. A short outage never does."""

MOST_RETRY_AFTER_SECONDS = 86_400.0
"""Longest wait that a receiver may request by Retry-After."""


def check_url(text: str, *, private: bool) -> str:
    """Return *text* if a webhook may have that address; raise ValueError with the reason.

    *private* is for development: it allows http, any port and private addresses. Host names are resolved, and checked
    again, when a message is sent.
    """
    if len(text) > MAX_URL or not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        # Such characters can make two parsers see two hosts.
        raise ValueError(f"url must be printable ASCII of at most {MAX_URL} characters, without spaces and backslashes")
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise ValueError("url is not a URL") from None
    if parts.scheme not in (("https", "http") if private else ("https",)) or "://" not in text or not host:
        raise ValueError("url must begin with https:// and name a host")
    if "@" in parts.netloc or parts.fragment or "#" in text:
        raise ValueError("url must have no user, password or fragment")
    if "%" in host or host.strip(".") != host:
        raise ValueError("url must contain its host without escapes or a trailing dot")
    if not private:
        _check_public(host, port)
    return text


def _check_public(host: str, port: int | None) -> None:
    if port is not None and port not in PORTS:
        raise ValueError(f"url must use one of the ports {', '.join(map(str, PORTS))}")
    try:
        address = ip_address(host)
    except ValueError:
        return
    if not is_public(address):
        raise ValueError("url must have a host on the public internet")


def check_event_types(given: Sequence[str]) -> tuple[str, ...]:
    """Return *given* in a fixed order without duplicates; raise ValueError for an empty list or unknown types."""
    unknown = sorted(set(given) - set(EVENT_TYPES))
    if unknown or not given:
        raise ValueError(f"event_types must name some of {', '.join(EVENT_TYPES)}")
    return tuple(kind for kind in EVENT_TYPES if kind in given)


def retry_wait(attempts: int, *, jitter: float, asked_seconds: float | None, waits: Sequence[float]) -> float | None:
    """Return the seconds until the next attempt after *attempts* attempts, or None after the last one.

    *jitter* is between 0 and 1. A receiver can request a longer wait, but not a shorter one.
    """
    if attempts > len(waits):
        return None
    wait = waits[attempts - 1] * (1 + MOST_JITTER * jitter)
    return max(wait, min(asked_seconds or 0.0, MOST_RETRY_AFTER_SECONDS))
