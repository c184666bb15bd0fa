"""Migrate the database: `gateway db`."""

from __future__ import annotations

import typer

from gateway.bootstrap import database_address_of
from gateway.cli.client_options import AsJson, Quiet, print_json
from gateway.cli.environment import fail, operator_settings
from gateway.database.migrate import head, upgrade
from gateway.domain.errors import GatewayError

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def db() -> None:
    """Migrate the database."""


@app.command()
def migrate(quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Apply every pending migration. Can be repeated, and run by several processes at once."""
    try:
        version = upgrade(database_address_of(operator_settings(quiet=quiet)).session_url)
    except GatewayError as exc:
        fail(exc.detail)
    if as_json:
        print_json({"schema": version, "needed": head()})
    elif not quiet:
        note = "" if version == head() else f" This release needs {head()}: nothing to do."
        typer.echo(f"The database is at schema {version}.{note}")
