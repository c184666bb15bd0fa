"""Run the gateway's own commands as real processes, as a user or an operator does."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import imageio_ffmpeg
import psutil

START_SECONDS = 150.0
STOP_SECONDS = 60.0


class Process:
    """One `gateway …` command and what it prints, line by line."""

    line_seconds = START_SECONDS

    def __init__(
        self, *arguments: str, cwd: Path, environment: Mapping[str, str], open_files: int | None = None
    ) -> None:
        limit = [] if open_files is None else ["prlimit", f"--nofile={open_files}:{open_files}"]
        command = [*limit, sys.executable, "-m", "gateway", *arguments]
        self._start(command, cwd, {**os.environ, "PYTHONUNBUFFERED": "1", **environment})

    def _start(self, command: Sequence[str], cwd: Path, environment: Mapping[str, str], **options: Any) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env=environment,
            **options,
        )
        self.output: list[str] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    @property
    def pid(self) -> int:
        """Give the process id."""
        return self._process.pid

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait for a line that *pattern* is found in."""
        while True:
            line = self._lines.get(timeout=self.line_seconds)
            assert line is not None, "ended too early:\n" + "\n".join(self.output)
            self.output.append(line)
            if found := re.search(pattern, line):
                return found

    def children(self) -> list[psutil.Process]:
        """Give the processes under this one."""
        return psutil.Process(self.pid).children(recursive=True)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def ended_early(self) -> int | None:
        """Give the exit code if it has ended, else None."""
        return self._process.poll()

    def ended(self) -> int:
        """Wait for the end and give the exit code."""
        code = self._process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        while (line := self._lines.get(timeout=STOP_SECONDS)) is not None:
            self.output.append(line)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._reader.join(STOP_SECONDS)


class MakeProcess(Process):
    """One `make …` in a process group of its own, as a terminal starts it, and what it prints."""

    line_seconds = 600.0
    """It may fetch every package first."""

    def __init__(
        self, *arguments: str, cwd: Path, environment: Mapping[str, str], before: Sequence[str] = (), umask: int = 0o022
    ) -> None:
        """Run make with exactly *environment*; *before* is a command that starts it with other rights."""
        command = [*before, "make", "--no-print-directory", *arguments]
        self._start(command, cwd, environment, start_new_session=True, umask=umask)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, as Ctrl-C does."""
        os.killpg(self.pid, number)


def assert_gone(processes: Iterable[psutil.Process]) -> None:
    """Check that every process ends."""
    _, alive = psutil.wait_procs([*processes], timeout=STOP_SECONDS)
    assert alive == []


def make_mp3(path: Path) -> Path:
    """Make a real MP3 of one second at *path*."""
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", *tone, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def upload_by_hand(address: str, key: str, file: Path) -> httpx.Response:
    """Send *file* with plain HTTP, as the README's curl lines do, and give the answer to complete."""
    body = file.read_bytes()
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        created = client.post(f"{address}/v1/uploads", json={"filename": file.name, "size_bytes": len(body)})
        assert created.status_code == 201, created.text
        for part in created.json()["parts"]:
            start = (part["part_number"] - 1) * created.json()["part_size_bytes"]
            piece = body[start : start + part["size_bytes"]]
            # The URL is the permission: the API key stays with the gateway.
            sent = httpx.request(part["method"], part["url"], headers=part["headers"], content=piece, timeout=30)
            assert sent.status_code == 200, sent.text
        location = f"{address}{created.headers['location']}"
        completed = client.post(f"{location}/complete", json={})
        return client.get(location, headers={"Prefer": "wait=30"}) if completed.status_code == 202 else completed
