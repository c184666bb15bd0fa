"""The two commands in a checkout below folders that only its owner may enter, with the virtual environment in it.

The programs of PostgreSQL then lie where the user that root becomes for them cannot go.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.processes import MakeProcess, assert_gone

ROOT = Path(__file__).parents[2]
SECONDS = 900
"""An empty package cache, and PostgreSQL and store on two busy cores."""

STRANGER = 54_321
"""A user without an entry in the list of users, as a container may have."""

COPIES = Path("/var/lib")
TEST = "tests/e2e/test_topology.py::test_separate_processes_bring_a_file_to_ready"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(SECONDS),
    pytest.mark.xdist_group("closed checkout"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become another user"),
]


def _copy_checkout(target: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    subprocess.run(["chmod", "-R", "go-rwx", target.parent], check=True)


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    """Give a copy of this checkout in a path with blanks and umlauts. Its environment is made by the first test."""
    if not (ROOT / ".git").exists():
        missing("the copy is made from git's list of files")
    closed = Path(tempfile.mkdtemp(prefix="über mir "))
    target = closed / "the checkout"
    target.mkdir()
    _copy_checkout(target)
    yield target
    shutil.rmtree(closed)


def _environment(checkout: Path, **changes: str) -> dict[str, str]:
    """Return the variables of a person's shell. Packages are copied: a changed owner must not reach a shared cache."""
    ours = ("PYTEST_", "PYTHON", "COV_", "VIRTUAL_ENV", "UV_CACHE_DIR", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    closed = {"TMPDIR": str(checkout.parent), "GATEWAY_PORT": "0", "UV_LINK_MODE": "copy", "PYTHONUNBUFFERED": "1"}
    return {**kept, **closed, **changes}


@contextmanager
def _make_dev(checkout: Path, before: Sequence[str], environment: dict[str, str]) -> Iterator[MakeProcess]:
    with MakeProcess("dev", cwd=checkout, environment=environment, before=before, umask=0o077) as process:
        try:
            yield process
        finally:
            for copy in COPIES.glob("upload-gateway-*"):
                if any(str(copy) in line for line in process.output):
                    shutil.rmtree(copy)


def _test_a_piece(checkout: Path, before: Sequence[str] = ()) -> None:
    """Run `make test` on one test of the whole service."""
    result = subprocess.run(
        [*before, "make", "--no-print-directory", "test", f"TESTS={TEST}"],
        cwd=checkout,
        env=_environment(checkout),
        capture_output=True,
        text=True,
        umask=0o077,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"\b1 passed", result.stdout), result.stdout


def _upload_a_sample(
    checkout: Path, before: Sequence[str] = (), environment: dict[str, str] | None = None
) -> list[str]:
    """Run `make dev` on no data, send the sample with the line that it prints, stop it, and return its lines."""
    shutil.rmtree(checkout / ".gateway", ignore_errors=True)
    environment = environment or _environment(checkout)
    with _make_dev(checkout, before, environment) as process:
        pasted = process.wait_for(r"^ +(\S.* upload .*sample.mp3.*)$")[1]
        process.wait_for("Ctrl-C stops everything")
        children = process.children()
        assert any(child.name() == "postgres" for child in children)
        sent = subprocess.run(
            [*before, *shlex.split(pasted), "--json"],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert sent.returncode == 0, sent.stdout + sent.stderr
        assert '"ready"' in sent.stdout
        process.send(signal.SIGINT)
        process.ended()
        assert_gone(children)
        assert "Stopped; the data is kept." in process.output
    return process.output


def _withheld(names: str) -> tuple[str, ...]:
    if shutil.which("setpriv") is None:
        missing("no setpriv (util-linux) on PATH")
    return ("setpriv", "--bounding-set", names, "--")


def test_root_runs_both_commands_below_a_closed_folder(checkout: Path) -> None:
    """From nothing: `make dev` makes the environment and a file gets ready; `make test` adds the rest and passes."""
    output = _upload_a_sample(checkout)
    assert any("requirements-dev.lock" in line for line in output)
    assert (checkout / ".venv" / "bin" / "gateway").exists()
    assert not any("PostgreSQL runs from" in line for line in output), output
    _test_a_piece(checkout)


@pytest.mark.parametrize(
    "names",
    [
        "-dac_override,-dac_read_search,-fowner",
        "-dac_override,-dac_read_search,-fowner,-setuid,-setgid,-setpcap,-chown",
        "-dac_override,-dac_read_search,-fowner,-setfcap",
    ],
    ids=["no files of others", "no other user", "no namespace"],
)
def test_root_without_capabilities_runs_both_commands(names: str, checkout: Path) -> None:
    """A container withholds rights: the same, and where PostgreSQL runs from a copy one line says so."""
    before = _withheld(names)
    output = _upload_a_sample(checkout, before)
    assert sum("PostgreSQL runs from" in line for line in output) == ("setfcap" in names), output
    if "setuid" in names:
        _test_a_piece(checkout, before)


def test_another_user_runs_make_dev_in_a_checkout_that_is_read_only(checkout: Path) -> None:
    """A user who is in no list of users and may not write to the checkout: everything goes to the user's cache."""
    if shutil.which("setpriv") is None:
        missing("no setpriv (util-linux) on PATH")
    home = checkout.parent / "home"
    home.mkdir(exist_ok=True)
    shutil.rmtree(checkout / ".gateway", ignore_errors=True)
    subprocess.run(["chown", "-hR", f"{STRANGER}:{STRANGER}", checkout.parent], check=True)
    subprocess.run(["chmod", "-R", "a-w", checkout], check=True)
    before = ("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", "--")
    # Root's own Python may lie below its home, where nobody else can go.
    environment = _environment(checkout, HOME=str(home), PATH="/usr/local/bin:/usr/bin:/bin")
    _upload_a_sample(checkout, before, environment)
    assert not (checkout / ".gateway").exists()
    assert list((home / ".cache" / "upload-gateway").glob("*/data/dev-key"))
