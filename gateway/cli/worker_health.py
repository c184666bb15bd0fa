"""Say whether a worker of this installation is alive: `gateway worker --health`."""

from __future__ import annotations

import asyncio

import typer

from gateway.cli.client_options import print_json
from gateway.cli.environment import fail, operator_settings
from gateway.database.connecting import DatabaseAddress
from gateway.database.engine import Database
from gateway.database.workers import ALIVE_SECONDS, newest_sign
from gateway.domain.errors import GatewayError
from gateway.settings import Settings

WAIT_SECONDS = 3.0
"""Longest wait for the database; orchestrators give a health check 5 to 10 seconds."""


def check_health(*, quiet: bool, as_json: bool) -> None:
    """Print the age of the newest worker heartbeat; exit with 1 when it is too old or missing."""
    try:
        seconds = asyncio.run(_ask(operator_settings(quiet=True)))
    except GatewayError as exc:
        fail(exc.detail)
    alive = seconds is not None and seconds <= ALIVE_SECONDS
    if as_json:
        print_json({"alive": alive, "seconds": None if seconds is None else round(seconds, 1)})
    elif seconds is None:
        typer.echo("No worker runs on this database.", err=True)
    elif not alive or not quiet:
        typer.echo(f"The newest heartbeat of a worker is {seconds:.0f} seconds old.", err=not alive)
    if not alive:
        raise typer.Exit(1)


async def _ask(settings: Settings) -> float | None:
    address = DatabaseAddress(settings.database_url.get_secret_value(), _direct_url(settings))
    database = Database(address, pool_size=2, timeout_seconds=WAIT_SECONDS)
    await database.open(wait_seconds=WAIT_SECONDS)
    try:
        return await newest_sign(database)
    finally:
        await database.close()


def _direct_url(settings: Settings) -> str | None:
    return settings.database_direct_url.get_secret_value() if settings.database_direct_url else None
