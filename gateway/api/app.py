"""Put the HTTP application together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from pydantic import BaseModel

from gateway.api import access_log, health, live, models, openapi, problems, uploads, web
from gateway.bootstrap import open_gateway
from gateway.settings import Settings

BODIES: list[type[BaseModel]] = [models.CreateUpload, models.SignParts, models.CompleteUpload]


def create_app(settings: Settings) -> FastAPI:
    """Build the application; it opens database and store when its lifespan begins."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_gateway(settings) as gateway:
            app.state.gateway = gateway
            yield

    app = FastAPI(
        title="Upload gateway",
        version=version("upload-gateway"),
        description="Presigned uploads to S3-compatible storage that are checked before they are called ready.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
    )
    app.state.settings = settings
    problems.install(app)
    app.add_middleware(access_log.AccessLog)
    app.include_router(uploads.router)
    app.include_router(live.router)
    app.include_router(health.router)
    openapi.install(app, BODIES)
    return app
