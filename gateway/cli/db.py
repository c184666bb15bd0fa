"""Migrate the database: `gateway db`."""

from __future__ import annotations

import typer

from gateway.bootstrap import database_address_of
from gateway.cli.environment import fail, read_settings
from gateway.database.migrate import head, upgrade
from gateway.domain.errors import GatewayError

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def db() -> None:
    """Look after the database."""


@app.command()
def migrate() -> None:
    """Apply every pending migration; safe to run from many places at once and again."""
    try:
        version = upgrade(database_address_of(read_settings()).session_url)
    except GatewayError as exc:
        fail(exc.detail)
    note = "" if version == head() else f" This release needs {head()}: nothing to do."
    typer.echo(f"The database is at schema {version}.{note}")
