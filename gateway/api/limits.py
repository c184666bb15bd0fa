"""Bound how often a key, an upload token or an address may ask: a process counts for itself, in memory.

Who is known is counted by name, wherever the request comes from: nobody can use up the requests of another. Who is not
is counted by address, and only what failed. An address with too many failures is answered without asking the database
until it may try again; a key that was good when this process saw it last passes all the same, so that a key in use does
not suffer from a stranger at its address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from time import monotonic_ns
from uuid import UUID

from starlette.requests import HTTPConnection

from gateway.api import access_log
from gateway.domain.addresses import client_name
from gateway.domain.errors import TooMany, Unauthenticated
from gateway.domain.rates import Buckets, Recent
from gateway.settings import Settings

_STRANGER = "without a valid key or token from this address"


class Limits:
    """Hold the buckets of one process."""

    def __init__(self, settings: Settings, clock: Callable[[], int] = monotonic_ns) -> None:
        self.keys = Buckets(settings.rate_per_key, clock)
        self.tokens = Buckets(settings.rate_per_token, clock)
        self.strangers = Buckets(settings.rate_per_address, clock)
        # Hashes of whole keys: a guess that has only the id right is a stranger's.
        self.good_keys: Recent[bytes, bool] = Recent()


def limits_of(connection: HTTPConnection) -> Limits:
    """Return the limits of this process."""
    limits: Limits = connection.app.state.limits
    return limits


def count_key(connection: HTTPConnection, key_id: str) -> None:
    """Count a request with an API key; raise TooMany when it had too many."""
    _refuse_if(limits_of(connection).keys.take(key_id), connection, "with this API key", key_id=key_id)


def count_token(connection: HTTPConnection, token_id: UUID) -> None:
    """Count a request with an upload token; raise TooMany when it had too many."""
    wait = limits_of(connection).tokens.take(token_id)
    _refuse_if(wait, connection, "with this upload token", token_id=str(token_id))


def count_stranger(connection: HTTPConnection) -> None:
    """Count a request of nobody we know; raise TooMany when its address had too many."""
    _refuse_if(limits_of(connection).strangers.take(_client_of(connection)), connection, _STRANGER)


def require_patience(connection: HTTPConnection) -> None:
    """Raise TooMany, before anything is asked of the database, where strangers had too many requests already."""
    _refuse_if(limits_of(connection).strangers.wait(_client_of(connection)), connection, _STRANGER)


@contextmanager
def strangers_counted(connection: HTTPConnection) -> Iterator[None]:
    """Count what ends in Unauthenticated; raise TooMany in its place when the address had too many of them."""
    try:
        yield
    except Unauthenticated:
        count_stranger(connection)
        raise


def _client_of(connection: HTTPConnection) -> str:
    return client_name(connection.client.host) if connection.client else ""


def _refuse_if(wait_seconds: float, connection: HTTPConnection, whose: str, **logged: str) -> None:
    if wait_seconds > 0:
        setattr(connection.state, access_log.STATE, logged)
        raise TooMany(f"Too many requests {whose}; try again later.", retry_after=ceil(wait_seconds))
