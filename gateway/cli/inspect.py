"""Show the format of a file and whether it would be accepted: `gateway inspect FILE|UPLOAD_ID…`."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(add_completion=False)

ACCEPTED, REFUSED, USAGE, UNAVAILABLE = 0, 1, 2, 3
# One answer about one upload is a few hundred bytes from a database row.
_TIMEOUT_SECONDS = 30.0


class _Failed(Exception):
    """There is no verdict; the message says why, `code` is the exit code."""

    def __init__(self, message: str, code: int) -> None:
        self.code = code
        super().__init__(message)


@app.command()
def inspect(
    targets: Annotated[
        list[str], typer.Argument(metavar="FILE|UPLOAD_ID…", help="Files here, or uploads of the gateway.")
    ],
    url: Annotated[str, typer.Option(envvar="GATEWAY_URL", help="Address of the gateway.")] = "http://127.0.0.1:8080",
    key: Annotated[
        str, typer.Option(envvar="GATEWAY_API_KEY", help="API key; better in the environment than here.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line for each target.")] = False,
) -> None:
    """Say whether each file would be accepted, as the gateway of these settings would, and why not.

    A local file is read and nothing is sent. For an upload id, the gateway is asked for the answer of its check.

    Exit codes: 0 everything is accepted, 1 something is refused, 2 a target is neither a file nor an upload,
    3 the gateway did not answer.
    """
    answers = []
    code = ACCEPTED
    for target in targets:
        try:
            answer = _of_file(target) if Path(target).is_file() else _of_upload(target, url, key)
            code = max(code, ACCEPTED if answer["accepted"] and not answer.get("rejection") else REFUSED)
        except _Failed as failure:
            answer = {"target": target, "accepted": False, "check": None, "reason": str(failure)}
            code = max(code, failure.code)
        answers.append(answer)
    if as_json:
        for answer in answers:
            sys.stdout.write(json.dumps(answer) + "\n")
    else:
        _show(answers)
    raise typer.Exit(code)


def _of_file(target: str) -> dict[str, Any]:
    if find_spec("puremagic") is None:
        raise _Failed("reading a file needs the server's packages: pip install 'upload-gateway[server]'", USAGE)
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
        raise _Failed(f"the file cannot be read: {exc.strerror}", USAGE) from exc
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


def _of_upload(target: str, url: str, key: str) -> dict[str, Any]:
    try:
        upload_id = uuid.UUID(target)
    except ValueError as exc:
        raise _Failed("there is no such file, and this is not an upload id", USAGE) from exc
    if not key:
        raise _Failed("an API key is needed: set GATEWAY_API_KEY", USAGE)
    upload = _ask(upload_id, url, key)
    detection = upload.get("detection")
    rejection = upload.get("rejection")
    if detection is None:
        state = upload.get("state")
        reason = (rejection or {}).get("detail") or f"the upload is {state}; its bytes were not checked yet"
        return {"target": target, "state": state, "accepted": False, "check": None, "reason": reason}
    return {"target": target, "state": upload.get("state"), **detection, "rejection": rejection}


def _ask(upload_id: uuid.UUID, url: str, key: str) -> Mapping[str, Any]:
    try:
        answer = httpx.get(
            f"{url.rstrip('/')}/v1/uploads/{upload_id}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=_TIMEOUT_SECONDS,
        )
        body = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
        raise _Failed(f"the gateway did not answer: {type(exc).__name__}", UNAVAILABLE) from exc
    if answer.is_success and isinstance(body, dict):
        return body
    detail = body.get("detail") if isinstance(body, dict) else None
    code = UNAVAILABLE if answer.status_code >= 500 or answer.status_code == 429 else USAGE
    raise _Failed(str(detail or f"the gateway answered {answer.status_code}"), code)


def _show(answers: list[dict[str, Any]]) -> None:
    """Print a table, then the advice for each rejection."""
    # In a file or a pipe a table is as wide as it must be.
    console = Console(soft_wrap=True) if sys.stdout.isatty() else Console(width=int(os.environ.get("COLUMNS", "160")))
    table = Table(box=None, pad_edge=False)
    for title in ("FILE", "VERDICT", "TYPE", "TRACKS", "SECONDS", "READS", "BYTES"):
        table.add_column(title, justify="right" if title in ("SECONDS", "READS", "BYTES") else "left")
    for answer in answers:
        table.add_row(*(_plain(cell) for cell in _row(answer)))
    console.print(table)
    for answer in answers:
        reason = answer.get("reason") or (answer.get("rejection") or {}).get("detail") or _note(answer)
        if reason:
            console.print(_plain(f"{Path(answer['target']).name}: {reason}"), markup=False, highlight=False)


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
    verdict = "accepted" if answer["accepted"] else f"refused: {answer.get('check') or 'no verdict'}"
    if answer["accepted"] and answer.get("rejection"):
        verdict = f"refused: {answer['rejection'].get('code')}"
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
