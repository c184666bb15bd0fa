"""Serve the API on a real socket in this process, and read its event streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import uvicorn

from gateway.api.app import create_app
from gateway.cli.http_protocol import GatewayProtocol
from gateway.cli.serve import StreamingServer, listen
from gateway.settings import Settings
from tests.api.conftest import Api

STORY = ["created", "completing", "validating", "ready"]


class _Server(StreamingServer):
    @contextmanager
    def capture_signals(self) -> Any:
        """Leave the signals to pytest."""
        yield


@dataclass
class LiveApi(Api):
    """The API with an address, so that streams are real."""

    server: uvicorn.Server = field(kw_only=True)
    port: int = field(kw_only=True)

    @property
    def address(self) -> str:
        """Give its address."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def serve(settings: Settings, keys: dict[str, str] | None = None) -> AsyncIterator[LiveApi]:
    """Run the API on a free port."""
    app = create_app(settings, probe_store=False)
    with listen("127.0.0.1", 0) as listener:
        config = uvicorn.Config(
            app, http=GatewayProtocol, log_config=None, access_log=False, timeout_graceful_shutdown=20
        )
        server = _Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            assert not running.done(), running.exception()
            await asyncio.sleep(0.01)
        port = listener.getsockname()[1]
        limits = httpx.Limits(max_connections=None)
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, limits=limits) as client,
            httpx.AsyncClient(timeout=60) as store,
        ):
            api = LiveApi(client, store, app.state.gateway, settings, server=server, port=port)
            api.keys.update(keys or {})
            try:
                yield api
            finally:
                server.should_exit = True
                await running


@dataclass(frozen=True)
class Seen:
    """One event as it came."""

    id: str | None
    event: str
    data: dict[str, Any]


class Stream:
    """An open event stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.comments = 0
        self.last_event_id: str | None = None
        self._lines = response.aiter_lines()

    async def opened(self) -> str:
        """Read until the stream has begun; give the id that it begins behind."""
        async for line in self._lines:
            if line.startswith("id: "):
                self.last_event_id = line.removeprefix("id: ")
                return self.last_event_id
        raise AssertionError("the stream ended at once")

    async def comment(self) -> None:
        """Wait for a sign of life."""
        async for line in self._lines:
            assert not line.startswith("id: "), f"an event came first: {line}"
            if line.startswith(":"):
                return
        raise AssertionError("the stream ended")

    async def next(self) -> Seen | None:
        """Wait for the next event; None at the end."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
                if name == "id":
                    self.last_event_id = value
            elif "event" in fields:
                return Seen(fields.get("id"), fields["event"], json.loads(fields["data"]))
        return None

    async def fact(self) -> Seen | None:
        """Wait for the next event of the log."""
        while (seen := await self.next()) is not None and seen.id is None and seen.event == "progress":
            pass
        return seen

    async def until(self, event: str) -> list[Seen]:
        """Collect events of the log up to and with *event*."""
        found = []
        while (seen := await self.fact()) is not None:
            found.append(seen)
            if seen.event == event:
                return found
        raise AssertionError(f"the stream ended before {event}: {[one.event for one in found]}")

    async def rest(self) -> list[Seen]:
        """Collect events of the log to the end of the stream."""
        found = []
        while (seen := await self.fact()) is not None:
            found.append(seen)
        return found


@asynccontextmanager
async def watching(
    api: Api, path: str, *, tenant: str = "acme", after: str | None = None, **options: Any
) -> AsyncIterator[Stream]:
    """Open an event stream with an API key."""
    headers = {"authorization": f"Bearer {await api.key(tenant)}"}
    if after is not None:
        headers["last-event-id"] = after
    async with api.client.stream("GET", path, headers=headers, **options) as response:
        if response.status_code != 200:
            await response.aread()
        assert response.status_code == 200, response.text
        yield Stream(response)


def of(created: dict[str, Any]) -> str:
    """Give the path of an upload's stream."""
    return f"/v1/uploads/{created['upload_id']}/events"


async def logged(api: Api, tenant: str = "acme") -> list[tuple[str, str]]:
    """Give the log of a tenant as it is in the database, in the order of transactions: upload id and type."""
    rows = await api.gateway.database.fetch_all(
        "SELECT upload_id, type FROM events WHERE tenant_id = %(tenant)s ORDER BY transaction_id, id",
        {"tenant": tenant},
    )
    return [(str(row["upload_id"]), row["type"]) for row in rows]


async def eventually(check: Callable[[], bool]) -> None:
    """Return once *check* holds."""
    while True:
        if check():
            return
        await asyncio.sleep(0.01)


async def cut_listeners(url: str) -> int:
    """Cut every connection that listens for wake-ups; give how many there were."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND (query LIKE 'LISTEN %' OR query = 'SELECT 1')"
        )
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0])
