"""`gateway inspect` says what a file is, and in words that let a user act what is wrong with it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.inspect import app
from gateway.detection import inspect_bytes
from tests.unit.detection import media

UPLOAD_ID = "01938e2c-7c1a-7b62-9d0a-2f6f3a9f0c11"


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", **environment})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "film.mp4").write_bytes(media.genuine("end.mp4"))
    (tmp_path / "page.mp4").write_bytes(media.HTML)
    (tmp_path / "half.mp4").write_bytes(media.genuine("end.mp4")[:3000])
    (tmp_path / "matroska.mp4").write_bytes(media.genuine("x.mkv"))
    (tmp_path / "film.exe").write_bytes(media.genuine("end.mp4"))
    return tmp_path


def test_a_good_file_is_a_line_of_a_table(folder: Path) -> None:
    """Type, tracks, duration and cost stand in one line; the exit code is 0."""
    result = run(str(folder / "film.mp4"))
    assert result.exit_code == 0
    line = next(line for line in result.output.splitlines() if "film.mp4" in line)
    for word in ("accepted", "video/mp4", "video avc1.f4000b", "audio mp4a.40.2", "2.0"):
        assert word in line


@pytest.mark.parametrize(
    ("name", "check", "reason"),
    [
        ("page.mp4", "beginning", "begins like a web page"),
        ("half.mp4", "truncated", "Upload the complete file"),
        ("film.exe", "extension_not_allowed", "Files .exe are not accepted"),
    ],
)
def test_a_refusal_names_its_check_and_what_to_do(folder: Path, name: str, check: str, reason: str) -> None:
    """The check stands in the table, the sentence below it; the exit code is 1."""
    result = run(str(folder / name), str(folder / "film.mp4"))
    assert result.exit_code == 1
    assert f"refused: {check}" in result.output
    assert reason in result.output


def test_json_is_one_object_a_line(folder: Path) -> None:
    """Scripts read the verdict as it is kept in an upload."""
    result = run("--json", str(folder / "film.mp4"), str(folder / "page.mp4"))
    film, page = (json.loads(line) for line in result.output.splitlines())
    verdict = inspect_bytes(media.genuine("end.mp4")).to_dict()
    assert {key: film[key] for key in verdict} == json.loads(json.dumps(verdict))
    assert (film["rejection"], film["extension_mismatch"]) == (None, False)
    assert (page["accepted"], page["check"]) == (False, "beginning")


def test_what_is_no_file_and_no_upload_is_said_so(folder: Path) -> None:
    """A typo exits with 2, and the other targets are still answered."""
    result = run(str(folder / "nofilm.mp4"), str(folder / "film.mp4"))
    assert result.exit_code == 2
    assert "no such file" in result.output
    assert "video/mp4" in result.output


def test_a_name_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    """Escape sequences and markup in a file name are shown, not obeyed."""
    name = tmp_path / "\x1b[31m[red]x\n.mp4"
    name.write_bytes(b"")
    output = run(str(name)).output
    assert "\x1b" not in output
    assert "[red]" in output


class _Gateway(BaseHTTPRequestHandler):
    answers: dict[str, tuple[int, dict[str, Any]]]

    def do_GET(self) -> None:
        allowed = self.headers["Authorization"] == "Bearer secret"
        status, body = self.answers.get(self.path, (404, {"detail": "There is no such upload."}))
        if not allowed:
            status, body = 401, {"detail": "A valid API key or token is needed."}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def gateway() -> Iterator[str]:
    verdict = inspect_bytes(media.genuine("end.mp4")).to_dict()
    refused = inspect_bytes(media.HTML).to_dict()
    plan = dict.fromkeys(("size_bytes", "part_size_bytes", "part_count"), 1)

    def upload(state: str, detection: Any = None, rejection: Any = None) -> tuple[int, dict[str, Any]]:
        known = {"upload_id": UPLOAD_ID, "filename": "film.mp4", "detection": detection, "rejection": rejection}
        return 200, plan | known | {"state": state}

    _Gateway.answers = {
        f"/v1/uploads/{UPLOAD_ID}": upload("ready", verdict),
        f"/v1/uploads/{UPLOAD_ID[:-1]}2": upload("rejected", refused, {"code": "x", "detail": "No."}),
        f"/v1/uploads/{UPLOAD_ID[:-1]}3": upload("uploading"),
        f"/v1/uploads/{UPLOAD_ID[:-1]}4": (503, {"detail": "The database does not answer; try again."}),
        f"/v1/uploads/{UPLOAD_ID[:-1]}5": upload("rejected", verdict, {"code": "extension_mismatch", "detail": "No."}),
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Gateway)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("last", "code", "said"),
    [
        ("1", 0, "video/mp4"),
        ("2", 1, "refused: beginning"),
        ("3", 1, "the upload is uploading"),
        ("4", 3, "The database does not answer"),
        ("5", 1, "refused: extension_mismatch"),
        ("6", 3, "There is no such upload"),
    ],
)
def test_an_upload_is_asked_of_the_gateway(gateway: str, last: str, code: int, said: str) -> None:
    """The verdict kept in the upload is shown like that of a file; the gateway's own words say why there is none."""
    result = run(UPLOAD_ID[:-1] + last, "--tries", "1", GATEWAY_URL=gateway, GATEWAY_API_KEY="secret")
    assert result.exit_code == code
    assert said in result.output


def test_a_missing_key_and_a_dead_gateway_are_told_apart() -> None:
    """One is the caller's to mend (2), the other may be tried again (3)."""
    assert run(UPLOAD_ID, "--url", "http://127.0.0.1:1", GATEWAY_API_KEY="").exit_code == 2
    dead = run(UPLOAD_ID, "--tries", "1", "--url", "http://127.0.0.1:1", GATEWAY_API_KEY="secret")
    assert dead.exit_code == 3
    assert "secret" not in dead.output
