"""Rates of requests: who is counted, for how much, and what a refusal says; with a clock that only the test moves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from starlette.requests import HTTPConnection

from gateway.api import access_log
from gateway.api.rate_limits import (
    Limits,
    caller_name,
    charge,
    count_key,
    count_stranger,
    count_token,
    require_patience,
    strangers_counted,
)
from gateway.domain.errors import TooMany, Unauthenticated
from gateway.domain.rates import BURST_SECONDS
from gateway.settings import Settings

TOKEN = UUID(int=7)
PER_KEY, PER_TOKEN, PER_ADDRESS = 3, 2, 1


class World:
    """One process, whose clock stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 10**9
        settings = SimpleNamespace(rate_per_key=PER_KEY, rate_per_token=PER_TOKEN, rate_per_address=PER_ADDRESS)
        self.limits = Limits(cast("Settings", settings), lambda: self.now)

    def request(self, host: str | None = "192.0.2.1") -> HTTPConnection:
        """Give a new request from an address."""
        app = SimpleNamespace(state=SimpleNamespace(limits=self.limits))
        client = (host, 1234) if host is not None else None
        return HTTPConnection({"type": "http", "app": app, "client": client, "state": {}, "headers": []})

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * 10**9)


@pytest.fixture
def world() -> World:
    """Give one process."""
    return World()


def _refusal(count: Any, *arguments: Any) -> TooMany:
    with pytest.raises(TooMany) as raised:
        count(*arguments)
    return raised.value


def test_g6_a_key_has_its_own_rate(world: World) -> None:
    """A minute's worth passes; then the answer says whose rate it is and when to ask again."""
    for _ in range(PER_KEY * BURST_SECONDS):
        count_key(world.request(), "key7")
    request = world.request()
    refused = _refusal(count_key, request, "key7")
    assert refused.detail == "Too many requests with this API key; try again later."
    assert refused.fields == {"retry_after": 1}
    assert getattr(request.state, access_log.STATE) == {"key_id": "key7"}
    count_key(world.request(), "key8")
    count_token(world.request(), TOKEN)


def test_g6_a_token_has_its_own_rate(world: World) -> None:
    """Beside the key's, and by the token and not by the address."""
    for number in range(PER_TOKEN * BURST_SECONDS):
        count_token(world.request(f"192.0.2.{number}"), TOKEN)
    request = world.request()
    refused = _refusal(count_token, request, TOKEN)
    assert refused.detail == "Too many requests with this upload token; try again later."
    assert getattr(request.state, access_log.STATE) == {"token_id": str(TOKEN)}
    count_token(world.request(), UUID(int=8))
    count_key(world.request(), str(TOKEN))


@pytest.mark.parametrize("kind", ["key", "token"])
def test_work_costs_units_of_whom_it_is_done_for(world: World, kind: str) -> None:
    """All that is left can be charged at once; one more unit is refused and says why."""
    request = world.request()
    per_second = PER_KEY if kind == "key" else PER_TOKEN
    if kind == "key":
        count_key(request, "key7")
    else:
        count_token(request, TOKEN)
    charge(request, per_second * BURST_SECONDS - 1)
    refused = _refusal(charge, request, 1)
    whose = "this API key" if kind == "key" else "this upload token"
    assert refused.detail == f"Too many requests with {whose}: this one costs much work; try again later."
    logged = {"key_id": "key7"} if kind == "key" else {"token_id": str(TOKEN)}
    assert getattr(request.state, access_log.STATE) == logged
    world.move(1 / per_second)
    charge(request, 1)


def test_the_wait_is_told_in_whole_seconds_rounded_up(world: World) -> None:
    """Whoever asks at that time is served."""
    request = world.request()
    count_key(request, "key7")
    charge(request, PER_KEY * BURST_SECONDS - 1)
    for units, seconds in ((1, 1), (3, 1), (4, 2), (30, 10)):
        refused = _refusal(charge, request, units)
        assert refused.fields == {"retry_after": seconds}
    world.move(10)
    charge(request, 30)


