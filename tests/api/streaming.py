"""A real uvicorn in this process, and senders that say exactly what they are told to."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from asgi_lifespan import LifespanManager

from gateway.api.app import create_app
from gateway.cli.http_protocol import GatewayProtocol
from gateway.maintenance.sweep import sweep
from gateway.settings import Settings
from gateway.storage.admin import multipart_uploads_of
from gateway.storage.errors import NoSuchKey
from tests.api.conftest import Api
from tests.store.objects import read_object

BOUNDARY = b"xYzZy42"


def form_body(
    file: bytes,
    filename: str = "tone.mp3",
    content_type: str = "audio/mpeg",
    before: dict[str, str] | None = None,
    after: dict[str, str] | None = None,
    boundary: bytes = BOUNDARY,
) -> bytes:
    """Write a form as curl does."""

    def fields(given: dict[str, str] | None) -> bytes:
        line = b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        return b"".join(line % (boundary, name.encode(), value.encode()) for name, value in (given or {}).items())

    head = b'--%s\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\nContent-Type: %s\r\n\r\n' % (
        boundary,
        filename.encode(),
        content_type.encode(),
    )
    return fields(before) + head + file + b"\r\n" + fields(after) + b"--%s--\r\n" % boundary


class Sent:
    """A raw answer."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1]) if lines[0] else 0
        self.sent_bytes = 0
        self.headers = dict(line.lower().split(": ", 1) for line in lines[1:])

    def json(self) -> dict[str, Any]:
        """Read the body."""
        told: dict[str, Any] = json.loads(self.body)
        return told


class Served:
    """The API behind a real server."""

    def __init__(self, api: Api, port: int, key: str, client: httpx.AsyncClient) -> None:
        self.api = api
        self.port = port
        self.key = key
        self.client = client

    @asynccontextmanager
    async def as_tenant(self, tenant: str) -> AsyncIterator[Served]:
        """Give the same server with another tenant's key."""
        key = await self.api.key(tenant)
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=self.client.base_url, headers=headers) as client:
            yield Served(self.api, self.port, key, client)

    async def form(self, file: bytes, filename: str = "tone.mp3", **fields: str) -> httpx.Response:
        """Send a form with an ordinary client."""
        return await self.client.post(
            "/upload/stream", files={"file": (filename, file, "audio/mpeg")}, data=fields, timeout=60
        )

    async def raw(
        self,
        pieces: Iterable[bytes],
        *,
        path: str = "/upload/stream",
        method: str = "POST",
        headers: Iterable[str] | None = None,
        pause: float = 0.0,
        answer_seconds: float = 30.0,
    ) -> Sent:
        """Send bytes as they are and read the answer to its end; no header is added but Host and Authorization."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {self.key}",
            *(headers or []),
        ]
        sent_bytes = 0
        try:
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
            reading = asyncio.create_task(self._read(reader))
            with suppress(ConnectionError):
                for piece in pieces:
                    if reading.done():
                        break
                    writer.write(piece)
                    await writer.drain()
                    sent_bytes += len(piece)
                    if pause:
                        await asyncio.sleep(pause)
            answer = await asyncio.wait_for(reading, answer_seconds)
            answer.sent_bytes = sent_bytes
            return answer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def raw_form(self, body: bytes | list[bytes], *, content_type: str | None = None, **options: Any) -> Sent:
        """Send a form's bytes with a true Content-Length."""
        pieces = [body] if isinstance(body, bytes) else body
        length = sum(len(piece) for piece in pieces)
        kind = f"multipart/form-data; boundary={BOUNDARY.decode()}" if content_type is None else content_type
        return await self.raw(pieces, headers=[f"Content-Type: {kind}", f"Content-Length: {length}"], **options)

    async def _read(self, reader: asyncio.StreamReader) -> Sent:
        data = b""
        with suppress(ConnectionError):
            while chunk := await reader.read(65536):
                data += chunk
                head, found, body = data.partition(b"\r\n\r\n")
                for line in head.lower().split(b"\r\n"):
                    if found and line.startswith(b"content-length: ") and len(body) >= int(line.split()[1]):
                        return Sent(data)
        return Sent(data)

    async def kept(self, told: dict[str, Any]) -> bytes:
        """Give the bytes that store or disk hold."""
        if "path" in told:
            return Path(told["path"]).read_bytes()
        return await read_object(self.api.gateway.store, told["object_key"])

    async def assert_nothing_left(self) -> None:
        """Check that no upload is open or ready and neither store nor disk holds anything of any."""
        assert self.all_files() == []
        for upload in await self.uploads():
            assert upload["state"] in ("aborted", "expired", "rejected"), upload
            found = await self.api.gateway.database.fetch_one(
                "SELECT object_key, cleanup_pending FROM uploads WHERE id = %(id)s", {"id": upload["upload_id"]}
            )
            assert found is not None
            assert not found["cleanup_pending"]
            assert await multipart_uploads_of(self.api.gateway.store_config, found["object_key"]) == []
            with pytest.raises(NoSuchKey):
                await self.api.gateway.store.head_object(found["object_key"])

    async def uploads(self) -> list[dict[str, Any]]:
        """List the tenant's uploads."""
        answer = await self.client.get("/v1/uploads")
        found: list[dict[str, Any]] = answer.json()["uploads"]
        return found

    async def only_upload(self) -> dict[str, Any]:
        """Wait for the upload of a form that is coming in."""
        for _ in range(200):
            if found := await self.uploads():
                return found[0]
            await asyncio.sleep(0.05)
        raise AssertionError("no upload was created")

    async def swept(self) -> None:
        """Sweep once, as the worker does, with every wait over."""
        await self.api.gateway.database.execute("UPDATE uploads SET updated_at = now() - interval '1 day'", {})
        await sweep(self.api.gateway)

    def temporary_files(self) -> list[str]:
        """Name what was not given its final name."""
        folder = self.api.settings.upload_dir
        return sorted(path.name for path in folder.glob("*.tmp"))

    def all_files(self) -> list[str]:
        """Name everything in the folder of kept files."""
        folder = self.api.settings.upload_dir
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[Api]:
    """Run the API with *settings* in this process."""
    app = create_app(settings, probe_store=False)
    async with LifespanManager(app, startup_timeout=30, shutdown_timeout=30), httpx.AsyncClient() as store:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield Api(client, store, app.state.gateway, settings)


@asynccontextmanager
async def serve(api: Api, **options: Any) -> AsyncIterator[Served]:
    """Serve *api* with uvicorn, as `gateway serve` does."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = api.client._transport.app  # type: ignore[attr-defined]
    config = uvicorn.Config(app, http=GatewayProtocol, log_config=None, access_log=False, lifespan="off", **options)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        port = listener.getsockname()[1]
        while not server.started:
            await asyncio.sleep(0.01)
        key = await api.key()
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            yield Served(api, port, key, client)
    finally:
        server.should_exit = True
        await task
        listener.close()
