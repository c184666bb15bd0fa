"""Watch an upload over the gateway's event stream, coming back by itself when the connection is lost."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from gateway.client.errors import ClientError, GatewayProblem, NotAuthorised, Unreachable, problem_of
from gateway.client.flow import RETRIED_STATUS, Retry
from gateway.client.models import FINAL_STATES
from gateway.client.sync_client import api_options

# The gateway gives a sign of life every 15 seconds; three missed ones are a lost connection.
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
# An event is a few hundred bytes; what never ends a line is no event stream.
_MAX_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; `progress` carries bytes_received, size_bytes, bytes_per_second and seconds_left."""

    name: str
    data: Mapping[str, Any]
    event_id: str | None = None

    @property
    def is_final(self) -> bool:
        """Say whether nothing comes after it."""
        return self.name in FINAL_STATES


@dataclass(slots=True)
class _Place:
    """Where the stream is resumed, and how often in a row it could not be."""

    last_event_id: str | None = None
    failures: int = 0
    error: ClientError | None = field(default=None)
    refusal: httpx.Response | None = None


def watch(
    url: str,
    key: str,
    upload_id: str,
    *,
    retry: Retry | None = None,
    ssl_context: ssl.SSLContext | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Event]:
    """Give every event of an upload from its creation to its final state, each once, with progress between them.

    Raises GatewayProblem (of it UploadNotFound and NotAuthorised) and Unreachable after every retry; ValueError for
    an address that is none.
    """
    base, headers = api_options(url, key)
    headers["Accept"] = "text/event-stream"
    patience, place = retry or Retry(), _Place()
    verify = ssl_context if ssl_context is not None else httpx.create_ssl_context()
    with httpx.Client(base_url=base, headers=headers, timeout=_TIMEOUT, verify=verify) as client:
        while True:
            for event in _connection(client, upload_id, place):
                yield event
                if event.is_final:
                    return
            if place.failures >= patience.attempts:
                raise place.error or Unreachable("the gateway does not answer")
            pause(patience.delay(place.failures, place.refusal) if place.failures else 0)


def _connection(client: httpx.Client, upload_id: str, place: _Place) -> Iterator[Event]:
    """Give the events of one connection; what a new one may help against ends it and is noted in *place*."""
    resume = {"Last-Event-ID": place.last_event_id} if place.last_event_id else None
    place.failures += 1
    place.refusal = None
    try:
        with client.stream("GET", f"/v1/uploads/{quote(upload_id, safe='')}/events", headers=resume) as response:
            if response.status_code != 200:
                _refused(response, place)
                return
            for event in _events(response):
                if event.name == "closed":
                    _closed(event, place)
                    return
                place.failures = 0
                place.last_event_id = event.event_id or place.last_event_id
                yield event
    except httpx.TransportError as exc:
        place.error = Unreachable(f"the gateway does not answer: {type(exc).__name__}")
    except (KeyError, ValueError) as exc:
        raise Unreachable("what answered is not an upload gateway") from exc


def _refused(response: httpx.Response, place: _Place) -> None:
    response.read()
    if response.status_code < 400:
        raise Unreachable(f"what answered is not an upload gateway ({response.status_code})")
    problem: GatewayProblem = problem_of(response)
    if response.status_code not in RETRIED_STATUS:
        raise problem
    place.error, place.refusal = problem, response


def _closed(event: Event, place: _Place) -> None:
    reason = str(event.data.get("reason"))
    if reason == "unauthenticated":
        raise NotAuthorised(401, reason, "Unauthenticated", "The key was revoked.", {})
    place.error = Unreachable(f"the gateway closed the stream: {reason}")


def _events(response: httpx.Response) -> Iterator[Event]:
    """Read server-sent events as the HTML standard has them, as far as the gateway writes them."""
    fields: dict[str, str] = {}
    for line in _lines(response):
        name, _, value = line.partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
        elif not line:
            if "event" in fields:
                yield Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
            fields = {}


def _lines(response: httpx.Response) -> Iterator[str]:
    waiting = b""
    for piece in response.iter_bytes():
        *lines, waiting = (waiting + piece).split(b"\n")
        if len(waiting) > _MAX_LINE:
            raise ValueError("an endless line")
        for line in lines:
            yield line.rstrip(b"\r").decode()
