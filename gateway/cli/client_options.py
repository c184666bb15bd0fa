"""Give the client's commands one set of options, one table of exit codes and one way to print."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from enum import IntEnum
from typing import Annotated, Any

import typer

from gateway.client import (
    AlreadyUploading,
    Client,
    ClientError,
    ContentMismatch,
    DestinationError,
    GatewayProblem,
    InvalidRequest,
    NotConfigured,
    Retry,
    SourceError,
    TooLarge,
    Upload,
    UploadCancelled,
    UploadState,
    WrongState,
)

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="GATEWAY_URL", help="Address of the gateway.  [default: http://127.0.0.1:8080]"),
]
Key = Annotated[
    str | None,
    typer.Option("--key", envvar="GATEWAY_API_KEY", help="API key. Other users see it here, so set the variable."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Tries = Annotated[int, typer.Option(min=1, max=100, help="Tries of one request.")]
DEFAULT_TRIES = 8
TABLE_WIDTH = 10_000
"""Columns of a table on any terminal: an id that is cut to the width of a terminal is of no use."""


class Exit(IntEnum):
    """Name the exit codes; with several files the highest one counts."""

    READY = 0
    REJECTED = 1
    USAGE = 2
    UNAVAILABLE = 3
    SOURCE = 4
    INTERRUPTED = 130
    TERMINATED = 143


def exit_of(result: Upload | ClientError) -> Exit:
    """Return the exit code for an upload or an error."""
    if isinstance(result, Upload):
        if result.state is UploadState.READY:
            return Exit.READY
        return Exit.REJECTED if result.is_final else Exit.UNAVAILABLE
    if isinstance(result, NotConfigured):
        return Exit.USAGE
    if isinstance(result, (InvalidRequest, TooLarge)) or type(result) is WrongState:
        return Exit.REJECTED
    if isinstance(result, (SourceError, AlreadyUploading, DestinationError, ContentMismatch)):
        return Exit.SOURCE
    return Exit.INTERRUPTED if isinstance(result, UploadCancelled) else Exit.UNAVAILABLE


def error_word(error: ClientError) -> str:
    """Return the stable word for an error: the gateway's code, or the name of the class in snake_case."""
    if isinstance(error, GatewayProblem):
        return error.code
    name = type(error).__name__
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def error_record(error: ClientError) -> dict[str, Any]:
    """Return an error as the object that `--json` prints."""
    return {"code": error_word(error), "detail": str(error)}


@contextlib.contextmanager
def connected(url: str | None, key: str | None, *, tries: int = DEFAULT_TRIES, parallel: int = 4) -> Iterator[Client]:
    """Give a client; print an error of the block in one line and exit with its code."""
    try:
        with Client(url or None, key, parallel=parallel, retry=Retry(attempts=tries)) as client:
            yield client
    except ClientError as exc:
        complain(str(exc))
        raise typer.Exit(exit_of(exc)) from exc
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


def for_each(ids: list[str], work: Callable[[str], None]) -> None:
    """Call *work* for every id; an error is printed, the others go on, and the highest exit code counts."""
    code = Exit.READY
    for upload_id in dict.fromkeys(ids):
        try:
            work(upload_id)
        except ClientError as exc:
            complain(f"{upload_id}: {exc}")
            code = max(code, exit_of(exc))
    if code:
        raise typer.Exit(code)


def complain(text: str) -> None:
    """Print a line to standard error, without control characters."""
    typer.echo(printable(text), err=True)


def print_json(record: Mapping[str, Any]) -> None:
    """Print one object as one line; times become ISO 8601, and text that is no Unicode becomes readable."""
    typer.echo(json.dumps(record, ensure_ascii=not _is_unicode(), default=_json_value))


def printable(text: str) -> str:
    """Replace characters that would move the cursor, change colours or reverse the direction of writing."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    encoding = sys.stdout.encoding or "utf-8"
    return shown.encode(encoding, "replace").decode(encoding)


def size_text(size_bytes: int | None) -> str:
    """Return a size for people: `64 MiB`, `1.5 GiB`."""
    if size_bytes is None:
        return "?"
    size, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.1f}".removesuffix(".0") + f" {unit}"


def metadata_of(pairs: list[str] | None) -> dict[str, str]:
    """Return NAME=VALUE options as a mapping; raise BadParameter for one without a name or `=`."""
    metadata = {}
    for pair in pairs or ():
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{pair!r} is not of the form NAME=VALUE", param_hint="--metadata")
        metadata[name] = value
    return metadata


def upload_record(upload: Upload) -> dict[str, Any]:
    """Return an upload as the API has it, without part URLs."""
    record = {name: getattr(upload, name) for name in Upload.__dataclass_fields__ if name != "parts"}
    if upload.rejection is not None:
        record["rejection"] = {"code": upload.rejection.code, "detail": upload.rejection.detail}
    return {name: value for name, value in record.items() if value is not None}


def _is_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _json_value(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
