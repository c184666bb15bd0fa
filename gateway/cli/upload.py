"""Send files: `gateway upload FILE…`."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated, Any

import typer

from gateway.cli.upload_display import Display
from gateway.client import (
    AlreadyUploading,
    Client,
    ClientError,
    GatewayProblem,
    InvalidRequest,
    Retry,
    SourceError,
    TooLarge,
    Upload,
    UploadCancelled,
)
from gateway.client.workers import run_parallel

app = typer.Typer(add_completion=False, rich_markup_mode=None)

# More than this and the files of one command only wait for each other's parts.
_MAX_FILES_AT_ONCE = 4


class Exit(IntEnum):
    """Name the exit codes; with several files the highest one wins."""

    READY = 0
    REJECTED = 1
    USAGE = 2
    UNAVAILABLE = 3
    SOURCE = 4
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold how one file ended."""

    file: Path
    code: Exit
    seconds: float
    upload: Upload | None = None
    error: ClientError | None = None

    @property
    def text(self) -> str:
        """Say it in one line."""
        if self.upload is None:
            return f"{self.file}: {self.error}"
        line = f"{self.file}: {self.upload.state} {self.upload.upload_id}"
        if self.upload.rejection is not None:
            line += f" ({self.upload.rejection.code}: {self.upload.rejection.detail})"
        return line

    @property
    def record(self) -> dict[str, Any]:
        """Say it as the object `--json` prints; `error` is there exactly when the file got no final answer."""
        record: dict[str, Any] = {"file": str(self.file), "seconds": round(self.seconds, 3)}
        if self.upload is not None:
            record |= {
                "upload_id": self.upload.upload_id,
                "state": self.upload.state,
                "filename": self.upload.filename,
                "size_bytes": self.upload.size_bytes,
            }
            if self.upload.rejection is not None:
                record["rejection"] = {"code": self.upload.rejection.code, "detail": self.upload.rejection.detail}
        if self.error is not None:
            code = self.error.code if isinstance(self.error, GatewayProblem) else error_word(self.error)
            record["error"] = {"code": code, "detail": str(self.error)}
        return record


def error_word(error: ClientError) -> str:
    """Return the stable word for an error that is not the gateway's: the class name in snake_case."""
    name = type(error).__name__
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def exit_of(result: Upload | ClientError) -> Exit:
    """Return the exit code for how a file ended."""
    if isinstance(result, Upload):
        if result.state == "ready":
            return Exit.READY
        return Exit.REJECTED if result.is_final else Exit.UNAVAILABLE
    if isinstance(result, (InvalidRequest, TooLarge)):
        return Exit.REJECTED
    if isinstance(result, (SourceError, AlreadyUploading)):
        return Exit.SOURCE
    return Exit.INTERRUPTED if isinstance(result, UploadCancelled) else Exit.UNAVAILABLE


def _metadata(pairs: list[str]) -> Mapping[str, str]:
    metadata = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{pair!r} is not of the form name=value", param_hint="--metadata")
        metadata[name] = value
    return metadata


@dataclass(frozen=True, slots=True)
class Order:
    """Hold what the command line asks for, for each file alike."""

    content_type: str | None
    metadata: Mapping[str, str]
    checksums: bool
    resume: bool
    wait_seconds: float


@app.command()
def upload(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Files to send.", show_default=False)],
    url: Annotated[str, typer.Option(envvar="GATEWAY_URL", help="Address of the gateway.")] = "http://127.0.0.1:8080",
    key: Annotated[
        str, typer.Option(envvar="GATEWAY_API_KEY", help="API key; better in the environment than here.")
    ] = "",
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Parts in flight at once.")] = 4,
    content_type: Annotated[str | None, typer.Option(help="Type to declare, e.g. audio/mpeg.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Kept with the upload.")] = None,
    no_checksums: Annotated[bool, typer.Option("--no-checksums", help="Do not sign each part's SHA-256.")] = False,
    no_resume: Annotated[bool, typer.Option("--no-resume", help="Neither go on with nor remember an upload.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the check after the last byte.")] = 600.0,
    tries: Annotated[int, typer.Option(min=1, max=100, help="Tries of a request before giving up.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line for each file.")] = False,
) -> None:
    """Send files and wait until they are ready or rejected.

    Ctrl-C stops; the same command goes on where it stopped.

    Exit codes: 0 every file is ready, 1 a file was rejected or refused, 2 the command is wrong, 3 gateway or store did
    not answer or the check goes on, 4 a file cannot be read, changed, or is being sent already, 130 interrupted,
    143 terminated.
    """
    if not key:
        raise typer.BadParameter("an API key is needed: set GATEWAY_API_KEY", param_hint="--key")
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise typer.BadParameter(f"no such file: {', '.join(missing)}", param_hint="FILE")
    # Named twice (a pattern and a name) it is one file.
    files = list(dict.fromkeys(files))
    order = Order(content_type, _metadata(metadata or []), not no_checksums, not no_resume, wait)
    try:
        client = Client(url, key, parallel=parallel, retry=Retry(attempts=tries))
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--url") from exc
    with client, Display(files, quiet=as_json and not sys.stderr.isatty()) as display:
        code = _Crew(client, files, order, display, as_json=as_json).send()
    raise typer.Exit(code)


class _Terminated(BaseException):
    """SIGTERM came."""


def _on_term(*_: object) -> None:
    raise _Terminated


class _Crew:
    """Send files, a few at once; their parts share the client's slots."""

    def __init__(self, client: Client, files: list[Path], order: Order, display: Display, *, as_json: bool) -> None:
        self._client = client
        self._files = files
        self._order = order
        self._display = display
        self._as_json = as_json
        self._cancel = threading.Event()
        self._outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self._code = Exit.READY

    def send(self) -> Exit:
        """Return the exit code of the whole command."""
        previous = signal.signal(signal.SIGTERM, _on_term)
        try:
            run_parallel(
                range(len(self._files)), self._one, threads=_MAX_FILES_AT_ONCE, stop=self._cancel, tick=self._tell
            )
        except (KeyboardInterrupt, _Terminated) as exc:
            self._display.say("stopped; the same command goes on where it stopped")
            self._code = Exit.INTERRUPTED if isinstance(exc, KeyboardInterrupt) else Exit.TERMINATED
        finally:
            signal.signal(signal.SIGTERM, previous)
        return self._code

    def _one(self, number: int) -> None:
        file = self._files[number]
        started = time.monotonic()
        result: Upload | ClientError
        try:
            result = self._client.upload(
                file,
                content_type=self._order.content_type,
                metadata=self._order.metadata,
                checksums=self._order.checksums,
                resume=self._order.resume,
                wait_seconds=self._order.wait_seconds,
                progress=self._display.listener(number),
                cancel=self._cancel,
            )
        except ClientError as exc:
            result = exc
        seconds = time.monotonic() - started
        self._display.finish(number)
        if isinstance(result, Upload):
            error = None if result.is_final else ClientError("the check goes on; ask for the upload later")
            self._outcomes.put(Outcome(file, exit_of(result), seconds, result, error))
        else:
            self._outcomes.put(Outcome(file, exit_of(result), seconds, None, result))

    def _tell(self) -> None:
        """Print what ended since the last look; called in the main thread only."""
        while not self._outcomes.empty():
            outcome = self._outcomes.get()
            self._code = max(self._code, outcome.code)
            if self._as_json:
                typer.echo(json.dumps(outcome.record, ensure_ascii=False))
            else:
                self._display.say(outcome.text, out=outcome.code is Exit.READY)
