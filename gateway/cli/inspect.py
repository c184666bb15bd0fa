"""Say what a file is and whether it would be accepted: `gateway inspect FILE|UPLOAD_ID…`."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict
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
    """Say what each file is, which check refused it, and why.

    A file is read here and nothing is sent; for an upload the gateway is asked what it found.

    Exit codes: 0 everything is accepted, 1 something is refused, 2 a target is neither a file nor an upload,
    3 the gateway did not answer.
    """
    answers = []
    code = ACCEPTED
    for target in targets:
        try:
            answer = _of_file(target) if Path(target).is_file() else _of_upload(target, url, key)
            code = max(code, ACCEPTED if answer["accepted"] and not answer.get("mismatch") else REFUSED)
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
        raise _Failed("looking into a file needs the server's packages: pip install 'upload-gateway[server]'", USAGE)
    from gateway.detection import inspect_file
    from gateway.domain.media_types import match

    path = Path(target)
    try:
        verdict = inspect_file(path)
    except OSError as exc:
        raise _Failed(f"the file cannot be read: {exc.strerror}", USAGE) from exc
    mismatch = None
    if verdict.accepted and verdict.family and verdict.media_type and verdict.kind:
        mismatch = match(verdict.family, verdict.media_type, verdict.kind, path.suffix, None)
    return {"target": target, **verdict.to_dict(), "mismatch": asdict(mismatch) if mismatch else None}


def _of_upload(target: str, url: str, key: str) -> dict[str, Any]:
    try:
        upload_id = uuid.UUID(target)
    except ValueError as exc:
        raise _Failed("there is no such file, and this is not an upload id", USAGE) from exc
    if not key:
        raise _Failed("an API key is needed: set GATEWAY_API_KEY", USAGE)
    upload = _ask(upload_id, url, key)
    detection = upload.get("detection")
    rejection = upload.get("rejection") or {}
    if detection is None:
        reason = rejection.get("detail") or f"the upload is {upload.get('state')}; its bytes have not been looked at"
        return {"target": target, "state": upload.get("state"), "accepted": False, "check": None, "reason": reason}
    mismatch = rejection if rejection and detection.get("accepted") else None
    return {"target": target, "state": upload.get("state"), **detection, "mismatch": mismatch}


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
    """Print a table, then what a user can do about each refusal."""
    # In a file or a pipe a table is as wide as it must be.
    console = Console(soft_wrap=True) if sys.stdout.isatty() else Console(width=int(os.environ.get("COLUMNS", "160")))
    table = Table(box=None, pad_edge=False)
    for title in ("FILE", "VERDICT", "TYPE", "TRACKS", "SECONDS", "READS", "BYTES"):
        table.add_column(title, justify="right" if title in ("SECONDS", "READS", "BYTES") else "left")
    for answer in answers:
        table.add_row(*(_plain(cell) for cell in _row(answer)))
    console.print(table)
    for answer in answers:
        reason = answer.get("reason") or (answer.get("mismatch") or {}).get("detail")
        if reason:
            console.print(_plain(f"{Path(answer['target']).name}: {reason}"), markup=False, highlight=False)


def _row(answer: Mapping[str, Any]) -> tuple[str, ...]:
    tracks = answer.get("tracks") or ()
    verdict = "accepted" if answer["accepted"] else f"refused: {answer.get('check') or 'no verdict'}"
    if answer["accepted"] and answer.get("mismatch"):
        verdict = f"refused: {answer['mismatch'].get('code')}"
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
    """Drop what a terminal would obey: file names may hold anything."""
    return "".join(letter if letter.isprintable() else "�" for letter in text).replace("[", "\\[")
