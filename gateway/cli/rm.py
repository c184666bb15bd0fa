"""Abort uploads: `gateway rm UPLOAD_ID…`."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.client_options import AsJson, Key, Quiet, Url, connected, for_each, print_json

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def rm(
    upload_ids: Annotated[list[str], typer.Argument(metavar="UPLOAD_ID", show_default=False)],
    url: Url = None,
    key: Key = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Abort uploads that are not complete; the store removes their parts. A ready file stays.

    Exit codes: 0 every upload is aborted, 1 one is ready, rejected or being checked, 2 the command is wrong, 3 the
    gateway did not answer or does not know the key or the id.
    """
    with connected(url, key) as client:

        def abort(upload_id: str) -> None:
            client.abort(upload_id)
            if as_json:
                print_json({"upload_id": upload_id, "state": "aborted"})
            elif not quiet:
                typer.echo(f"{upload_id}: aborted")

        for_each(upload_ids, abort)
