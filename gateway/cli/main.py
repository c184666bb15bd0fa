"""Offer the commands, each loaded when it is called: the client's need nothing of the server's."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import typer
import typer.main
from typer.core import TyperGroup

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "upload": ("gateway.cli.upload", "Upload files and wait for the verdict."),
        "watch": ("gateway.cli.watch", "Show how far an upload is."),
        "inspect": ("gateway.cli.inspect", "Say what a file is and whether it would be accepted."),
        "dev": ("gateway.cli.dev", "Run everything on this machine, embedded database and store included."),
        "serve": ("gateway.cli.serve", "Run the API."),
        "worker": ("gateway.cli.worker", "Run the jobs: finish, sweep, clean up."),
        "db": ("gateway.cli.db", "Migrate the database."),
        "keys": ("gateway.cli.keys", "Make, list and revoke API keys."),
        "store": ("gateway.cli.store", "Prepare the bucket."),
    }
)
SERVER_PACKAGES = frozenset({"fastapi", "psycopg", "pydantic", "pydantic_settings", "uvicorn", "aiohttp", "alembic"})


class LazyCommands(TyperGroup):
    """List commands without importing them."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the base class names it
        """Return the names, most used first."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the base class names it
        """Import one command; say which extra is missing when it cannot be."""
        if cmd_name not in COMMANDS:
            return None
        module, summary = COMMANDS[cmd_name]
        try:
            command = typer.main.get_command(importlib.import_module(module).app)
        except ModuleNotFoundError as exc:
            if (exc.name or "").partition(".")[0] not in SERVER_PACKAGES:
                raise
            typer.echo(f"`gateway {cmd_name}` needs the server: pip install 'upload-gateway[server]'", err=True)
            raise typer.Exit(1) from None
        command.name = cmd_name
        command.short_help = summary
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the base class names it
        """Write names and summaries from the table, so that `--help` works with the client's packages alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write plain help; the rich one would load every command."""
        super(TyperGroup, self).format_help(ctx, formatter)


app = typer.Typer(cls=LazyCommands, add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def main(
    show_version: bool = typer.Option(False, "--version", is_eager=True, help="Print the version."),
) -> None:
    """Upload files straight to S3-compatible storage and know what they are before they are called ready."""
    if show_version:
        typer.echo(version("upload-gateway"))
        raise typer.Exit


def run() -> None:
    """Run the command line."""
    app()
