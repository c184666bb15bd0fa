"""Make or repair the virtual environment of a checkout: `python infra/make_venv.py FOLDER LOCK`.

Installs the packages of LOCK and the checkout itself (editable). A folder that an interrupted call left is made anew; a
complete one costs nothing. Uses `uv` where it is on PATH, else pip brings it: uv fetches many packages at once.
Standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
UV_LOCK = ROOT / "infra" / "requirements-uv.lock"
NEEDED_MB = 700


def main(folder: Path, lock: Path) -> None:
    """Do nothing if *folder* holds the packages of *lock*; install them otherwise."""
    wanted = _stamp(lock)
    if _holds(folder, wanted, lock):
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f".{folder.name.lstrip('.')}.lock").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)  # Two calls of make wait for each other.
            if not _holds(folder, wanted, lock):
                _make(folder, lock, wanted)
    except PermissionError as error:
        _fail(f"Cannot write to {error.filename or folder}: {error.strerror}.")
    except OSError as error:
        _fail(f"Cannot make {folder}: {error.strerror} ({error.filename}).")


def _stamp(lock: Path) -> str:
    """Return what an environment was made from: the Python, the checkout's place and the text of its lock."""
    text = f"{sys.version}\n{sys.base_prefix}\n{ROOT}\n".encode()
    return hashlib.sha256(text + lock.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()


def _ready_file(folder: Path, lock: Path) -> Path:
    return folder / f".ready-{lock.stem}"


def _holds(folder: Path, wanted: str, lock: Path) -> bool:
    try:
        complete = _ready_file(folder, lock).read_text() == wanted
    except OSError:
        return False
    # A Python that was removed or upgraded leaves a link to nothing.
    return complete and os.access(folder / "bin" / "python", os.X_OK) and not (folder / ".installing").exists()


def _make(folder: Path, lock: Path, wanted: str) -> None:
    if not _usable(folder):
        if folder.exists():
            _say(f"Making {folder} anew: it is incomplete, was moved, or another Python made it.")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
    (folder / ".installing").touch()
    _ready_file(folder, lock).unlink(missing_ok=True)
    _make_environment(folder)
    uv = _uv(folder)
    environment = {**os.environ, "VIRTUAL_ENV": str(folder), "UV_COMPILE_BYTECODE": "0"}
    for name in ("UV_SYSTEM_PYTHON", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON"):
        environment.pop(name, None)
    count = sum(line[:1].isalnum() for line in lock.read_text().splitlines())
    _say(f"Installing up to {count} packages from {lock.name} into {folder} (once) …")
    _run([*uv, "pip", "install", "--require-hashes", "-r", str(lock)], folder, environment)
    _run([*uv, "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "-e", str(ROOT)], folder, environment)
    _ready_file(folder, lock).write_text(wanted)
    (folder / ".installing").unlink()
    (folder / ".ready").touch()


def _usable(folder: Path) -> bool:
    """Tell whether *folder* is an environment of this Python that packages can be added to."""
    if (folder / ".installing").exists():
        return False
    show = "import sys; print(sys.version, sys.base_prefix, sep='\\n')"
    try:
        made_here = str(folder) in (folder / "bin" / "activate").read_text()
        said = subprocess.run([folder / "bin" / "python", "-c", show], check=False, capture_output=True, text=True)
    except OSError:
        return False
    return made_here and said.stdout == f"{sys.version}\n{sys.base_prefix}\n"


def _make_environment(folder: Path) -> None:
    if (folder / "bin" / "activate").exists():
        return
    uv = shutil.which("uv")
    if uv:
        command = [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)]
    else:
        command = [sys.executable, "-m", "venv", str(folder)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        said = result.stdout + result.stderr
        if "ensurepip" in said or "No module named venv" in said:
            _fail("This Python has no venv module (Debian and Ubuntu: apt install python3-venv), and there is no uv.")
        _fail(f"Cannot make {folder}: {_cause(said)}")


def _uv(folder: Path) -> list[str]:
    """Return the command `uv`; pip brings it where it is missing."""
    found = shutil.which("uv")
    if found:
        return [found]
    own = folder / "bin" / "uv"
    if not own.exists():
        _say("Fetching uv, which installs the packages …")
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        _run([*pip, "--require-hashes", "-r", str(UV_LOCK)], folder, dict(os.environ))
    return [str(own)]


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run *command* with its output shown; end with the true cause in one line if it fails."""
    # On a terminal uv draws its progress itself; elsewhere its lines are passed on and kept for the cause.
    shown = None if sys.stderr.isatty() else subprocess.PIPE
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=shown, env=environment, text=True, cwd=ROOT
    ) as process:
        lines = []
        for line in process.stderr or ():
            lines.append(line)
            if not line.startswith((" + ", " - ", " ~ ")):
                sys.stderr.write(line)
                sys.stderr.flush()
    if process.returncode != 0:
        _fail(f"Installing the packages failed: {_explain(''.join(lines), folder)} The next call tries again.")


def _explain(said: str, folder: Path) -> str:
    free_mb = shutil.disk_usage(folder).free // 1_000_000
    lowered = said.lower()
    if free_mb < 20 or any(words in lowered for words in ("no space left", "os error 28", "disk quota")):
        return f"the disk is full ({free_mb} MB free at {folder}, about {NEEDED_MB} MB are needed)."
    network = ("dns error", "failed to fetch", "connection", "connect error", "name resolution", "proxy", "timed out")
    if any(word in lowered for word in network):
        return f"the package index does not answer ({_cause(said)}). Is there a network, or a wrong proxy?"
    return _cause(said) if said else "the lines above say why."


def _cause(said: str) -> str:
    """Return the last line of the innermost cause."""
    lines = [
        line.strip("\u2570\u2500\u25b6\u00d7\u251c\u2502 ")
        for line in said.splitlines()
        if line.strip("\u2570\u2500\u25b6\u00d7\u251c\u2502 ") and not line.lstrip().startswith("hint:")
    ]
    return lines[-1].removeprefix("cause: ")[:300] if lines else "no output"


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _fail(line: str) -> NoReturn:
    _say(line)
    sys.exit(1)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).resolve())
    except KeyboardInterrupt:
        _fail("Interrupted; the next call starts this again.")
