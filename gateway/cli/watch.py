"""Watch an upload: `gateway watch UPLOAD_ID`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from gateway.cli.upload import Exit, exit_of
from gateway.client import Client, ClientError, Upload
from gateway.client.watch import Event, watch

app = typer.Typer(add_completion=False)


@app.command()
def watch_upload(
    upload_id: Annotated[str, typer.Argument(metavar="UPLOAD_ID", show_default=False)],
    url: Annotated[str, typer.Option(envvar="GATEWAY_URL", help="Address of the gateway.")] = "http://127.0.0.1:8080",
    key: Annotated[
        str, typer.Option(envvar="GATEWAY_API_KEY", help="API key; better in the environment than here.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line for each event.")] = False,
) -> None:
    """Show how far an upload is until it is ready or not.

    A lost connection is taken up again where it was. Ctrl-C stops watching; the upload goes on.

    Exit codes: 0 ready, 1 rejected, aborted or expired, 2 the command is wrong, 3 the gateway did not answer or knows
    no such upload, 130 interrupted.
    """
    if not key:
        raise typer.BadParameter("an API key is needed: set GATEWAY_API_KEY", param_hint="--key")
    try:
        with Client(url, key) as client:
            upload = client.get(upload_id)
        events = watch(url, key, upload_id)
        code = _print(events) if as_json else _draw(upload, events)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--url") from exc
    except ClientError as exc:
        typer.echo(f"{upload_id}: {exc}", err=True)
        raise typer.Exit(exit_of(exc)) from exc
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    raise typer.Exit(code)


def _print(events: Iterator[Event]) -> Exit:
    code = Exit.UNAVAILABLE
    for event in events:
        typer.echo(json.dumps({"id": event.event_id, "event": event.name, "data": event.data}, ensure_ascii=False))
        code = _code(event)
    return code


def _draw(upload: Upload, events: Iterator[Event]) -> Exit:
    """Draw a bar on a terminal and print a line for each state elsewhere."""
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
        task = bar.add_task(escape(_printable(upload.filename)), total=upload.size_bytes, note="")
        for event in events:
            if event.name == "progress":
                bar.update(task, completed=event.data["bytes_received"], note=pace_of(event))
                continue
            completed = upload.size_bytes if event.name in {"completing", "validating", "ready"} else None
            bar.update(task, completed=completed, note=event.name)
            console.print(escape(line_of(event)))
            code = _code(event)
    return code


def _code(event: Event) -> Exit:
    return Exit.READY if event.name == "ready" else Exit.REJECTED if event.is_final else Exit.UNAVAILABLE


def line_of(event: Event) -> str:
    """Say a state in one line, with the reason for a refusal."""
    line = f"{event.data.get('at', '')} {event.name}"
    if event.name == "rejected":
        line += f" ({event.data.get('code')}: {event.data.get('detail')})"
    return _printable(line)


def pace_of(event: Event) -> str:
    """Say how fast the bytes come and how long it will take."""
    rate, left = event.data.get("bytes_per_second"), event.data.get("seconds_left")
    words = [] if not rate else [f"{rate / 1e6:.1f} MB/s"]
    if left is not None:
        words.append(f"{int(left) // 60}:{int(left) % 60:02d} left")
    return ", ".join(words)


def _printable(text: str) -> str:
    """Keep control characters of file names and answers from the terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
