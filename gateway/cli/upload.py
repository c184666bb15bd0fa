"""Send files: `gateway upload FILE…`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer

from gateway.cli.client_options import (
    DEFAULT_TRIES,
    AsJson,
    Exit,
    Key,
    Quiet,
    Tries,
    Url,
    connected,
    error_record,
    exit_of,
    metadata_of,
    print_json,
)
from gateway.cli.upload_display import Display
from gateway.cli.upload_inputs import STDIN, files_of, size_of
from gateway.client import Client, ClientError, FileToSend, Outcome, Progress
from gateway.client.source import plain_name

app = typer.Typer(add_completion=False, rich_markup_mode=None)

# More files at once only wait for each other's parts.
_MAX_FILES_AT_ONCE = 4
_STOPPED = "stopped; run the same command to go on"


@dataclass(frozen=True, slots=True)
class Result:
    """Hold how one file ended, as a line for people and as an object for programs."""

    file: str
    seconds: float
    outcome: Outcome
    resumed_bytes: int = 0

    @property
    def code(self) -> Exit:
        """Return the exit code of this file."""
        return exit_of(self.outcome.error or self.outcome.upload or ClientError())

    @property
    def text(self) -> str:
        """Return one line."""
        upload = self.outcome.upload
        if upload is None:
            return f"{self.file}: {self.outcome.error}"
        line = f"{self.file}: {upload.state} {upload.upload_id or 'before it was sent'}"
        if upload.rejection is not None:
            line += f" ({upload.rejection.code}: {upload.rejection.detail})"
        elif not upload.is_final:
            line += " (still being checked: ask `gateway status`)"
        return line

    @property
    def record(self) -> dict[str, Any]:
        """Return the object that `--json` prints; `error` is there only when the file got no final answer."""
        record: dict[str, Any] = {"file": plain_name(self.file), "seconds": round(self.seconds, 3)}
        upload, error = self.outcome.upload, self.outcome.error
        if upload is not None:
            if upload.upload_id:
                record["upload_id"] = upload.upload_id
            record |= {
                "state": upload.state,
                "filename": upload.filename,
                "size_bytes": upload.size_bytes,
                "content_type": upload.content_type,
            }
            if upload.rejection is not None:
                record["rejection"] = {"code": upload.rejection.code, "detail": upload.rejection.detail}
            if not upload.is_final:
                error = ClientError("the file is still being checked", advice="Ask for the upload later.")
        if self.resumed_bytes:
            record["resumed_bytes"] = self.resumed_bytes
        if error is not None:
            record["error"] = error_record(error)
        return record


@dataclass(frozen=True, slots=True)
class Options:
    """Hold the options of the command line, which apply to every file."""

    content_type: str | None
    metadata: Mapping[str, str]
    checksums: bool
    resume: bool
    inspect: bool
    wait_seconds: float


@app.command()
def upload(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE", help="Files, patterns, folders (-r) or `-`.", show_default=False)
    ],
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Send the files of folders.")] = False,
    name: Annotated[str | None, typer.Option(help="Name to declare, needed for standard input (`-`).")] = None,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Parts in flight at once.")] = 4,
    content_type: Annotated[str | None, typer.Option(help="Type to declare, e.g. audio/mpeg.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Kept with the upload.")] = None,
    no_checksums: Annotated[bool, typer.Option("--no-checksums", help="Do not sign each part's SHA-256.")] = False,
    no_resume: Annotated[bool, typer.Option("--no-resume", help="Neither resume nor record an upload.")] = False,
    no_inspect: Annotated[
        bool, typer.Option("--no-inspect", help="Send without asking first whether the file would be accepted.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the check after the last byte.")] = 600.0,
    tries: Tries = DEFAULT_TRIES,
    url: Url = None,
    key: Key = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Send files and wait until they are ready or rejected.

    A file that the gateway would reject is refused before it is sent. After Ctrl-C run the same command to go on. The
    files of a folder get their path as the metadata `path`.

    Exit codes: 0 every file is ready, 1 a file was rejected or refused, 2 the command is wrong, 3 the gateway or the
    store did not answer or the check takes longer, 4 a file cannot be read, changed, or is being sent already, 130
    interrupted, 143 terminated.
    """
    given = metadata_of(metadata)
    chosen = files_of(files, name=name, recursive=recursive)
    options = Options(content_type, given, not no_checksums, not no_resume, not no_inspect, wait)
    # Bars would mix with the objects where both go to the same terminal.
    bars = not (as_json and sys.stdout.isatty())
    quiet = quiet or (as_json and not sys.stderr.isatty())
    display = Display([_label(file) for file in chosen], [size_of(file) for file in chosen], quiet=quiet, bars=bars)
    with connected(url, key, tries=tries, parallel=parallel) as client, display:
        code = Uploader(client, chosen, options, display, as_json=as_json).send()
    raise typer.Exit(code)


class Uploader:
    """Send files, a few at once, and print the result of each as soon as it ends."""

    def __init__(
        self, client: Client, files: list[FileToSend], options: Options, display: Display, *, as_json: bool
    ) -> None:
        self._client = client
        self._files = [
            FileToSend(file.source, file.filename, options.content_type, {**file.metadata, **options.metadata})
            for file in files
        ]
        self._numbers = {id(file): number for number, file in enumerate(self._files)}
        self._options = options
        self._display = display
        self._as_json = as_json
        self._started: dict[int, float] = {}

    def send(self) -> Exit:
        """Return the exit code of the whole command."""
        code = Exit.READY
        outcomes = self._client.upload_many(
            self._files,
            files_at_once=min(_MAX_FILES_AT_ONCE, len(self._files)),
            checksums=self._options.checksums,
            resume=self._options.resume,
            inspect=self._options.inspect,
            wait_seconds=self._options.wait_seconds,
            progress=self._show,
        )
        with stopping_on_signals(self._stopped) as stopped:
            for outcome in outcomes:
                code = max(code, self._print(outcome))
        return stopped[0] if stopped else code

    def _show(self, file: FileToSend, progress: Progress) -> None:
        number = self._numbers[id(file)]
        self._started.setdefault(number, monotonic())
        self._display.show(number, progress)

    def _print(self, outcome: Outcome) -> Exit:
        number = self._numbers[id(outcome.file)]
        self._display.finish(number)
        seconds = monotonic() - self._started.get(number, monotonic())
        result = Result(_label(outcome.file), seconds, outcome, self._display.resumed_bytes(number))
        if self._as_json:
            print_json(result.record)
        elif result.code is Exit.READY:
            self._display.say(result.text, out=True)
        else:
            self._display.say_error(result.text)
        return result.code

    def _stopped(self) -> None:
        streams = any(file.source is sys.stdin.buffer for file in self._files)
        self._display.say_error("stopped" if streams else _STOPPED)


class _Terminated(BaseException):
    """SIGTERM came."""


def _on_term(*_: object) -> None:
    raise _Terminated


@contextmanager
def stopping_on_signals(stopped: Callable[[], None]) -> Iterator[list[Exit]]:
    """Call *stopped* when Ctrl-C or SIGTERM ends the block; the list then has the exit code."""
    codes: list[Exit] = []
    previous = signal.signal(signal.SIGTERM, _on_term)
    try:
        yield codes
    except (KeyboardInterrupt, _Terminated) as exc:
        stopped()
        codes.append(Exit.INTERRUPTED if isinstance(exc, KeyboardInterrupt) else Exit.TERMINATED)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _label(file: FileToSend) -> str:
    """Return the name of a file as the command line has it."""
    return str(file.source) if isinstance(file.source, Path) else STDIN
