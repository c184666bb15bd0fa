"""Offer the commands. Each is loaded when it is called: the client's commands need no package of the server."""

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
        "upload": ("gateway.cli.upload", "Send files and wait until they are checked."),
        "ls": ("gateway.cli.list_uploads", "List uploads."),
        "status": ("gateway.cli.status", "Show uploads."),
        "get": ("gateway.cli.get", "Fetch ready files."),
        "rm": ("gateway.cli.rm", "Abort uploads."),
        "watch": ("gateway.cli.watch", "Show the progress of an upload."),
        "token": ("gateway.cli.upload_token", "Make, list and revoke upload tokens."),
        "inspect": ("gateway.cli.inspect", "Detect the type of a file and say whether the gateway accepts it."),
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
            where = "pip install '.[server]' in a checkout, or install the wheel with its extra `server`"
            typer.echo(f"`gateway {cmd_name}` needs the server's packages: {where}.", err=True)
            raise typer.Exit(1) from None
        _make_plain(command)
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


def _make_plain(command: Any) -> None:
    """Give a command and its subcommands plain help, so that all commands have one style."""
    command.rich_markup_mode = None
    for inner in getattr(command, "commands", {}).values():
        _make_plain(inner)


app = typer.Typer(
    cls=LazyCommands,
    no_args_is_help=True,
    rich_markup_mode=None,
    # A traceback with the values of all variables could show a key.
    pretty_exceptions_enable=False,
    # Inherited by every command.
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def main(
    show_version: bool = typer.Option(False, "--version", is_eager=True, help="Print the version."),
) -> None:
    """Upload files straight to S3-compatible storage, and check their content before anybody uses them."""
    if show_version:
        typer.echo(version("upload-gateway"))
        raise typer.Exit


def run() -> None:
    """Run the command line."""
    app()
