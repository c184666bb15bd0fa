"""Watch uploads over the gateway's event stream, and connect again when a connection is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx

from gateway.client.aio.driver import AsyncDriver
from gateway.client.event_stream import Event, EventParser, StreamPosition

TENANT_PATH = "/v1/events"


def upload_path(upload_id: str) -> str:
    """Return the path of an upload's event stream."""
    return f"/v1/uploads/{quote(upload_id, safe='')}/events"


async def follow(
    driver: AsyncDriver, path: str, *, last_event_id: str | None, until_final: bool
) -> AsyncIterator[Event]:
    """Yield every event once, over as many connections as it takes; with *until_final*, end after a final event.

    Raises GatewayProblem, and Unreachable when every try failed.
    """
    position = StreamPosition(driver.endpoint, last_event_id)
    while True:
        async for event in _connection(driver, path, position):
            yield event
            if until_final and event.is_final:
                return
        if until_final and position.is_over:
            return
        await driver.sleep(position.delay())


async def _connection(driver: AsyncDriver, path: str, position: StreamPosition) -> AsyncIterator[Event]:
    """Yield the events of one connection; *position* records why it ended."""
    position.begin()
    parser = EventParser()
    try:
        async with driver.open_events(path, position.headers) as response:
            if response.status_code != 200:
                await response.aread()
                position.refused(response)
                return
            async for data in response.aiter_bytes():
                for event in parser.feed(data):
                    if not position.received(event):
                        return
                    yield event
    except httpx.TransportError as exc:
        position.broke(exc)
    except (KeyError, ValueError) as exc:
        raise position.unreadable() from exc
