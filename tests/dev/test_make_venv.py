"""`make` says the true cause where no environment can be made, and repairs one that an interrupted call left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OLD_PYTHON = shutil.which("python3.10") or ""
PYENV_PYTHON = Path.home() / ".pyenv" / "versions" / "3.10.13" / "bin" / "python3"

MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="needs make")


def make(python: str, venv: Path) -> subprocess.CompletedProcess[str]:
    """Run `make install-dev` with that PYTHON and environment."""
    command = [str(MAKE), "--no-print-directory", "install-dev", f"PYTHON={python}", f"VENV={venv}"]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


def make_venv(folder: Path, lock: Path, *before: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run infra/make_venv.py, without a package index and with a cache of its own."""
    command = [*before, sys.executable, str(ROOT / "infra" / "make_venv.py"), str(folder), str(lock)]
    environment = {**os.environ, "UV_OFFLINE": "1", "UV_CACHE_DIR": str(lock.parent / "cache"), **changes}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """Give a lock of one package that no index has."""
    file = tmp_path / "one.lock"
    file.write_text(f"upload-gateway-missing==1.0 --hash=sha256:{'0' * 64}\n")
    return file


def test_a_python_that_is_too_old_is_named_with_its_version(tmp_path: Path) -> None:
    """PYTHON= is checked too: the message says what is needed and what was given."""
    old = str(PYENV_PYTHON) if PYENV_PYTHON.exists() else OLD_PYTHON
    if not old:
        pytest.skip("no Python 3.10 on this machine")
    result = make(old, tmp_path / "venv")
    assert result.returncode != 0
    assert f"Python 3.11 to 3.14 is needed, and {old} is Python 3.10." in result.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize(
    ("python", "cause"),
    [("", "No Python from 3.11 to 3.14 is on PATH"), ("/missing/python3", "PYTHON=/missing/python3 cannot be run.")],
)
def test_a_missing_python_is_said(python: str, cause: str, tmp_path: Path) -> None:
    """No traceback and no message of the shell: one line with the cause."""
    result = make(python, tmp_path / "venv")
    assert result.returncode != 0
    assert result.stderr.startswith(cause)


@pytest.mark.skipif(shutil.which("uv") is None, reason="without uv, pip fetches it from a package index")
def test_an_interrupted_environment_is_made_anew(tmp_path: Path, lock: Path) -> None:
    """A folder with blanks and umlauts that an interrupted call left is removed; its half-written files do not stay."""
    folder = tmp_path / "über mir" / "the venv"
    (folder / "bin").mkdir(parents=True)
    (folder / ".installing").touch()
    (folder / "bin" / "half-written").touch()
    (folder / f".ready-{lock.stem}").write_text("of an earlier call")
    result = make_venv(folder, lock)
    assert f"Making {folder} anew" in result.stderr
    assert (folder / "bin" / "python").exists()
    assert not (folder / "bin" / "half-written").exists()
    # Packages are missing, so the next call must not believe that the environment is complete.
    assert result.returncode == 1
    assert "Installing the packages failed: " in result.stderr
    assert (folder / ".installing").exists()
    assert not (folder / f".ready-{lock.stem}").exists()


@pytest.mark.skipif(shutil.which("uv") is None, reason="without uv, pip fetches it from a package index")
def test_a_dead_proxy_is_the_cause(tmp_path: Path, lock: Path) -> None:
    """The last line names what failed in the end, without uv's advice, and asks about the proxy."""
    dead = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    result = make_venv(tmp_path / "venv", lock, **dead, UV_OFFLINE="0", UV_HTTP_RETRIES="0")
    assert result.returncode == 1
    *_, line = result.stderr.splitlines()
    assert line.startswith("Installing the packages failed: the package index does not answer (")
    assert "Is there a network, or a wrong proxy?" in line
    assert not any(word in line for word in ("hint:", "cause:"))


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, lock: Path) -> None:
    """One line with the folder and the reason."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    setpriv = shutil.which("setpriv")
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if setpriv is None:
            pytest.skip("root may write everywhere, and there is no setpriv")
        before = (setpriv, "--bounding-set", "-dac_override,-dac_read_search,-fowner", "--")
    result = make_venv(closed / "venv", lock, *before)
    assert result.returncode == 1
    assert result.stderr == f"Cannot write to {closed / '.venv.lock'}: Permission denied.\n"


def test_uv_that_pip_brings_is_locked_by_hash() -> None:
    """Its installer is one version, held by the hashes of its files."""
    text = (ROOT / "infra" / "requirements-uv.lock").read_text()
    assert text.startswith("uv==")
    assert "--hash=sha256:" in text
