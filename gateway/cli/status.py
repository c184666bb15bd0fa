"""Show uploads: `gateway status UPLOAD_ID…`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.client_options import (
    AsJson,
    Exit,
    Key,
    Quiet,
    Url,
    connected,
    exit_of,
    for_each,
    print_json,
    printable,
    size_text,
    upload_record,
)
from gateway.client import Upload

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def status(
    upload_ids: Annotated[list[str], typer.Argument(metavar="UPLOAD_ID", show_default=False)],
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a final state.")] = 0.0,
    url: Url = None,
    key: Key = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Show uploads with everything the gateway says of them. With -q, print states only.

    Exit codes: 0 every upload is ready or still going on, 1 one was rejected, aborted or has expired, 2 the command is
    wrong, 3 the gateway did not answer or does not know the key or the id.
    """
    code = Exit.READY
    with connected(url, key) as client:

        def show(upload_id: str) -> None:
            nonlocal code
            upload = client.wait(upload_id, wait) if wait else client.get(upload_id)
            _print(upload, quiet=quiet, as_json=as_json)
            if upload.is_final:
                code = max(code, exit_of(upload))

        for_each(upload_ids, show)
    raise typer.Exit(code)


def _print(upload: Upload, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        print_json(upload_record(upload))
    elif quiet:
        typer.echo(upload.state)
    else:
        for name, value in upload_record(upload).items():
            typer.echo(f"{name:<19}{printable(_text(name, value))}")


def _text(name: str, value: Any) -> str:
    if name == "size_bytes":
        return f"{value} ({size_text(value)})"
    if name == "rejection":
        return f"{value['code']}: {value['detail']}"
    if isinstance(value, dict):
        return ", ".join(f"{key}={inner}" for key, inner in value.items() if inner is not None)
    return str(value)
