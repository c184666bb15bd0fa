# Generated from gateway/client/aio by `make sync-client`: change that file.
"""Watch uploads over the gateway's event stream, and connect again when a connection is lost."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import httpx

from gateway.client.event_stream import Event, EventParser, StreamPosition
from gateway.client.sync.driver import Driver

TENANT_PATH = "/v1/events"


def upload_path(upload_id: str) -> str:
    """Return the path of an upload's event stream."""
    return f"/v1/uploads/{quote(upload_id, safe='')}/events"


def follow(driver: Driver, path: str, *, last_event_id: str | None, until_final: bool) -> Iterator[Event]:
    """Yield every event once, over as many connections as it takes; with *until_final*, end after a final event.

    Raises GatewayProblem, and Unreachable when every try failed.
    """
    position = StreamPosition(driver.endpoint, last_event_id)
    while True:
        for event in _connection(driver, path, position):
            yield event
            if until_final and event.is_final:
                return
        if until_final and position.is_over:
            return
        driver.sleep(position.delay())


def _connection(driver: Driver, path: str, position: StreamPosition) -> Iterator[Event]:
    """Yield the events of one connection; *position* records why it ended."""
    position.begin()
    parser = EventParser()
    try:
        with driver.open_events(path, position.headers) as response:
            if response.status_code != 200:
                response.read()
                position.refused(response)
                return
            for data in response.iter_bytes():
                for event in parser.feed(data):
                    if not position.received(event):
                        return
                    yield event
    except httpx.TransportError as exc:
        position.broke(exc)
    except (KeyError, ValueError) as exc:
        raise position.unreadable() from exc