@pytest.mark.parametrize("units", [0, -1, -1000])
def test_no_work_costs_nothing(world: World, units: int) -> None:
    """A negative count gives nothing back either."""
    request = world.request()
    count_key(request, "key7")
    charge(request, PER_KEY * BURST_SECONDS - 1)
    charge(request, units)
    _refusal(charge, request, 1)


def test_one_unit_is_work(world: World) -> None:
    """The smallest charge counts."""
    request = world.request()
    count_key(request, "key7")
    for _ in range(PER_KEY * BURST_SECONDS - 1):
        charge(request, 1)
    _refusal(charge, request, 1)


def test_work_for_nobody_is_not_counted(world: World) -> None:
    """Without a key or token there is nobody to charge."""
    charge(world.request(), 10**9)


def test_a_caller_is_its_key_or_token_or_address(world: World) -> None:
    """Fair shares are given by this name."""
    key, token = world.request(), world.request()
    count_key(key, "key7")
    count_token(token, TOKEN)
    assert caller_name(key) == ("key", "key7")
    assert caller_name(token) == ("token", TOKEN)
    assert caller_name(world.request()) == ("address", "192.0.2.1")
    assert caller_name(world.request(None)) == ("address", "")


def test_g6_a_stranger_is_counted_by_address_and_kind_of_attempt(world: World) -> None:
    """A page with old tickets blocks neither a backend's keys nor another address."""
    for _ in range(PER_ADDRESS * BURST_SECONDS):
        count_stranger(world.request(), "ticket")
    refused = _refusal(count_stranger, world.request(), "ticket")
    assert refused.detail == "Too many requests without valid credentials from this address; try again later."
    assert refused.fields == {"retry_after": 1}
    count_stranger(world.request(), "key")
    count_stranger(world.request("192.0.2.2"), "ticket")


def test_patience_is_asked_for_without_counting(world: World) -> None:
    """Only who failed too often is refused, before the database is asked; asking costs nothing."""
    for _ in range(PER_ADDRESS * BURST_SECONDS - 1):
        count_stranger(world.request(), "key")
    for _ in range(3):
        require_patience(world.request(), "key")
    count_stranger(world.request(), "key")
    refused = _refusal(require_patience, world.request(), "key")
    assert refused.detail == "Too many requests without valid credentials from this address; try again later."
    require_patience(world.request(), "token")
    require_patience(world.request("192.0.2.2"), "key")
    world.move(1)
    require_patience(world.request(), "key")


def test_addresses_of_one_subscriber_are_one(world: World) -> None:
    """IPv6 gives everybody a /64 to send from."""
    for number in range(PER_ADDRESS * BURST_SECONDS):
        count_stranger(world.request(f"2001:db8::{number:x}"), "key")
    _refusal(count_stranger, world.request("2001:db8::ffff"), "key")
    count_stranger(world.request("2001:db8:0:1::1"), "key")


def test_only_failed_authentication_is_counted(world: World) -> None:
    """Success and other errors are not; over the rate the answer is TooMany in place of Unauthenticated."""
    for _ in range(2 * PER_ADDRESS * BURST_SECONDS):
        with strangers_counted(world.request(), "token"):
            pass
        with pytest.raises(ValueError, match="other"), strangers_counted(world.request(), "token"):
            raise ValueError("other")
    for _ in range(PER_ADDRESS * BURST_SECONDS):
        with pytest.raises(Unauthenticated), strangers_counted(world.request(), "token"):
            raise Unauthenticated
    with pytest.raises(TooMany), strangers_counted(world.request(), "token"):
        raise Unauthenticated


def test_the_hashes_of_good_keys_are_bounded(world: World) -> None:
    """The oldest are forgotten: they are only asked for again."""
    for number in range(20_001):
        world.limits.good_keys.put(number.to_bytes(4), True)
    assert len(world.limits.good_keys) == 20_000
