"""Put the HTTP application together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from pydantic import BaseModel

from gateway.api import (
    access_log,
    addresses,
    client_address,
    cors,
    docs_page,
    health,
    host_check,
    inspect,
    models,
    openapi,
    page,
    problems,
    rate_limits,
    receiving,
    store_events,
    upload_tokens,
    uploads,
    watching,
    webhook_models,
    webhooks,
)
from gateway.api.requests import Authenticate
from gateway.api.uppy import companion, s3_xml, sign_request
from gateway.bootstrap import open_gateway, probe_targets_of
from gateway.settings import Settings
from gateway.startup.check_store import check_store

BODIES: list[type[BaseModel]] = [
    models.CreateUpload,
    models.InspectFile,
    models.SignParts,
    models.CompleteUpload,
    models.CreateUploadToken,
    webhook_models.CreateWebhook,
    webhook_models.ChangeWebhook,
    webhook_models.ResendSince,
]


@asynccontextmanager
async def _lifespan(settings: Settings, probe_store: bool, app: FastAPI) -> AsyncIterator[None]:
    async with open_gateway(settings, wait_for_database=False) as gateway:
        app.state.gateway = gateway
        probing: list[asyncio.Task[None]] = []
        if probe_store:
            # In the background: a slow store must not keep the API from starting. Uploads wait for the results.
            gateway.store_checks.begin()
            targets = probe_targets_of(settings, gateway.store)
            probing.append(asyncio.create_task(check_store(targets, gateway.store_checks)))
        yield
        for task in probing:
            task.cancel()
        await asyncio.gather(*probing, return_exceptions=True)


def create_app(settings: Settings, authenticate: Authenticate | None = None, *, probe_store: bool = True) -> FastAPI:
    """Build the application. When its lifespan begins it opens database and store, and probes the store.

    *authenticate* returns the principal of a request that an outer application knows, or None: then keys and tokens
    decide.
    """
    app = FastAPI(
        title="Upload gateway",
        version=version("upload-gateway"),
        description="Presigned uploads to S3-compatible storage that are checked before they are called ready.",
        lifespan=partial(_lifespan, settings, probe_store),
        root_path_in_servers=settings.public_url is None,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.authenticate = authenticate
    app.state.limits = rate_limits.Limits(settings)
    app.state.form_looks = set()
    app.state.readiness = health.ReadinessProbe()
    problems.install(app)
    app.add_middleware(cors.Cors, allowed_origins=settings.allowed_origins)
    app.add_middleware(host_check.HostCheck)
    app.add_middleware(access_log.AccessLog)
    app.add_middleware(addresses.PathCleaner, root_path=addresses.root_path_of(settings))
    if settings.trusted_proxies:
        app.add_middleware(client_address.ClientAddress, trusted=settings.trusted_proxies)
    _include_routes(app, settings)
    openapi.install(app, BODIES)
    return app


def _include_routes(app: FastAPI, settings: Settings) -> None:
    app.include_router(uploads.router)
    app.include_router(inspect.router)
    app.include_router(watching.router)
    app.include_router(receiving.router)
    app.include_router(upload_tokens.router)
    app.include_router(webhooks.router)
    app.include_router(companion.router, prefix="/uppy/{token}/s3")
    app.include_router(companion.router, prefix="/s3")
    app.include_router(sign_request.router)
    app.include_router(s3_xml.router, prefix="/uppy/{token}/s3xml")
    app.include_router(s3_xml.router, prefix="/s3xml")
    app.include_router(store_events.router)
    app.include_router(health.router)
    app.include_router(page.routes(settings))
    app.include_router(docs_page.routes(settings))
