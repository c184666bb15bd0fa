"""Fetch ready files: `gateway get UPLOAD_ID…`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.client_options import (
    DEFAULT_TRIES,
    AsJson,
    Key,
    Quiet,
    Tries,
    Url,
    connected,
    for_each,
    print_json,
    size_text,
)
from gateway.cli.upload import stopping_on_signals
from gateway.cli.upload_display import Display
from gateway.client import Client, Download

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def get(
    upload_ids: Annotated[list[str], typer.Argument(metavar="UPLOAD_ID", show_default=False)],
    output: Annotated[
        str, typer.Option("--output", "-o", help="File or folder to write to, `-` for standard output.")
    ] = ".",
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace a file that exists.")] = False,
    tries: Tries = DEFAULT_TRIES,
    url: Url = None,
    key: Key = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fetch ready files, under their own names unless -o names a file, and check their bytes.

    After Ctrl-C run the same command to resume.

    Exit codes: 0 every file was fetched, 1 a file is not ready, 2 the command is wrong, 3 the gateway or the store did
    not answer, or does not know the key or the id, 4 a file exists, cannot be written, or has wrong bytes, 130
    interrupted, 143 terminated.
    """
    if len(upload_ids) > 1 and output != "-" and not Path(output).is_dir():
        raise typer.BadParameter("several files need a folder that exists", param_hint="--output")
    display = Display(upload_ids, [None] * len(upload_ids), quiet=quiet or output == "-")
    with (
        connected(url, key, tries=tries) as client,
        display,
        stopping_on_signals(lambda: display.say_error("stopped; run the same command to go on")) as stopped,
    ):
        numbers = {upload_id: number for number, upload_id in enumerate(upload_ids)}
        for_each(
            upload_ids,
            lambda upload_id: _fetch(client, display, upload_id, numbers[upload_id], output, force, as_json),
        )
    if stopped:
        raise typer.Exit(stopped[0])


def _fetch(
    client: Client,
    display: Display,
    upload_id: str,
    number: int,
    output: str,
    force: bool,
    as_json: bool,
) -> None:
    destination: Any = sys.stdout.buffer if output == "-" else output
    try:
        done = client.download(
            upload_id, destination, overwrite=force, progress=lambda progress: display.show(number, progress)
        )
    finally:
        display.finish(number)
    if output == "-":
        return
    if as_json:
        print_json(_record(done))
    else:
        display.say(f"{done.path}: {size_text(done.size_bytes)}, checked by {done.checked}", out=True)


def _record(done: Download) -> dict[str, Any]:
    return {
        "upload_id": done.upload.upload_id,
        "path": str(done.path),
        "size_bytes": done.size_bytes,
        "resumed_bytes": done.resumed_bytes,
        "checked": done.checked,
    }
