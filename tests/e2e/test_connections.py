"""Clients that hold connections and send nothing: a real process with few file descriptors."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from gateway.auth.api_keys import new_key
from gateway.cli.serve import GRACE_SECONDS
from gateway.database import api_keys
from gateway.database.engine import Database
from gateway.dev.processes import free_ports
from gateway.dev.store import StoreServer
from tests.processes import Process

DRIPPING = 330
"""More connections than the process may have open files."""

Served = tuple[Process, int, str]


@pytest_asyncio.fixture
async def key(database_url: str) -> str:
    """Give an API key."""
    made = new_key()
    database = Database(database_url, pool_size=2, timeout_seconds=10)
    await database.open()
    await api_keys.add(database, key_id=made.key_id, tenant_id="acme", name="", secret_hash=made.secret_hash)
    await database.close()
    return made.text


@pytest.fixture
def served(database_url: str, store_server: StoreServer, tmp_path: Path, key: str) -> Iterator[Served]:
    """Run `gateway serve` with 300 open files."""
    port = free_ports(1)[0]
    environment = {
        "GATEWAY_PORT": str(port),
        "GATEWAY_DATABASE_URL": database_url,
        "GATEWAY_S3_ENDPOINT": store_server.endpoint,
        "GATEWAY_S3_BUCKET": store_server.bucket,
        "GATEWAY_S3_ACCESS_KEY_ID": store_server.access_key_id,
        "GATEWAY_S3_SECRET_ACCESS_KEY": store_server.secret_access_key,
    }
    with Process("serve", cwd=tmp_path, environment=environment, open_files=300) as process:
        process.wait_for("Application startup complete|startup complete|Started server process")
        yield process, port, key


@asynccontextmanager
async def _dripping(port: int, start: bytes) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Hold connections that begin with *start* and then send a byte from time to time, each again when it is closed."""

    async def drip() -> None:
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(start)
                    while not writer.is_closing():
                        await asyncio.sleep(1)
                        writer.write(b"a")
                        await writer.drain()
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0.2)

    tasks = [asyncio.create_task(drip()) for _ in range(DRIPPING)]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _answers(port: int, path: str = "/healthz") -> int:
    """Ask on a new connection, again while there is no answer: a machine at its limits may drop a first try."""
    async with httpx.AsyncClient(timeout=5) as client:
        for _ in range(40):
            with suppress(httpx.TransportError):
                return (await client.get(f"http://127.0.0.1:{port}{path}")).status_code
            await asyncio.sleep(0.25)
    raise AssertionError("no answer")


BEGINNINGS = {
    "nothing": b"",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: ",
    "a body without credentials": b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{",
    "a body with a key": b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer KEY\r\n"
    b"Content-Length: 100000\r\n\r\n{",
}


@pytest.mark.parametrize("beginning", BEGINNINGS)
async def test_j6_dripping_connections_leave_health_checks_an_answer(served: Served, beginning: str) -> None:
    """330 connections that send a byte a second, against 300 open files: `/healthz` and `/readyz` go on answering."""
    _, port, key = served
    assert await _answers(port, "/readyz") == 200
    async with _dripping(port, BEGINNINGS[beginning].replace(b"KEY", key.encode())):
        await asyncio.sleep(2)
        for path in ("/healthz", "/readyz", "/healthz"):
            assert await _answers(port, path) == 200


async def test_j6_sigterm_ends_the_process_whatever_clients_hold_open(served: Served) -> None:
    """With half heads, unread answers, dripping bodies and a waiting request open, the process ends in its grace."""
    process, port, key = served
    assert await _answers(port) == 200
    authorization = f"Authorization: Bearer {key}\r\n".encode()
    held = []
    for start in (
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: ",
        BEGINNINGS["a body with a key"].replace(b"KEY", key.encode()),
        b"POST /upload/stream HTTP/1.1\r\nHost: localhost\r\n" + authorization + b"Content-Length: 9000000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n",
        b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n" + authorization + b"\r\n",
        (b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n") * 2000,
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(start)
        held.append(writer)
    await asyncio.sleep(1)
    process.send(signal.SIGTERM)
    async with asyncio.timeout(GRACE_SECONDS + 5):
        while process.ended_early() is None:
            await asyncio.sleep(0.1)
    # uvicorn ends itself by the signal it got; 1 would be the last resort.
    assert process.ended_early() in (0, -signal.SIGTERM)
    for writer in held:
        writer.transport.abort()
