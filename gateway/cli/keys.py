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
from gateway.cli.environment import fail, read_settings
from gateway.database import api_keys
from gateway.database.engine import Database
from gateway.domain.errors import GatewayError

app = typer.Typer(add_completion=False, no_args_is_help=True)
Result = TypeVar("Result")


@app.callback()
def keys() -> None:
    """Look after API keys."""


@app.command()
def create(
    tenant: Annotated[str, typer.Argument(help="Whose uploads the key is for.")],
    name: Annotated[str, typer.Option(help="What the key is used for.")] = "",
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    if not 1 <= len(tenant) <= 64 or not tenant.isprintable() or " " in tenant:
        fail("A tenant is named by 1 to 64 printable characters without a space.")
    key = new_key()
    _with_database(
        lambda database: api_keys.add(
            database, key_id=key.key_id, tenant_id=tenant, name=name, secret_hash=key.secret_hash
        )
    )
    typer.echo(key.text)


@app.command("list")
def list_keys() -> None:
    """List keys by their ids; the keys themselves are not kept."""
    rows: list[Any] = _with_database(api_keys.list_all)
    table = Table("id", "tenant", "name", "created", "revoked", box=None)
    for row in rows:
        revoked = row["revoked_at"].isoformat(timespec="seconds") if row["revoked_at"] else ""
        created = row["created_at"].isoformat(timespec="seconds")
        table.add_row(row["id"], row["tenant_id"], row["name"], created, revoked)
    Console().print(table)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The id: the text between the two _ of the key.")]) -> None:
    """Revoke a key; the next request with it is refused."""
    if not _with_database(lambda database: api_keys.revoke(database, key_id)):
        fail(f"There is no live key with the id {key_id}.")
    typer.echo(f"Revoked {key_id}.")


def _with_database(use: Callable[[Database], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        database = database_of(read_settings())
        await database.open(wait_seconds=5)
        try:
            return await use(database)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except GatewayError as exc:
        fail(exc.detail)
