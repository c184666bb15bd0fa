"""The client's public types, read from outside: mypy and pyright against the built wheel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYRIGHT = HERE / "node_modules" / "pyright" / "index.js"
MISUSES = {
    number
    for number, line in enumerate((HERE / "client_misuse.py").read_text().splitlines(), 1)
    if line.endswith("# wrong")
}
TYPED, MISUSED = HERE / "client_types.py", HERE / "client_misuse.py"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and give a Python that has it, and its dependencies, but not this repository."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(venv), "platbase": str(venv)}))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # The dependencies come from this environment. The wheel comes first, and the repository is no site folder.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv / "bin" / "python"


def _mypy(python: Path, file: Path) -> set[int]:
    """Return the lines in which mypy finds an error."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        str(python),
        "--config-file",
        os.devnull,
    ]
    done = subprocess.run(
        [*command, "--cache-dir", str(python.parents[2] / "mypy"), str(file)],
        cwd=python.parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return {int(line) for line in re.findall(rf"{file.name}:(\d+): error", done.stdout)}


def _pyright(python: Path, file: Path) -> set[int]:
    """Return the lines in which pyright finds an error."""
    if not PYRIGHT.exists():
        pytest.skip("pyright is not installed: make types")
    done = subprocess.run(
        ["node", str(PYRIGHT), "--pythonpath", str(python), "--outputjson", str(file)],
        cwd=python.parents[2],
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {one["range"]["start"]["line"] + 1 for one in found if one["severity"] == "error"}


@pytest.mark.parametrize("check", [_mypy, _pyright])
def test_a_typed_program_has_no_error(python: Path, check: type) -> None:
    """A program that uses the client as documented has no error, and each result has the type that it should have."""
    assert check(python, TYPED) == set()


@pytest.mark.parametrize("check", [_mypy, _pyright])
def test_misuse_is_found(python: Path, check: type) -> None:
    """Each wrong line of a program is an error of the type checker: nothing here is `Any`."""
    assert check(python, MISUSED) == MISUSES
