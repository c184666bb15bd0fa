"""Run the jobs, or say whether a worker is alive: `gateway worker`."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated

import typer

from gateway import logs
from gateway.cli.environment import fail, read_settings
from gateway.cli.log_options import JsonLog, QuietLog
from gateway.cli.start_line import log_start
from gateway.cli.worker_health import check_health
from gateway.domain.errors import GatewayError
from gateway.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def worker(
    health: Annotated[
        bool, typer.Option("--health", help="Only say whether a worker is alive; the exit code says it too.")
    ] = False,
    quiet: QuietLog = False,
    as_json: JsonLog = False,
) -> None:
    """Process uploads of dead processes and sweep abandoned ones, until SIGTERM or Ctrl-C.

    With --health nothing is run. Exit codes then: 0 a worker of this database was alive in the last 20 seconds, 1 none
    was, or the database does not answer.
    """
    if health:
        check_health(quiet=quiet, as_json=as_json)
        return
    # The jobs take more than a second to import, and a health check runs every few seconds.
    from gateway.bootstrap import database_of
    from gateway.database.connecting import POOLER

    settings = read_settings()
    logs.configure("warning" if quiet else settings.log_level)
    log_start("worker", settings)
    if asyncio.run(database_of(settings).diagnose()) == POOLER:
        fail(f"{POOLER}.")
    try:
        asyncio.run(_run(settings))
    except GatewayError as exc:
        fail(exc.detail)


async def _run(settings: Settings) -> None:
    from gateway.jobs.worker import run_worker

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await run_worker(settings, stop)
