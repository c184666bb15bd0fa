"""Two API processes on one database: what happens at one is watched at the other."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from gateway.client import Client
from gateway.client.watch import Event, watch
from gateway.dev.processes import free_ports
from gateway.dev.store import StoreServer
from tests.e2e.stack import Stack, running_gateway
from tests.processes import Process, make_mp3

STATES = ["created", "completing", "validating", "ready"]
MIB = 1024 * 1024


@pytest.fixture
def replicas(database_url: str, store_server: StoreServer, tmp_path: Path) -> Iterator[tuple[Stack, str]]:
    """Run one whole gateway, and a second API process beside it; give the first and the second's address."""
    small_parts = {"GATEWAY_MIN_PART_SIZE": str(5 * MIB)}
    with running_gateway(database_url, store_server, tmp_path, small_parts) as stack:
        port = free_ports(1)[0]
        with Process("serve", cwd=tmp_path, environment={**stack.environment, "GATEWAY_PORT": str(port)}) as second:
            url = f"http://127.0.0.1:{port}"
            _wait(url, second)
            yield stack, url


def _wait(url: str, process: Process) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(retries=0)) as client:
        for _ in range(1200):
            try:
                if client.get(f"{url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            threading.Event().wait(0.1)
    raise AssertionError(process.output)


@contextmanager
def _watched(url: str, key: str, upload_id: str) -> Iterator[list[Event]]:
    """Watch in a thread; after the block, everything to the final state is in the list."""
    seen: list[Event] = []
    opened = threading.Event()

    def read() -> None:
        for event in watch(url, key, upload_id):
            seen.append(event)
            opened.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert opened.wait(60)
    yield seen
    thread.join(60)
    assert not thread.is_alive()


def _large(path: Path, size_bytes: int) -> Path:
    frames = make_mp3(path).read_bytes()
    path.write_bytes((frames * (size_bytes // len(frames) + 1))[:size_bytes])
    return path


def _send(client: Client, file: Path, upload: Any, only: set[int]) -> None:
    body = file.read_bytes()
    for part in upload.parts:
        if part.part_number in only:
            start = (part.part_number - 1) * upload.part_size_bytes
            piece = body[start : start + part.size_bytes]
            assert httpx.put(part.url, content=piece, headers=dict(part.headers), timeout=60).status_code == 200


def test_what_one_replica_does_is_watched_at_the_other(replicas: tuple[Stack, str], tmp_path: Path) -> None:
    """States and progress of an upload made at one process reach a watcher at the other, who lost its notices once."""
    stack, other = replicas
    file = _large(tmp_path / "talk.mp3", 12 * MIB)
    with Client(stack.url, stack.key) as client:
        upload = client.create(file.name, 12 * MIB)
        with _watched(other, stack.key, upload.upload_id) as seen:
            _send(client, file, upload, {1})
            _until(seen, 5 * MIB)
            assert _cut_listeners(stack.environment) >= 2
            _send(client, file, upload, {2, 3})
            client.complete(upload.upload_id)
    facts = [event for event in seen if event.event_id is not None]
    assert [event.name for event in facts] == STATES
    assert len({event.event_id for event in facts}) == len(STATES)
    assert next(event.data["parts"] for event in seen if event.data.get("bytes_received") == 5 * MIB) == 1


def _until(seen: list[Event], bytes_received: int) -> None:
    for _ in range(600):
        if any(event.data.get("bytes_received") == bytes_received for event in seen):
            return
        threading.Event().wait(0.1)
    raise AssertionError(seen)


def _cut_listeners(environment: Mapping[str, str]) -> int:
    with psycopg.connect(environment["GATEWAY_DATABASE_URL"], autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND (query LIKE 'LISTEN gateway%' OR query = 'SELECT 1')"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_watcher_outlives_the_process_it_watches_at(replicas: tuple[Stack, str], tmp_path: Path) -> None:
    """SIGTERM ends open streams before the grace is over; the watcher comes back at the address and misses nothing."""
    stack, other = replicas
    file = make_mp3(tmp_path / "tone.mp3")
    with Client(stack.url, stack.key) as client:
        upload = client.create(file.name, file.stat().st_size)
        with _watched(stack.url, stack.key, upload.upload_id) as seen:
            stack.api.send(signal.SIGTERM)
            assert stack.api.ended() in {0, -signal.SIGTERM}
            assert not any("exceeded" in line for line in stack.api.output), stack.api.output
            with Process("serve", cwd=tmp_path, environment=stack.environment):
                with Client(other, stack.key) as elsewhere:
                    _send(elsewhere, file, upload, {1})
                    elsewhere.complete(upload.upload_id)
                _finished(seen)
    assert [event.name for event in seen if event.event_id is not None] == STATES


def _finished(seen: list[Event]) -> None:
    for _ in range(600):
        if seen and seen[-1].is_final:
            return
        threading.Event().wait(0.1)
    raise AssertionError(seen)


def test_watch_prints_every_event(replicas: tuple[Stack, str], tmp_path: Path) -> None:
    """`gateway watch --json` at one replica prints what happens at the other and ends with the exit code of the end."""
    stack, other = replicas
    file = make_mp3(tmp_path / "tone.mp3")
    environment = {"GATEWAY_URL": other, "GATEWAY_API_KEY": stack.key}
    with Client(stack.url, stack.key) as client:
        upload = client.create(file.name, file.stat().st_size)
        with Process("watch", upload.upload_id, "--json", cwd=tmp_path, environment=environment) as watching:
            watching.wait_for('"progress"')
            _send(client, file, upload, {1})
            client.complete(upload.upload_id)
            assert watching.ended() == 0
        events = [json.loads(line) for line in watching.output]
        assert [event["event"] for event in events if event["id"]] == STATES
        with Process("watch", upload.upload_id, cwd=tmp_path, environment=environment) as plain:
            assert plain.ended() == 0
        assert [line.split()[1] for line in plain.output] == STATES
        gone = client.create(file.name, 100)
        client.abort(gone.upload_id)
        with Process("watch", gone.upload_id, cwd=tmp_path, environment=environment) as aborted:
            assert aborted.ended() == 1
    for unknown in (str(upload.upload_id)[:-4] + "ffff", "../../healthz"):
        with Process("watch", unknown, cwd=tmp_path, environment=environment) as refused:
            assert refused.ended() == 3


def test_watch_draws_a_live_bar(replicas: tuple[Stack, str], tmp_path: Path) -> None:
    """On a terminal, `gateway watch` draws how many bytes are there while they arrive."""
    stack, other = replicas
    file = _large(tmp_path / "talk.mp3", 12 * MIB)
    with Client(stack.url, stack.key) as client:
        upload = client.create(file.name, 12 * MIB)
        screen = _Terminal(upload.upload_id, {"GATEWAY_URL": other, "GATEWAY_API_KEY": stack.key})
        screen.wait_for(r"talk\.mp3.*0\.0/12\.0 MiB")
        _send(client, file, upload, {1})
        screen.wait_for(r"5\.0/12\.0 MiB")
        # A rate needs two looks, and the first may have seen the first part already.
        _send(client, file, upload, {2})
        screen.wait_for(r"10\.0/12\.0 MiB +[0-9.]+ MB/s, 0:\d\d left")
        _send(client, file, upload, {3})
        client.complete(upload.upload_id)
        assert screen.ended() == 0
    assert re.search(r"12\.0/12\.0 MiB.*ready", screen.text)


class _Terminal:
    """Run `gateway watch` on a terminal of its own and read what it draws."""

    def __init__(self, upload_id: str, environment: Mapping[str, str]) -> None:
        self.text = ""
        self._changed = threading.Condition()
        self._side, other_side = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "watch", upload_id],
            stdin=subprocess.DEVNULL,
            stdout=other_side,
            stderr=other_side,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120", **environment},
        )
        os.close(other_side)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._side, 65536)
            except OSError:
                # Linux says EIO when the last writer is gone.
                return
            if not data:
                return
            with self._changed:
                self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
                self._changed.notify_all()

    def wait_for(self, pattern: str) -> None:
        """Wait until *pattern* was drawn."""
        with self._changed:
            assert self._changed.wait_for(lambda: re.search(pattern, self.text), 90), self.text[-1000:]

    def ended(self) -> int:
        """Wait for the end and give the exit code."""
        code = self._process.wait(60)
        self._reader.join(10)
        os.close(self._side)
        return code
