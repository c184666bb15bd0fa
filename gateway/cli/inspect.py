"""Say whether a file would be accepted, and show its format: `gateway inspect FILE|UPLOAD_ID…`."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from gateway.cli.client_options import (
    DEFAULT_TRIES,
    AsJson,
    Exit,
    Key,
    Quiet,
    Tries,
    Url,
    complain,
    exit_of,
    print_json,
)
from gateway.client import Client, ClientError, Rejection, Retry
from gateway.client.address import KEY_VARIABLE

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class _Failed(Exception):
    """There is no verdict; the message says why, `code` is the exit code."""

    def __init__(self, message: str, code: Exit) -> None:
        self.code = code
        super().__init__(message)


@app.command()
def inspect(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="FILE|UPLOAD_ID…", help="Files here, or uploads of the gateway.", show_default=False),
    ],
    local: Annotated[
        bool, typer.Option("--local", help="Check here, by the settings of this environment, and send nothing.")
    ] = False,
    tries: Tries = DEFAULT_TRIES,
    url: Url = None,
    key: Key = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Say whether an upload of each file would be accepted, and why not.

    The command sends the name, the size and a few kilobytes to the gateway, as `gateway upload` does first; the
    gateway stores nothing. Without a key, or with --local, the file is checked here (this needs the server's
    packages). For an upload id, the gateway gives the answer of its check.

    Exit codes: 0 everything is accepted, 1 something is refused, 2 the command is wrong or a target is neither a file
    nor an upload id, 3 the gateway did not answer or does not know the key or the id, 4 a file cannot be read.
    """
    answers = []
    code = Exit.READY
    with ExitStack() as stack:
        inspector = _Inspector(stack, url, key, tries, local=local)
        for target in targets:
            try:
                answer = inspector.answer(target)
                accepted = answer["accepted"] and not answer.get("rejection")
                code = max(code, Exit.READY if accepted else Exit.REJECTED)
            except (_Failed, ClientError) as failure:
                answer = {"target": target, "accepted": False, "check": None, "reason": str(failure)}
                code = max(code, failure.code if isinstance(failure, _Failed) else exit_of(failure))
            answers.append(answer)
    if as_json:
        for answer in answers:
            print_json(answer)
    elif quiet:
        for answer in answers:
            if not answer["accepted"] or answer.get("rejection"):
                complain(f"{answer['target']}: {_reason(answer)}")
    else:
        _show(answers)
    raise typer.Exit(code)


class _Inspector:
    """Ask the gateway, or check files here; the connection is opened when it is needed first."""

    def __init__(self, stack: ExitStack, url: str | None, key: str | None, tries: int, *, local: bool) -> None:
        self._stack = stack
        self._url = url
        self._key = key
        self._tries = tries
        self._local = local
        self._client: Client | None = None

    def answer(self, target: str) -> dict[str, Any]:
        """Return what is known of a target; raise _Failed or ClientError."""
        if Path(target).is_file():
            return _of_file(target) if self._local or not self._key else self._of_gateway(target)
        try:
            upload_id = uuid.UUID(target)
        except ValueError as exc:
            raise _Failed("there is no such file, and this is not an upload id", Exit.USAGE) from exc
        return self._of_upload(target, upload_id)

    def _connection(self) -> Client:
        if self._client is None:
            client = Client(self._url or None, self._key, retry=Retry(attempts=self._tries))
            self._client = self._stack.enter_context(client)
        return self._client

    def _of_gateway(self, target: str) -> dict[str, Any]:
        found = self._connection().inspect(target)
        if found.accepted is None:
            raise _Failed("the gateway has no answer without the whole file", Exit.UNAVAILABLE)
        facts = dict(found.detection or {"accepted": found.accepted, "check": None})
        return {"target": target, **facts, "rejection": _rejection(found.rejection)}

    def _of_upload(self, target: str, upload_id: uuid.UUID) -> dict[str, Any]:
        upload = self._connection().get(str(upload_id))
        rejection = upload.rejection
        if upload.detection is None:
            reason = rejection.detail if rejection else f"the upload is {upload.state}; its bytes were not checked yet"
            return {"target": target, "state": upload.state, "accepted": False, "check": None, "reason": reason}
        return {"target": target, "state": upload.state, **upload.detection, "rejection": _rejection(rejection)}


