"""Run the gateway inside an ASGI application of your own: FastAPI, Starlette, Django.

    media = gateway_app(Settings(), authenticate=authenticate)
    app = FastAPI(lifespan=media.lifespan)
    app.mount("/media", media)

Use cases can be called without HTTP too: `gateway.bootstrap.open_gateway`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.app import create_app
from gateway.api.requests import Authenticate
from gateway.domain.principal import Principal
from gateway.jobs.worker import run_worker
from gateway.settings import Settings

__all__ = ["Authenticate", "GatewayApp", "Principal", "Settings", "gateway_app"]


class GatewayApp:
    """The gateway as an ASGI application for mounting; run `lifespan` with the lifespan of the outer application."""

    def __init__(self, settings: Settings, authenticate: Authenticate | None = None, *, run_jobs: bool = False) -> None:
        self._settings = settings
        self._app = create_app(settings, authenticate=authenticate)
        self._run_jobs = run_jobs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        await self._app(scope, receive, send)

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """Open the gateway, and run the worker as a task when it was asked for; close both at the end."""
        async with self._app.router.lifespan_context(self._app):
            stop = asyncio.Event()
            worker = asyncio.create_task(run_worker(self._settings, stop)) if self._run_jobs else None
            try:
                yield
            finally:
                stop.set()
                if worker is not None:
                    await worker

    def beside(self, other: ASGIApp, path: str) -> ASGIApp:
        """Return an application that serves the gateway below *path* and everything else by *other*.

        For frameworks that have no mounts and no lifespan, such as Django.
        """
        prefix = f"/{path.strip('/')}"

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await self._serve_lifespan(receive, send)
            elif scope["path"] == prefix or scope["path"].startswith(f"{prefix}/"):
                await self._app({**scope, "root_path": f"{scope.get('root_path', '')}{prefix}"}, receive, send)
            else:
                await other(scope, receive, send)

        return application

    async def _serve_lifespan(self, receive: Receive, send: Send) -> None:
        """Answer the server's lifespan messages: start before the first request, stop after the last one."""
        await receive()
        try:
            async with self.lifespan():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception:
            # The server prints its own line; without an answer it would wait for the start for ever.
            with suppress(RuntimeError):
                await send({"type": "lifespan.startup.failed", "message": "the upload gateway did not start"})
            raise
        await send({"type": "lifespan.shutdown.complete"})


def gateway_app(settings: Settings, authenticate: Authenticate | None = None, *, run_jobs: bool = False) -> GatewayApp:
    """Return the gateway for mounting in another application.

    *authenticate* is asked first, for every request that needs a principal; API keys and upload tokens work beside it.
    With *run_jobs* the worker runs as a task of this process; else run `gateway worker` as a separate process.
    """
    return GatewayApp(settings, authenticate, run_jobs=run_jobs)
