"""Limit the requests of each API key, upload token and address. Each process counts in its own memory.

A request with a valid key or token counts for that key or token, from any address: no client can use up the requests of
another. Failed authentications count for the address, separately for each kind. After too many wrong keys, further ones
from that address are refused without a database query. A key that this process has seen valid is still accepted, so
that guesses from its address do not block it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from math import ceil
from time import monotonic_ns
from typing import Literal
from uuid import UUID

from starlette.requests import HTTPConnection

from gateway.api import access_log
from gateway.domain.addresses import client_name
from gateway.domain.errors import TooMany, Unauthenticated
from gateway.domain.rates import Allowances, Recent
from gateway.settings import Settings

Attempt = Literal["nothing", "key", "token", "ticket", "event", "visit"]
"""Kind of a failed authentication. Each is counted separately: pages with old tickets must not block a backend."""


PARTS_PER_UNIT = 50
"""Parts that are signed for one unit."""

NAMED_PARTS_PER_UNIT = 250
"""Parts that are named when an upload is completed, for one unit: they are parsed, compared and stored."""

BYTES_PER_UNIT = 64 * 1024
"""Bytes of a body that are read and parsed for one unit."""

ROWS_PER_UNIT = 50
"""Rows of a list for one unit."""


class Limits:
    """Hold the allowances of one process."""

    def __init__(self, settings: Settings, clock: Callable[[], int] = monotonic_ns) -> None:
        self.keys = Allowances(settings.rate_per_key, clock)
        self.tokens = Allowances(settings.rate_per_token, clock)
        self.strangers = Allowances(settings.rate_per_address, clock)
        # Hashes of whole keys: a guess that has only the id right is a stranger's.
        self.good_keys: Recent[bytes, bool] = Recent()


def limits_of(connection: HTTPConnection) -> Limits:
    """Return the limits of this process."""
    limits: Limits = connection.app.state.limits
    return limits


def count_key(connection: HTTPConnection, key_id: str) -> None:
    """Count a request with an API key; raise TooMany when it had too many."""
    connection.state.charged = "key", key_id
    _refuse_if(limits_of(connection).keys.take(key_id), connection, "with this API key", key_id=key_id)


def count_token(connection: HTTPConnection, token_id: UUID) -> None:
    """Count a request with an upload token; raise TooMany when it had too many."""
    connection.state.charged = "token", token_id
    wait = limits_of(connection).tokens.take(token_id)
    _refuse_if(wait, connection, "with this upload token", token_id=str(token_id))


def charge(connection: HTTPConnection, units: int) -> None:
    """Count work beside the request itself against the key or token that it came with; raise TooMany.

    One unit is about 2.5 ms of CPU, as a create costs. Without a key or token nothing is counted here.
    """
    kind, name = getattr(connection.state, "charged", (None, None))
    if units <= 0 or kind is None:
        return
    if kind == "key":
        wait = limits_of(connection).keys.take(name, units)
        _refuse_if(wait, connection, "with this API key: this one costs much work", key_id=str(name))
    else:
        wait = limits_of(connection).tokens.take(name, units)
        _refuse_if(wait, connection, "with this upload token: this one costs much work", token_id=str(name))


def caller_name(connection: HTTPConnection) -> Hashable:
    """Return the key or token that a request came with, or its address."""
    return getattr(connection.state, "charged", None) or ("address", _client_of(connection))


def count_stranger(connection: HTTPConnection, attempt: Attempt) -> None:
    """Count a request of nobody we know; raise TooMany when its address had too many."""
    wait = limits_of(connection).strangers.take((attempt, _client_of(connection)))
    _refuse_if(wait, connection, "without valid credentials from this address")


def require_patience(connection: HTTPConnection, attempt: Attempt) -> None:
    """Raise TooMany, before the database is asked, where such attempts failed too often already."""
    wait = limits_of(connection).strangers.wait((attempt, _client_of(connection)))
    _refuse_if(wait, connection, "without valid credentials from this address")


@contextmanager
def strangers_counted(connection: HTTPConnection, attempt: Attempt) -> Iterator[None]:
    """Count what ends in Unauthenticated; raise TooMany in its place when the address had too many of them."""
    try:
        yield
    except Unauthenticated:
        count_stranger(connection, attempt)
        raise


def _client_of(connection: HTTPConnection) -> str:
    return client_name(connection.client.host) if connection.client else ""


def _refuse_if(wait_seconds: float, connection: HTTPConnection, whose: str, **logged: str) -> None:
    if wait_seconds > 0:
        setattr(connection.state, access_log.STATE, logged)
        raise TooMany(f"Too many requests {whose}; try again later.", retry_after=ceil(wait_seconds))