def _rejection(rejection: Rejection | None) -> dict[str, str] | None:
    return {"code": rejection.code, "detail": rejection.detail} if rejection else None


def _of_file(target: str) -> dict[str, Any]:
    if find_spec("puremagic") is None:
        packages = "pip install '.[server]' in a checkout, or install the wheel with its extra `server`"
        raise _Failed(f"set {KEY_VARIABLE} to ask a gateway, or check the file here: {packages}", Exit.USAGE)
    from gateway.bootstrap import file_rules_of
    from gateway.detection import inspect_file
    from gateway.domain.errors import GatewayError
    from gateway.domain.policy import check_extension, check_size
    from gateway.settings.policy import PolicySettings
    from gateway.uploads.decide import decide

    path = Path(target)
    rules = file_rules_of(PolicySettings())
    try:
        decision = decide(rules, path.name, inspect_file(path))
        size = path.stat().st_size
    except OSError as exc:
        raise _Failed(f"the file cannot be read: {exc.strerror}", Exit.SOURCE) from exc
    rejection = decision.rejection
    code, detail = (rejection.code, rejection.detail) if rejection else (None, None)
    try:
        check_extension(path.name, rules)
        if size:
            check_size(size, rules)
    except GatewayError as exc:
        code, detail = exc.code, exc.detail
    shown = {"code": code, "detail": detail} if code else None
    return {"target": target, **decision.to_dict(), "rejection": shown}


def _show(answers: list[dict[str, Any]]) -> None:
    """Print a table, then the advice for each rejection."""
    # A file or a pipe has no width of a terminal: 160 columns keep each row on one line.
    console = Console(soft_wrap=True) if sys.stdout.isatty() else Console(width=int(os.environ.get("COLUMNS", "160")))
    table = Table(box=None, pad_edge=False)
    for title in ("FILE", "VERDICT", "TYPE", "TRACKS", "SECONDS", "READS", "BYTES"):
        table.add_column(title, justify="right" if title in ("SECONDS", "READS", "BYTES") else "left")
    for answer in answers:
        table.add_row(*(_plain(cell) for cell in _row(answer)))
    console.print(table)
    for answer in answers:
        reason = _reason(answer) or _note(answer)
        if reason:
            console.print(_plain(f"{Path(answer['target']).name}: {reason}"), markup=False, highlight=False)


def _reason(answer: Mapping[str, Any]) -> str | None:
    """Return why a file is refused, or why there is no verdict."""
    return answer.get("reason") or (answer.get("rejection") or {}).get("detail")


def _note(answer: Mapping[str, Any]) -> str | None:
    """Return the warnings about an accepted file."""
    notes = []
    if answer.get("complete") is False:
        notes.append("The file plays but was cut.")
    if answer.get("suggested_filename"):
        notes.append(f"A name that fits: {answer['suggested_filename']}")
    return " ".join(notes) or None


def _row(answer: Mapping[str, Any]) -> tuple[str, ...]:
    tracks = answer.get("tracks") or ()
    code = (answer.get("rejection") or {}).get("code")
    verdict = f"refused: {answer.get('check') or code or 'no verdict'}"
    if answer["accepted"]:
        verdict = f"refused: {code}" if code else "accepted"
    seconds = answer.get("duration_seconds")
    return (
        answer["target"],
        verdict,
        answer.get("media_type") or answer.get("container") or "-",
        ", ".join(f"{track['kind']} {track['codec'] or ''}".strip() for track in tracks) or "-",
        f"{seconds:.1f}" if seconds is not None else "-",
        str(answer.get("reads", "-")),
        str(answer.get("bytes_read", "-")),
    )


def _plain(text: str) -> str:
    """Remove control characters that a terminal would execute: file names may hold any."""
    return "".join(letter if letter.isprintable() else "�" for letter in text).replace("[", "\\[")
