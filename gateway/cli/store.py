"""Make the bucket ready: `gateway store prepare`."""

from __future__ import annotations

import asyncio

import typer

from gateway.cli.environment import fail, read_settings
from gateway.dev.prepare import prepare_store
from gateway.dev.processes import StackError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look after the store.")


@app.callback()
def store() -> None:
    """Look after the store."""


@app.command()
def prepare() -> None:
    """Make the bucket if it is missing, let the allowed origins use it, and say what a browser would be refused.

    The CORS rules of a bucket that is there already stay as they are. Safe to run again; ends with 1 when the store
    does not answer.
    """
    settings = read_settings()
    try:
        warnings = asyncio.run(prepare_store(settings, embedded=False))
    except StackError as error:
        fail(str(error))
    for warning in warnings:
        typer.echo(warning, err=True)
    typer.echo(f"Bucket {settings.s3_bucket} is ready.")
