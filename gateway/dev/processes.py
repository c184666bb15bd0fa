"""Run and stop the child processes of the embedded stack."""

from __future__ import annotations

import os
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
TAIL_BYTES = 4096

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
        """Give the last line of the log that says something."""
        if not self.log.exists():
            return "no output"
        with self.log.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - TAIL_BYTES))
            lines = log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no output")

    def start_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Start the process and wait until *ready* answers True.

        Raises:
            StackError: The process ended, or *seconds* went by. Whatever is raised, a signal too, it is stopped then.
        """
        try:
            self.start()
            self._wait_until(ready, seconds)
        except BaseException:
            self.stop()
            raise

    def _wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            code = self.exit_code()
            if code is not None:
                raise StackError(f"{self.name} ended with code {code}: {self.last_line()} (log: {self.log})")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not ready after {seconds:.0f} s (log: {self.log})")
            time.sleep(0.05)


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
