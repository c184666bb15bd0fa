"""The API in this process, on a real database and a real store, and the media to send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import httpx
import pytest_asyncio
from asgi_lifespan import LifespanManager

from gateway.api.app import create_app
from gateway.auth.api_keys import new_key
from gateway.context import Gateway
from gateway.database import api_keys
from gateway.settings import Settings
from gateway.uploads.post_uploads import complete_arrived
from tests.processes import make_mp3

MIB = 1024 * 1024


@cache
def mp3_bytes() -> bytes:
    """Give one second of real MP3."""
    with TemporaryDirectory() as folder:
        return make_mp3(Path(folder) / "tone.mp3").read_bytes()


def large_mp3(size_bytes: int) -> bytes:
    """Give a real MP3 repeated to exactly *size_bytes*; frames follow frames, so it stays one."""
    frames = mp3_bytes()
    return (frames * (size_bytes // len(frames) + 1))[:size_bytes]


@dataclass
class Api:
    """A client of the API as one tenant, with the gateway behind it in reach."""

    client: httpx.AsyncClient
    store: httpx.AsyncClient
    gateway: Gateway
    settings: Settings
    keys: dict[str, str] = field(default_factory=dict)
    app: Any = None

    async def key(self, tenant: str = "acme") -> str:
        """Give an API key of a tenant."""
        if tenant not in self.keys:
            key = new_key()
            await api_keys.add(
                self.gateway.database, key_id=key.key_id, tenant_id=tenant, name="test", secret_hash=key.secret_hash
            )
            self.keys[tenant] = key.text
        return self.keys[tenant]

    async def call(self, method: str, path: str, *, tenant: str = "acme", **options: Any) -> httpx.Response:
        """Call the API as a tenant."""
        headers = {"authorization": f"Bearer {await self.key(tenant)}", **options.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **options)

    async def create(self, body: bytes, filename: str = "tone.mp3", **more: Any) -> dict[str, Any]:
        """Create an upload for *body*."""
        wanted = {"filename": filename, "size_bytes": len(body), **more}
        answer = await self.call("POST", "/v1/uploads", json=wanted)
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    async def put(self, created: dict[str, Any], body: bytes, only: set[int] | None = None) -> list[str]:
        """PUT the parts of *body* to the store and give their ETags as the store wrote them."""
        etags = []
        for part in created["parts"]:
            if only is not None and part["part_number"] not in only:
                continue
            start = (part["part_number"] - 1) * created["part_size_bytes"]
            piece = body[start : start + part["size_bytes"]]
            sent = await self.store.put(part["url"], content=piece, headers=part["headers"])
            assert sent.status_code == 200, sent.text
            etags.append(sent.headers["etag"])
        return etags

    async def complete(self, created: dict[str, Any], **options: Any) -> httpx.Response:
        """Complete an upload."""
        return await self.call("POST", f"/v1/uploads/{created['upload_id']}/complete", **options)

    async def ready(self, body: bytes, filename: str = "tone.mp3", **more: Any) -> dict[str, Any]:
        """Take *body* the whole way to its final state."""
        created = await self.create(body, filename, **more)
        await self.put(created, body)
        answer = await self.complete(created)
        assert answer.status_code == 200, answer.text
        final: dict[str, Any] = answer.json()
        return final

    async def get(self, upload_id: str) -> dict[str, Any]:
        """Get an upload."""
        answer = await self.call("GET", f"/v1/uploads/{upload_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def arrived(self, upload_id: str) -> dict[str, Any]:
        """Look for a POST upload's file, as a worker does, and get the upload."""
        await complete_arrived(self.gateway, UUID(upload_id))
        return await self.get(upload_id)


OpenApi = Callable[..., Any]


@pytest_asyncio.fixture
async def open_api(settings: Settings) -> AsyncIterator[OpenApi]:
    """Give a function that starts the API with changed settings."""
    async with AsyncExitStack() as parts:

        async def start(*, probe_store: bool = False, **changed: Any) -> Api:
            chosen = settings.model_copy(update=changed)
            app = create_app(chosen, probe_store=probe_store)
            await parts.enter_async_context(LifespanManager(app, startup_timeout=30, shutdown_timeout=30))
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            client = await parts.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60)
            )
            store = await parts.enter_async_context(httpx.AsyncClient(timeout=60))
            return Api(client, store, app.state.gateway, chosen, app=app)

        yield start


@pytest_asyncio.fixture
async def api(open_api: OpenApi) -> Api:
    """Give the API with its default settings."""
    started: Api = await open_api()
    return started


async def gather(*calls: Any) -> list[Any]:
    """Run calls at once and give their results."""
    return list(await asyncio.gather(*calls))
