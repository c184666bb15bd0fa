"""Watch uploads: `gateway watch [UPLOAD_ID]`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from gateway.cli.client_options import AsJson, Exit, Key, Quiet, Url, connected, print_json, printable
from gateway.client import Event, Upload

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def watch(
    upload_id: Annotated[str | None, typer.Argument(metavar="UPLOAD_ID", show_default=False)] = None,
    url: Url = None,
    key: Key = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Show the progress of an upload until its final state; without an id, the events of all uploads.

    The command connects again after a lost connection. Ctrl-C stops the command, not the upload.

    Exit codes: 0 ready, 1 rejected, aborted or expired, 2 the command is wrong, 3 the gateway did not answer or knows
    no such upload, 130 interrupted.
    """
    with connected(url, key) as client:
        if upload_id is None:
            code = _print(client.events(), quiet=quiet, as_json=as_json)
        else:
            upload = client.get(upload_id)
            events = client.watch(upload_id)
            code = _print(events, quiet=quiet, as_json=as_json) if as_json or quiet else _draw(upload, events)
    raise typer.Exit(code)


def _print(events: Iterator[Event], *, quiet: bool, as_json: bool) -> Exit:
    code = Exit.UNAVAILABLE
    for event in events:
        if as_json:
            print_json({"id": event.event_id, "event": event.name, "data": event.data})
        elif not quiet:
            typer.echo(f"{event.upload_id} {line_of(event)}")
        code = _code(event)
    return code


def _draw(upload: Upload, events: Iterator[Event]) -> Exit:
    console = Console(highlight=False, soft_wrap=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    )
    code = Exit.UNAVAILABLE
    with bar:
        task = bar.add_task(escape(printable(upload.filename)), total=upload.size_bytes, note="")
        for event in events:
            if event.name == "progress":
                bar.update(task, completed=event.data["bytes_received"], note=speed_of(event))
                continue
            completed = upload.size_bytes if event.name in {"completing", "validating", "ready"} else None
            bar.update(task, completed=completed, note=event.name)
            console.print(escape(line_of(event)))
            code = _code(event)
    return code


def _code(event: Event) -> Exit:
    return Exit.READY if event.name == "ready" else Exit.REJECTED if event.is_final else Exit.UNAVAILABLE


def line_of(event: Event) -> str:
    """Return an event as one line, with the reason of a rejection."""
    line = f"{event.data.get('at', '')} {event.name}"
    if event.name == "progress":
        line += f" {event.data.get('bytes_received')} bytes"
    if event.name == "rejected":
        line += f" ({event.data.get('code')}: {event.data.get('detail')})"
    return printable(line)


def speed_of(event: Event) -> str:
    """Return speed and time left of a progress event."""
    rate, left = event.data.get("bytes_per_second"), event.data.get("seconds_left")
    words = [] if not rate else [f"{rate / 1e6:.1f} MB/s"]
    if left is not None:
        words.append(f"{int(left) // 60}:{int(left) % 60:02d} left")
    return ", ".join(words)
