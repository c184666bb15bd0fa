"""Make, list and revoke API keys: `gateway keys`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from gateway.auth.api_keys import new_key
from gateway.bootstrap import database_of
from gateway.cli.client_options import AsJson, Quiet, print_json, printable
from gateway.cli.environment import fail, operator_settings
from gateway.database import api_keys
from gateway.database.engine import Database
from gateway.domain.errors import GatewayError

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)
Result = TypeVar("Result")


@app.callback()
def keys() -> None:
    """Make, list and revoke API keys: each lets a program use all uploads of its tenant."""


@app.command()
def create(
    tenant: Annotated[str, typer.Argument(help="Whose uploads the key is for.", show_default=False)],
    name: Annotated[str, typer.Option(help="What the key is used for.")] = "",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    if not 1 <= len(tenant) <= 64 or not tenant.isprintable() or " " in tenant:
        fail("A tenant is named by 1 to 64 printable characters without a space.")
    key = new_key()
    _with_database(
        lambda database: api_keys.add(
            database, key_id=key.key_id, tenant_id=tenant, name=name, secret_hash=key.secret_hash
        ),
        quiet=quiet,
    )
    if as_json:
        print_json({"id": key.key_id, "tenant": tenant, "name": name, "key": key.text})
    else:
        typer.echo(key.text)


@app.command("ls", hidden=True)
@app.command("list")
def list_keys(quiet: Quiet = False, as_json: AsJson = False) -> None:
    """List keys; the keys themselves are not kept. With -q, print ids only."""
    rows: list[Any] = _with_database(api_keys.list_all, quiet=quiet)
    records = [
        {
            "id": row["id"],
            "tenant": row["tenant_id"],
            "name": row["name"],
            "created_at": row["created_at"],
            "revoked_at": row["revoked_at"],
        }
        for row in rows
    ]
    if as_json or quiet:
        for record in records:
            print_json(record) if as_json else typer.echo(record["id"])
        return
    table = Table("id", "tenant", "name", "created", "revoked", box=None, pad_edge=False)
    for record in records:
        times = [record[name].isoformat(timespec="seconds") if record[name] else "" for name in _TIMES]
        table.add_row(record["id"], printable(record["tenant"]), printable(record["name"]), *times)
    Console(highlight=False, markup=False, soft_wrap=True).print(table, no_wrap=True, crop=False)


_TIMES = ("created_at", "revoked_at")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id: the text between the two _ of the key.", show_default=False)],
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Revoke a key; the next request with it is refused."""
    if not _with_database(lambda database: api_keys.revoke(database, key_id), quiet=quiet):
        fail(f"There is no live key with the id {key_id}.")
    if as_json:
        print_json({"id": key_id, "revoked": True})
    elif not quiet:
        typer.echo(f"Revoked {key_id}.")


def _with_database(use: Callable[[Database], Awaitable[Result]], *, quiet: bool) -> Result:
    async def run() -> Result:
        database = database_of(operator_settings(quiet=quiet))
        await database.open(wait_seconds=5)
        try:
            return await use(database)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except GatewayError as exc:
        fail(exc.detail)
