"""List uploads: `gateway ls`."""

from __future__ import annotations

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
    print_json,
    printable,
    size_text,
    upload_record,
)
from gateway.client import Upload, UploadState

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_STATES = ", ".join(state for state in UploadState if state is not UploadState.UNKNOWN)


@app.command()
def list_uploads(
    state: Annotated[str | None, typer.Option(help=f"Only uploads in this state: {_STATES}.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Longest list; 0 lists every upload.")] = 20,
    url: Url = None,
    key: Key = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List uploads, newest first. With -q, print ids only.

    Exit codes: 0 success, 2 the command is wrong, 3 the gateway did not answer or does not know the key.
    """
    if state is not None and UploadState(state) is UploadState.UNKNOWN:
        raise typer.BadParameter(f"the states are {_STATES}", param_hint="--state")
    with connected(url, key) as client:
        found = islice(client.iter_uploads(state=state), limit or None)
        if as_json:
            for upload in found:
                print_json(upload_record(upload))
        elif quiet:
            for upload in found:
                typer.echo(upload.upload_id)
        else:
            _print_table(list(found))


def _print_table(uploads: list[Upload]) -> None:
    table = Table("id", "state", "size", "created", "name", box=None, pad_edge=False)
    for upload in uploads:
        created = upload.created_at.astimezone().strftime("%Y-%m-%d %H:%M") if upload.created_at else ""
        name = printable(upload.filename)
        table.add_row(upload.upload_id, upload.state, size_text(upload.size_bytes), created, name)
    Console(highlight=False, markup=False, width=TABLE_WIDTH).print(table, no_wrap=True, crop=False)
