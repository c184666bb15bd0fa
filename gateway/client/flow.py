"""Describe conversations with the gateway without doing I/O, so that one text serves the sync and the async client."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

import httpx

from gateway.client.errors import Unreachable, problem_of

T = TypeVar("T")

# 502 to 504 come from a proxy or a restarting gateway; 500 is tried again too, because every call may be made twice.
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Retry:
    """Say how often and how patiently to try: waits are random between 0 and base * 2^n, capped ("full jitter").

    Eight tries wait about 30 seconds in all on average: a store or gateway that restarts is back by then.
    """

    attempts: int = 8
    base_seconds: float = 0.5
    cap_seconds: float = 20.0
    # A server may ask for hours; past this the caller had better hear about it.
    retry_after_cap_seconds: float = 60.0

    def delay(self, failures: int, response: httpx.Response | None = None) -> float:
        """Return the seconds to wait after *failures* failures (1 and up), Retry-After first, capped."""
        asked = retry_after(response) if response is not None else None
        longest = min(self.cap_seconds, self.base_seconds * 2 ** min(failures - 1, 16))
        jitter = random.uniform(0, longest)  # noqa: S311 - spreads load, guards nothing
        if asked is None:
            return jitter
        return min(asked, self.retry_after_cap_seconds) + min(jitter, 1.0)


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds a Retry-After header asks for (a number or a date), None without a usable one."""
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
    """Describe one request to the gateway and how to read its answer; every call here may safely be made twice."""

    method: str
    path: str
    parse: Callable[[httpx.Response], T]
    json: Any = None
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    # Codes that mean "ask again in a moment" although their status does not.
    patient_codes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Send:
    """Ask the driver to send a call; it answers with a response, or with the transport error as a value."""

    call: Call[Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """Ask the driver to wait."""

    seconds: float


Step = Send | Pause
Answer = httpx.Response | httpx.TransportError | None
Flow = Generator[Step, Answer, T]


def exchange(call: Call[T], retry: Retry) -> Flow[T]:
    """Make a call, again where that may help; raise a GatewayProblem or Unreachable when it does not."""
    failures = 0
    while True:
        answer = yield Send(call)
        failures += 1
        if isinstance(answer, httpx.TransportError):
            if failures >= retry.attempts or isinstance(answer, httpx.UnsupportedProtocol):
                raise Unreachable(f"the gateway does not answer: {_reason(answer)}") from answer
            yield Pause(retry.delay(failures))
            continue
        assert answer is not None
        if answer.status_code < 400:
            return _read(call, answer)
        problem = problem_of(answer)
        again = answer.status_code in RETRIED_STATUS or problem.code in call.patient_codes
        if not again or failures >= retry.attempts:
            raise problem
        yield Pause(retry.delay(failures, answer))


def _read(call: Call[T], response: httpx.Response) -> T:
    try:
        return call.parse(response)
    except (KeyError, TypeError, ValueError) as exc:
        raise Unreachable(f"what answered is not an upload gateway ({response.status_code})") from exc


def _reason(error: httpx.TransportError) -> str:
    """Name a transport error without its request: an address could carry a secret."""
    return f"{type(error).__name__}: {error}".rstrip(": ")
