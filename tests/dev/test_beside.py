"""A command finds a running `gateway dev` by its folder, and nothing where none runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.environment import operator_settings
from gateway.cli.start_line import database_place
from gateway.cli.store import app as store_app
from gateway.dev.beside import FILE, announced, settings_of_running

DATABASE = "postgresql://gateway:secret@127.0.0.1:5/gateway"
HOLDER = """
import sys, time
from pathlib import Path
from gateway.dev.beside import announced
with announced(Path(sys.argv[1]), {"database_url": sys.argv[2], "port": "5"}):
    print("here", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("GATEWAY_DATABASE_URL", "GATEWAY_S3_ENDPOINT", "GATEWAY_S3_BUCKET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))


def test_a_killed_one_does_not_count(tmp_path: Path) -> None:
    """The file of a killed process stays, and is not believed; the next start replaces it."""
    assert settings_of_running(tmp_path) is None
    command = [sys.executable, "-c", HOLDER, str(tmp_path), DATABASE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        assert settings_of_running(tmp_path) == {"database_url": DATABASE, "port": "5"}
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / FILE).exists()
    assert settings_of_running(tmp_path) is None
    with announced(tmp_path, {"a": "b"}):
        assert settings_of_running(tmp_path) == {"a": "b"}
    assert not (tmp_path / FILE).exists()


@pytest.mark.usefixtures("_bare")
def test_what_is_set_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Database and store come from the running one, as far as the environment leaves them out; nothing else does."""
    with announced(tmp_path, {"database_url": DATABASE, "s3_bucket": "theirs", "port": "5"}):
        found = operator_settings(quiet=True)
        assert (found.database_url.get_secret_value(), found.s3_bucket, found.port) == (DATABASE, "theirs", 8080)
        monkeypatch.setenv("GATEWAY_S3_BUCKET", "mine")
        assert (operator_settings(quiet=True).s3_bucket, found.data_dir) == ("mine", tmp_path)
    assert operator_settings(quiet=True).database_url.get_secret_value() != DATABASE


@pytest.mark.usefixtures("_bare")
def test_the_command_says_what_it_uses(tmp_path: Path) -> None:
    """A line on standard error names the folder, unless quiet; standard output stays JSON."""
    with announced(tmp_path, {"s3_bucket": "theirs"}):
        told = CliRunner().invoke(store_app, ["policies"])
        assert "arn:aws:s3:::theirs" in told.stdout
        assert told.stderr == f"Using the gateway dev that runs on {tmp_path}.\n"
        assert CliRunner().invoke(store_app, ["policies", "-q"]).stderr == ""


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (
            "postgresql://gateway:se%20cret@db.example:6432/media?sslmode=require",
            "postgresql://gateway@db.example:6432/media",
        ),
        ("postgresql://u:p@[::1]/x", "postgresql://u@[::1]:5432/x"),
        ("host=/run/postgresql dbname=x password=p", "postgresql:///run/postgresql:5432/x"),
    ],
)
def test_the_first_line_has_no_password(url: str, place: str) -> None:
    """The line that a log begins with names the database without its password and options."""
    assert database_place(url) == place
