"""Run and stop the child processes of the embedded stack."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.dev.launch import SAME_USER

LAUNCHER = Path(__file__).with_name("launch.py")
TAIL_BYTES = 64 * 1024

ERRORS = (
    re.compile(r"\bPANIC\b"),
    re.compile(r"\bFATAL\b|^F[0-9]{4} ", re.IGNORECASE),  # PostgreSQL and MinIO write a word, SeaweedFS `F1128 …`.
    re.compile(r"\berror\b|^E[0-9]{4} |^cannot ", re.IGNORECASE),
)
"""Lines that say why a program ended, the gravest kind first: PostgreSQL's FATAL lines are consequences of a PANIC."""

PREFIX = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+ \S+ \[\d+\] |^[EF]\d{4} [\d:.]+ |^initdb: ")
"""Date, time and process at the beginning of a line of a log."""

VERSION = re.compile(r"\b\d+\.\d+(?:\.\d+)?\b|RELEASE\.\S+")
VERSION_SECONDS = 10

# A child gets neither the gateway's settings nor variables of the shell for other servers.
INHERITED = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV", "SSL_CERT_FILE")

Signals = tuple[tuple[signal.Signals, float], ...]


class StackError(Exception):
    """A part of the embedded stack cannot run; the message is one line for a person."""


@dataclass(frozen=True)
class User:
    """An account that a child runs under."""

    uid: int
    gid: int
    in_namespace: bool = False
    """The child only appears as this user, in a separate user namespace."""


def launch_arguments(user: User | None, death_signal: signal.Signals) -> list[str]:
    """Return the command that starts another one under *user* and ends it with this process."""
    who = [SAME_USER, SAME_USER]
    if user is not None:
        who = [f"~{user.uid}" if user.in_namespace else str(user.uid), str(user.gid)]
    return [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(death_signal)), *who]


@dataclass
class Child:
    """A process of the stack, its log and the way it is asked to stop.

    *stop_signals* are tried in turn, each with the seconds it gets. *death_signal* is what the kernel sends when this
    process dies without stopping its children.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    user: User | None = None
    stop_signals: Signals = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
    death_signal: signal.Signals = signal.SIGKILL
    _process: subprocess.Popen[bytes] | None = None
    _log_start: int = 0

    @property
    def pid(self) -> int:
        """Give the process id; 0 before the start."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start the process with its output appended to the log."""
        launcher = launch_arguments(self.user, self.death_signal)
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._log_start = output.seek(0, os.SEEK_END)
            self._process = subprocess.Popen(  # noqa: S603 - the command is made by this package
                [*launcher, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**inherited, **self.environment},
            )

    def exit_code(self) -> int | None:
        """Give the exit code, or None while it runs (or was never started)."""
        return self._process.poll() if self._process else None

    def stop(self) -> None:
        """Stop the process and wait until it is gone; a second call does nothing."""
        if self._process is None:
            return
        for number, seconds in self.stop_signals:
            if self._process.poll() is not None:
                return
            self._process.send_signal(number)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
        if self._process.poll() is None:
            raise StackError(f"{self.name} (process {self.pid}) does not stop.")

    def last_line(self) -> str:
        """Give the last line that this run wrote to the log."""
        lines = self._lines()
        return lines[-1] if lines else "no output"

    def reason(self) -> str:
        """Give the line of this run's log that says why the process ended."""
        return first_error(self._lines())

    def ended(self) -> StackError:
        """Give the error that says how and why the process ended by itself."""
        return StackError(f"{self.name} ended with code {self.exit_code()}: {self.reason()} (log: {self.log})")

    def _lines(self) -> list[str]:
        if not self.log.exists():
            return []
        with self.log.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, log.tell() - TAIL_BYTES))
            lines = log.read().decode(errors="replace").split("\n")
        return [line.strip() for line in lines if line.strip()]

    def start_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Start the process and wait until *ready* answers True.

        Raises:
            StackError: The process ended, or *seconds* went by. Whatever is raised, a signal too, it is stopped then.
        """
        try:
            self.start()
            self.wait_until(ready, seconds)
        except BaseException:
            self.stop()
            raise

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until *ready* answers True; raise StackError where the process ended, or *seconds* went by."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.exit_code() is not None:
                raise self.ended()
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not ready after {seconds:.0f} s: {self.reason()} (log: {self.log})")
            time.sleep(0.05)


def first_error(lines: Sequence[str]) -> str:
    """Return the first of the gravest errors in the output of a program: later lines are consequences and advice."""
    for kind in ERRORS:
        for line in lines:
            if kind.search(line):
                return _without_prefix(line)
    return _without_prefix(lines[-1]) if lines else "no output"


def _without_prefix(line: str) -> str:
    text = PREFIX.sub("", line.strip()).removeprefix("error: ")
    # PostgreSQL's words for a write that found no more space.
    return f"{text} (the disk is full)" if ": wrote only" in text else text


def version_of(command: Sequence[str]) -> str:
    """Return the version that a program prints, with a blank before it; an empty text if it prints none."""
    try:
        result = subprocess.run(  # noqa: S603 - the command is made by this package
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=VERSION_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = VERSION.search(result.stdout.partition("\n")[0])
    return f" {found[0]}" if found else ""


def free_ports(count: int, below: int = 65_536) -> list[int]:
    """Give *count* different TCP ports under *below* that are free on 127.0.0.1 now."""
    sockets: list[socket.socket] = []
    try:
        ports: list[int] = []
        for _ in range(count * 50):
            listener = socket.socket()
            sockets.append(listener)
            listener.bind(("127.0.0.1", 0))
            port = int(listener.getsockname()[1])
            if port < below:
                ports.append(port)
            if len(ports) == count:
                return ports
    finally:
        for listener in sockets:
            listener.close()
    raise StackError(f"Found no {count} free TCP ports on 127.0.0.1.")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen on *port* now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        # As servers do: a connection that only waits for its last packets does not hold the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def accepts(port: int) -> bool:
    """Tell whether something listens on 127.0.0.1 at *port*."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def kept_ports(file: Path, count: int, below: int = 65_536) -> list[int]:
    """Give the ports of the last start if all are free, else new ones, and remember them in *file*.

    A store whose address stays the same finds its own volumes again, and a person's bookmark stays right.
    """
    try:
        ports = [int(word) for word in file.read_text().split()]
    except (OSError, ValueError):
        ports = []
    if len(ports) != count or not all(is_free(port) for port in ports):
        ports = free_ports(count, below)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(" ".join(str(port) for port in ports))
    return ports
