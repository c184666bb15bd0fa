"""Run `gateway serve` as a process of its own that receives files into a store or onto disk, and measure it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
import psutil
import psycopg

from gateway.auth.api_keys import new_key
from gateway.database import migrate
from gateway.dev import minio, postgres, seaweedfs
from gateway.dev.store import StoreServer
from tests.conftest import boto3_client, store_settings

MIB = 1024 * 1024


@dataclass
class Stack:
    """A database and a store, with the key of a tenant."""

    database_url: str
    store: StoreServer
    key: str
    folder: Path

    def environment(self, **more: str) -> dict[str, str]:
        """Give what `gateway serve` needs to know."""
        settings = {f"GATEWAY_{name.upper()}": str(value) for name, value in store_settings(self.store).items()}
        return {**settings, "GATEWAY_DATABASE_URL": self.database_url, "UPLOAD_DIR": str(self.folder / "kept"), **more}


@contextmanager
def running_stack(folder: Path, store_name: str) -> Iterator[Stack]:
    """Start PostgreSQL and the store in *folder*."""
    database = postgres.start(folder / "postgres", durable=False, max_connections=100)
    try:
        store = minio.start(folder / "minio") if store_name == "minio" else seaweedfs.start(folder / "seaweedfs")
        try:
            client = boto3_client(store)
            client.create_bucket(Bucket=store.bucket)
            client.close()
            url = database.url("gateway")
            with psycopg.connect(database.url("postgres"), autocommit=True) as connection:
                names = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
                if "gateway" not in names:
                    connection.execute("CREATE DATABASE gateway")
            migrate.upgrade(url)
            yield Stack(url, store, _make_key(url), folder)
        finally:
            store.stop()
    finally:
        database.stop()


def _make_key(url: str) -> str:
    key = new_key()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO api_keys (id, tenant_id, name, secret_hash) VALUES (%s, 'acme', 'test', %s)",
            (key.key_id, key.secret_hash),
        )
    return key.text


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_server(
    command: list[str], environment: Mapping[str, str], port: int, log: Path
) -> Iterator[psutil.Process]:
    """Run a server until the block ends; it is stopped by its own id."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running_gateway(stack: Stack, **environment: str) -> Iterator[tuple[psutil.Process, int]]:
    """Run `gateway serve` on *stack*."""
    port = free_port()
    settings = stack.environment(GATEWAY_PORT=str(port), **environment)
    command = [sys.executable, "-m", "gateway", "serve"]
    with running_server(command, settings, port, stack.folder / "gateway.log") as process:
        yield process, port


@dataclass
class Memory:
    """The resident memory of a process while a block runs, in bytes."""

    process: psutil.Process
    every_seconds: float = 0.2
    curve: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self.curve.append(self.process.memory_info().rss)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.curve.append(self.process.memory_info().rss)

    def _watch(self) -> None:
        while not self._stop.wait(self.every_seconds):
            self.curve.append(self.process.memory_info().rss)

    @property
    def growth(self) -> int:
        """Give the largest growth over the beginning."""
        return max(self.curve) - self.curve[0]

    def drawn(self, columns: int = 20) -> str:
        """Write the curve in MiB, at most *columns* numbers."""
        step = max(1, len(self.curve) // columns)
        return " ".join(str(value // MIB) for value in [*self.curve[::step], self.curve[-1]])


def cpu_seconds(process: psutil.Process) -> float:
    """Give the CPU a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def upload_state(address: str, key: str, upload_id: str) -> str:
    """Give the state of an upload."""
    answer = httpx.get(f"{address}/v1/uploads/{upload_id}", headers={"Authorization": f"Bearer {key}"})
    return str(answer.json()["state"])
