"""A proxy before the store that holds one call, so that a test can kill the caller right there."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import aiohttp
from aiohttp import web
from yarl import URL

WAIT_SECONDS = 60.0
Moment = Literal["before", "after", "slow_down", "reset", "denied", "too_large", "missing", "mute", "hang"]
ANSWERS: dict[str, tuple[int, bytes]] = {
    "slow_down": (503, b"<Error><Code>SlowDown</Code></Error>"),
    "denied": (403, b"<Error><Code>AccessDenied</Code></Error>"),
    "too_large": (400, b"<Error><Code>EntityTooLarge</Code></Error>"),
    "missing": (404, b"404 page not found"),
}


def operation_of(method: str, query: str, ranged: bool) -> str:
    """Name the S3 operation of a request."""
    names = {part.partition("=")[0] for part in query.split("&")}
    if method == "POST":
        return "CreateMultipartUpload" if "uploads" in names else "CompleteMultipartUpload"
    if method == "GET":
        return "ListParts" if "uploadId" in names else ("GetObject" if ranged else "Other")
    if method == "DELETE":
        return "AbortMultipartUpload" if "uploadId" in names else "DeleteObject"
    return {"HEAD": "HeadObject", "PUT": "UploadPart"}.get(method, "Other")


class HoldingProxy:
    """Forward everything to the store, except the calls of one operation.

    The first is held, before it is sent or after its answer. Or each is, until `let_go`: cut off, done and not told
    what came of it (mute), never answered (hang), or answered as ANSWERS says; missing is the 404 of a proxy, not of a
    store. *accept_encoding* replaces this header on the way to the store; None strips it.
    """

    def __init__(
        self, target: str, operation: str, moment: Moment, *, accept_encoding: str | None = "unchanged"
    ) -> None:
        self._target = target.rstrip("/")
        self._operation = operation
        self._moment: Moment = moment
        self._accept_encoding = accept_encoding
        self._let_go = asyncio.Event()
        self._held = threading.Event()
        self._loop = asyncio.new_event_loop()
        self.address = ""
        self.seen: list[str] = []
        self.paths: list[str] = []

    def wait_until_held(self) -> None:
        """Wait until the call is held."""
        assert self._held.wait(WAIT_SECONDS), f"{self._operation} never came; seen: {self.seen}"

    def let_go(self) -> None:
        """Drop the held call and forward everything from now on."""
        self._loop.call_soon_threadsafe(self._let_go.set)

    @contextmanager
    def running(self) -> Iterator[HoldingProxy]:
        """Serve on a free port of this machine until the block ends."""
        started = threading.Event()
        stop = asyncio.Event()
        thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve(started, stop)))
        thread.start()
        assert started.wait(WAIT_SECONDS)
        try:
            yield self
        finally:
            self.let_go()
            self._loop.call_soon_threadsafe(stop.set)
            thread.join(WAIT_SECONDS)
            self._loop.close()

    async def _serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            self.address = f"http://127.0.0.1:{port}"
            started.set()
            await stop.wait()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        if "/probe-" in request.path:
            # The probes at the gateway's start are no step of any upload.
            return await self._forward(request)
        operation = operation_of(request.method, request.query_string, "range" in request.headers)
        self.seen.append(operation)
        self.paths.append(request.path)
        mine = operation == self._operation and not self._held.is_set()
        failing = operation == self._operation and not self._let_go.is_set()
        if failing and (fault := await self._fail(request)) is not None:
            return fault
        if mine and self._moment == "before":
            return await self._hold()
        response = await self._forward(request)
        return await self._hold() if mine else response

    async def _fail(self, request: web.Request) -> web.Response | None:
        if self._moment == "reset" and request.transport is not None:
            request.transport.abort()
            return web.Response(status=503)
        if self._moment == "mute":
            await self._forward(request)
            return web.Response(body=b"<Result/>")
        if self._moment == "hang":
            return await self._hold()
        if self._moment in ANSWERS:
            status, body = ANSWERS[self._moment]
            return web.Response(status=status, body=body)
        return None

    async def _hold(self) -> web.Response:
        self._held.set()
        await self._let_go.wait()
        return web.Response(status=503)

    async def _forward(self, request: web.Request) -> web.Response:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("connection", "transfer-encoding")}
        if self._accept_encoding != "unchanged":
            headers = {name: value for name, value in headers.items() if name.lower() != "accept-encoding"}
            headers |= {} if self._accept_encoding is None else {"Accept-Encoding": self._accept_encoding}
        url = URL(f"{self._target}{request.rel_url.raw_path_qs}", encoded=True)
        body = await request.read()
        data = io.BytesIO(body) if body else None
        options = {"headers": headers, "data": data, "skip_auto_headers": ["Accept-Encoding"]}
        async with self._session.request(request.method, url, **options) as answer:
            kept = {
                k: v
                for k, v in answer.headers.items()
                if k.lower() not in ("transfer-encoding", "connection", "content-length")
            }
            content = await answer.read()
            if request.method == "HEAD":
                kept["Content-Length"] = answer.headers.get("Content-Length", "0")
            return web.Response(status=answer.status, headers=kept, body=content)
