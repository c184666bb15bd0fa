"""Describe requests to the gateway without doing I/O: the same flow drives the sync and the async client."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

import httpx

from gateway.client.address import origin_of
from gateway.client.errors import Unreachable, problem_of

T = TypeVar("T")

# A proxy or a gateway that restarts answers 502 to 504. A 500 is retried too, because every call may be repeated.
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Retry:
    """Set how often to try and how long to wait: random waits between 0 and base * 2^n seconds, capped ("full jitter").

    The default of eight tries waits about 30 seconds in all: a store or gateway that restarts is back by then.
    """

    attempts: int = 8
    base_seconds: float = 0.5
    cap_seconds: float = 20.0
    # A server may ask for hours. Beyond this cap the caller gets an error sooner.
    retry_after_cap_seconds: float = 60.0

    def delay(self, failures: int, response: httpx.Response | None = None) -> float:
        """Return the seconds to wait after *failures* failures (1 and up); Retry-After comes first, capped."""
        asked = retry_after(response) if response is not None else None
        longest = min(self.cap_seconds, self.base_seconds * 2 ** min(failures - 1, 16))
        jitter = random.uniform(0, longest)  # noqa: S311 - spreads load, protects nothing
        if asked is None:
            return jitter
        return min(asked, self.retry_after_cap_seconds) + min(jitter, 1.0)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Hold the gateway's base address, and how often to try it."""

    address: str
    retry: Retry


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that a Retry-After header asks for (a number or a date), None without a usable one."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """Describe one request to the gateway and how to read its answer. Every call here may safely be repeated."""

    method: str
    path: str
    parse: Callable[[httpx.Response], T]
    json: Any = None
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    # How long the gateway may take to answer, seconds, where this is longer than the client's timeout.
    read_seconds: float = 0.0
    # Seconds after which the caller continues without the answer, where this is shorter than the client's timeout.
    longest_seconds: float | None = None
    # Codes that mean "try again soon" although their status does not.
    retried_codes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Send:
    """Ask the driver to send a call. It returns the response, or the transport error as a value."""

    call: Call[Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """Ask the driver to wait; `waiting_for` is the address that did not answer, None for a planned wait."""

    seconds: float
    waiting_for: str | None = None


Step = Send | Pause
Answer = httpx.Response | httpx.TransportError | None
Flow = Generator[Step, Answer, T]


def exchange(call: Call[T], endpoint: Endpoint) -> Flow[T]:
    """Make a call and retry it where that may help; raise a GatewayProblem or Unreachable when it does not."""
    failures = 0
    retry = endpoint.retry
    while True:
        answer = yield Send(call)
        failures += 1
        if isinstance(answer, httpx.TransportError):
            if failures >= retry.attempts or isinstance(answer, httpx.UnsupportedProtocol):
                raise unreachable(endpoint.address, answer) from answer
            yield Pause(retry.delay(failures), endpoint.address)
            continue
        assert answer is not None
        if answer.status_code < 400:
            return _read(call, answer, endpoint.address)
        problem = problem_of(answer, endpoint.address)
        again = answer.status_code in RETRIED_STATUS or problem.code in call.retried_codes
        if not again or failures >= retry.attempts:
            raise problem
        yield Pause(retry.delay(failures, answer), endpoint.address)


def unreachable(address: str, error: httpx.TransportError, who: str = "the gateway") -> Unreachable:
    """Return the error for a server that does not answer, with what to do about this kind of failure."""
    reason = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, httpx.ProxyError):
        advice = "Check the proxy in HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, or add the host to NO_PROXY."
    elif "CERTIFICATE" in reason.upper():
        advice = "Set SSL_CERT_FILE, or pass `ssl_context`, so that the certificate's authority is trusted."
    elif who == "the gateway":
        advice = "Check that the gateway runs there and that the address (GATEWAY_URL) is right."
    else:
        advice = "Check that this machine can reach the store, then try again."
    return Unreachable(f"{who} does not answer ({reason})", address=address, advice=advice)


def not_a_gateway(address: str, response: httpx.Response) -> Unreachable:
    """Return the error for an answer that no upload gateway gives."""
    advice = "Check the address (GATEWAY_URL)."
    if response.is_redirect:
        advice = f"It redirects to {origin_of(response.headers.get('location', ''))}: use that address."
    return Unreachable(
        f"this is not an upload gateway (it answered {response.status_code})", address=address, advice=advice
    )


def _read(call: Call[T], response: httpx.Response, address: str) -> T:
    if response.is_redirect:
        raise not_a_gateway(address, response)
    try:
        return call.parse(response)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise not_a_gateway(address, response) from exc
