"""Make, list and revoke upload tokens: `gateway token`."""

from __future__ import annotations

import dataclasses
import re
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gateway.cli.client_options import (
    TABLE_WIDTH,
    AsJson,
    Key,
    Quiet,
    Url,
    connected,
    for_each,
    metadata_of,
    print_json,
    printable,
)

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_UNIT_BYTES = {"": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


@app.callback()
def token() -> None:
    """Make, list and revoke upload tokens: each lets one user create and see own uploads, and nothing else."""


@app.command()
def create(
    expires: Annotated[str, typer.Option(help="Life of the token: 90s, 30m, 1h, 7d.")] = "1h",
    max_files: Annotated[int | None, typer.Option(min=1, help="Uploads it is good for.")] = None,
    max_size: Annotated[str | None, typer.Option(help="Largest file: 500MiB, 5GiB.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Kept with every upload.")] = None,
    origin: Annotated[list[str] | None, typer.Option(help="Origin of a page that may use it.")] = None,
    allow_download: Annotated[bool, typer.Option("--allow-download", help="It may fetch its own files.")] = False,
    url: Url = None,
    key: Key = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it. With -q, print nothing but the token."""
    seconds = seconds_of(expires)
    largest = None if max_size is None else bytes_of(max_size)
    with connected(url, key) as client:
        issued = client.upload_tokens.create(
            seconds,
            max_files=max_files,
            max_size_bytes=largest,
            metadata=metadata_of(metadata),
            allowed_origins=origin,
            allow_download=allow_download,
        )
    if as_json:
        print_json(dataclasses.asdict(issued))
        return
    typer.echo(issued.token)
    if not quiet:
        typer.echo(f"id {issued.token_id}, expires {issued.expires_at.astimezone():%Y-%m-%d %H:%M}", err=True)


@app.command("ls")
def list_tokens(
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Longest list; 0 lists every token.")] = 20,
    url: Url = None,
    key: Key = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List tokens, newest first. With -q, print ids only."""
    with connected(url, key) as client:
        tokens = list(islice(client.upload_tokens.iter_all(), limit or None))
    if as_json or quiet:
        for one in tokens:
            print_json(dataclasses.asdict(one)) if as_json else typer.echo(one.token_id)
        return
    table = Table("id", "files", "expires", "revoked", "metadata", box=None, pad_edge=False)
    for one in tokens:
        files = f"{one.file_count} of {one.max_files}" if one.max_files else str(one.file_count)
        revoked = one.revoked_at.astimezone().strftime("%Y-%m-%d %H:%M") if one.revoked_at else ""
        pairs = printable(", ".join(f"{name}={value}" for name, value in one.metadata.items()))
        table.add_row(one.token_id, files, one.expires_at.astimezone().strftime("%Y-%m-%d %H:%M"), revoked, pairs)
    Console(highlight=False, markup=False, width=TABLE_WIDTH).print(table, no_wrap=True, crop=False)


@app.command()
def revoke(
    token_ids: Annotated[list[str], typer.Argument(metavar="TOKEN_ID", show_default=False)],
    url: Url = None,
    key: Key = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Revoke tokens at once."""
    with connected(url, key) as client:

        def revoke_one(token_id: str) -> None:
            client.upload_tokens.revoke(token_id)
            if as_json:
                print_json({"token_id": token_id, "revoked": True})
            elif not quiet:
                typer.echo(f"{token_id}: revoked")

        for_each(token_ids, revoke_one)


def seconds_of(text: str) -> int:
    """Return a duration such as `1h` in seconds; raise BadParameter for any other text."""
    found = re.fullmatch(r"(\d{1,9})\s*([smhd]?)", text.strip().lower())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a duration such as 30m, 1h or 7d", param_hint="--expires")
    return int(found[1]) * _UNIT_SECONDS[found[2] or "s"]


def bytes_of(text: str) -> int:
    """Return a size such as `5GiB` in bytes; raise BadParameter for any other text."""
    found = re.fullmatch(r"(\d{1,15})\s*([KMG]I?B)?", text.strip().upper())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a size such as 500MiB or 5GiB", param_hint="--max-size")
    return int(found[1]) * _UNIT_BYTES[found[2] or ""]
