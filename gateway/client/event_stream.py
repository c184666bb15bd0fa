"""Read server-sent events without doing I/O, and decide where and when to connect again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from gateway.client.errors import ClientError, GatewayProblem, NotAuthorised, Unreachable, problem_of
from gateway.client.flow import RETRIED_STATUS, Endpoint, not_a_gateway, unreachable
from gateway.client.models import FINAL_STATES

# The gateway sends a heartbeat every 15 seconds. Three missed heartbeats mean a lost connection.
EVENT_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
# An event has a few hundred bytes. A longer line is no event stream.
_MAX_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Event:
    """Describe one event; `progress` has bytes_received, size_bytes, bytes_per_second and seconds_left in `data`."""

    name: str
    data: Mapping[str, Any]
    event_id: str | None = None

    @property
    def is_final(self) -> bool:
        """Tell whether no event of this upload can follow."""
        return self.name in FINAL_STATES

    @property
    def upload_id(self) -> str | None:
        """Return the upload that the event is about."""
        return self.data.get("upload_id")


class EventParser:
    """Turn the bytes of one connection into events, as far as the gateway uses the HTML standard's format."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, str] = {}

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that *data* ends; raise KeyError or ValueError for any other format."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MAX_LINE:
            raise ValueError("the line has no end")
        for line in lines:
            name, _, value = line.rstrip(b"\r").decode().partition(":")
            if name:
                self._fields[name] = value.removeprefix(" ")
            elif line.strip() == b"":
                fields, self._fields = self._fields, {}
                if "event" in fields:
                    yield Event(fields["event"], json.loads(fields["data"]), fields.get("id"))


@dataclass(slots=True)
class StreamPosition:
    """Hold where to resume an event stream, and how often in a row it failed."""

    endpoint: Endpoint
    last_event_id: str | None = None
    failures: int = 0
    response: httpx.Response | None = None
    error: ClientError | None = None
    # The gateway answered 204: no event can follow the last one.
    is_over: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of the next connection."""
        resume = {"Last-Event-ID": self.last_event_id} if self.last_event_id else {}
        return {"Accept": "text/event-stream", **resume}

    def begin(self) -> None:
        """Record that a connection is tried."""
        self.failures += 1
        self.response = None

    def received(self, event: Event) -> bool:
        """Record an event; return False for the gateway's notice that it closes this connection."""
        if event.name == "closed":
            self._closed(event)
            return False
        self.failures = 0
        self.last_event_id = event.event_id or self.last_event_id
        return True

    def refused(self, response: httpx.Response) -> None:
        """Record a response that is no event stream (its body was read); raise where another try cannot help."""
        if response.status_code == 204:
            self.is_over = True
            return
        if response.status_code < 400:
            raise not_a_gateway(self.endpoint.address, response)
        problem: GatewayProblem = problem_of(response, self.endpoint.address)
        if response.status_code not in RETRIED_STATUS:
            raise problem
        self.error, self.response = problem, response

    def broke(self, error: httpx.TransportError) -> None:
        """Record a connection that broke."""
        self.error = unreachable(self.endpoint.address, error)

    def unreadable(self) -> Unreachable:
        """Return the error for bytes that are no event stream."""
        message = "this is not an upload gateway (its event stream cannot be read)"
        return Unreachable(message, address=self.endpoint.address, advice="Check the address (GATEWAY_URL).")

    def delay(self) -> float:
        """Return the seconds to wait before the next connection; raise the last error after every try."""
        retry = self.endpoint.retry
        if self.failures >= retry.attempts:
            raise self.error or Unreachable("the gateway does not answer", address=self.endpoint.address)
        return retry.delay(self.failures, self.response) if self.failures else 0.0

    def _closed(self, event: Event) -> None:
        reason = str(event.data.get("reason"))
        address = self.endpoint.address
        if reason == "unauthenticated":
            advice = "Use another API key."
            raise NotAuthorised(
                401, reason, "Unauthenticated", "The key was revoked", {}, address=address, advice=advice
            )
        self.error = Unreachable(f"the gateway closed the event stream ({reason})", address=address)
