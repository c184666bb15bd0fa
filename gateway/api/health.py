"""Say whether this process lives and whether it can do its work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from gateway.api.answers import json_response
from gateway.api.requests import gateway_of, principal_of
from gateway.context import Gateway
from gateway.database import schema
from gateway.domain.errors import GatewayError
from gateway.domain.principal import require_key

router = APIRouter(tags=["health"])

CHECK_SECONDS = 3.0
"""Longest check, seconds: load balancers time out after a few seconds, so a slow component is not ready."""

REMEMBERED_SECONDS = 2.0
"""Age up to which a result is given again. Orchestrators ask every few seconds."""

OK = "ok"


class Health(BaseModel):
    """This process answers."""

    status: str


class StoreProbe(BaseModel):
    """One probe of the store: its question, its result and the cure."""

    name: str
    tried: str
    status: Literal["ok", "bad", "unknown"]
    found: str
    cure: str


class Readiness(BaseModel):
    """Each component with `ok` or the problem."""

    status: str
    checks: dict[str, str]
    store_probes: list[StoreProbe] | None = Field(
        None, description="Results of the store's probes; only for callers with an API key."
    )


@router.get("/healthz", response_model=Health)
async def healthz() -> Response:
    """Say that the process lives; it asks nothing of the parts around it."""
    return json_response({"status": "ok"})


@router.get(
    "/readyz", response_model=Readiness, responses={503: {"model": Readiness, "description": "A part is missing."}}
)
async def readyz(request: Request) -> Response:
    """Say whether database, migrations and store are there; the answer is at most 2 seconds old."""
    probe: ReadinessProbe = request.app.state.readiness
    checks = await probe.checks(gateway_of(request))
    ready = all(answer == OK for answer in checks.values())
    probes = await _store_probes(request, gateway_of(request))
    answer = {"status": "ok" if ready else "unavailable", "checks": checks, **probes}
    return json_response(answer, 200 if ready else 503)


class ReadinessProbe:
    """Remember the last result, because anybody may ask: requests at once wait for one and the same check."""

    def __init__(self) -> None:
        self._checks: dict[str, str] = {}
        self._known_until = 0.0
        self._running = asyncio.Lock()

    async def checks(self, gateway: Gateway) -> dict[str, str]:
        """Return each part with `ok` or the reason why it is not ready."""
        async with self._running:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._known_until:
                self._checks = await _ask(gateway)
                self._known_until = loop.time() + REMEMBERED_SECONDS
            return self._checks


async def _ask(gateway: Gateway) -> dict[str, str]:
    names = ("database", "migrations", "store")
    found = await asyncio.gather(_database(gateway), _migrations(gateway), _check(gateway.store.head_bucket()))
    return dict(zip(names, found, strict=True))


async def _store_probes(request: Request, gateway: Gateway) -> dict[str, Any]:
    """Return the results of the probes to callers with an API key: only operators may see how to attack the store."""
    if "authorization" not in request.headers:
        return {}
    try:
        require_key(await principal_of(request))
    except GatewayError:
        return {}
    shown = ("name", "tried", "status", "found", "cure")
    return {"store_probes": [{name: getattr(probe, name) for name in shown} for probe in gateway.store_checks.results]}


async def _database(gateway: Gateway) -> str:
    answer = await _check(gateway.database.fetch_one("SELECT 1", {}))
    return answer if answer == OK else await gateway.database.diagnose()


async def _migrations(gateway: Gateway) -> str:
    return await _check(schema.require_current(gateway.database))


async def _check(asked: Awaitable[Any]) -> str:
    try:
        await asyncio.wait_for(asked, CHECK_SECONDS)
    except TimeoutError:
        return "does not answer in time"
    except GatewayError as exc:
        return exc.detail
    return OK
