"""Run the jobs: `gateway worker`."""

from __future__ import annotations

import asyncio
import signal

import typer

from gateway import logs
from gateway.bootstrap import database_of
from gateway.cli.environment import fail, read_settings
from gateway.database.connecting import POOLER
from gateway.domain.errors import GatewayError
from gateway.jobs.worker import run_worker
from gateway.settings import Settings

app = typer.Typer(add_completion=False)


@app.command()
def worker() -> None:
    """Process uploads of dead processes and sweep abandoned ones, until SIGTERM or Ctrl-C."""
    settings = read_settings()
    logs.configure(settings.log_level)
    if asyncio.run(database_of(settings).diagnose()) == POOLER:
        fail(f"{POOLER}.")
    try:
        asyncio.run(_run(settings))
    except GatewayError as exc:
        fail(exc.detail)


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await run_worker(settings, stop)
