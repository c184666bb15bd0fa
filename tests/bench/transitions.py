"""Measure how many transitions a second one PostgreSQL commits, by many connections at once.

The statement is the gateway's own, for claims and for opening again, sent by pgbench with prepared statements. Compared
are a notification in each transaction, as releases before 0.1 sent it, and one for many outside of them, every 10 ms.
Rounds alternate. PostgreSQL writes its log to the disk as in production, and shares this machine's cores with pgbench.

    python -m tests.bench.transitions [--seconds 5] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import statistics
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from uuid import UUID

import psycopg

from gateway.database import migrate, transitions
from gateway.database.engine import Connection
from gateway.database.notify import NOTIFY_CHANNEL, PAUSE_SECONDS
from gateway.dev import postgres
from gateway.domain.transition import Transition
from gateway.domain.upload import State

CLIENTS = (16, 32)
UPLOADS = 20_000
LEASE = UUID(int=1)
MOVES = (
    Transition(State.UPLOADING, State.COMPLETING, lease_token=LEASE, lease_seconds=60, assembly=()),
    Transition(State.COMPLETING, State.UPLOADING, fence=LEASE),
)
NOTIFYING = f"AS webhooks_due, pg_notify('{NOTIFY_CHANNEL}', moved.tenant_id || ' ' || moved.id) FROM moved"
_ID = UUID(int=2)

_ROWS = """INSERT INTO uploads (id, tenant_id, state, filename, extension, bucket, object_key, content_type,
    multipart_upload_id, created_at, updated_at, expires_at, metadata)
SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'acme', 'uploading', 'a.mp3', 'mp3', 'b',
    'uploads/' || n, 'audio/mpeg', 'm', now(), now(), now() + interval '1 day', '{}'
FROM generate_series(1, %s) AS n"""


class _Recorder:
    """Stand in for a connection and keep the statement."""

    statement = ""
    parameters: dict[str, Any]

    async def execute(self, query: str, parameters: dict[str, Any]) -> Any:
        self.statement, self.parameters = query, parameters
        return self

    async def fetchone(self) -> None:
        return None


def _script(connection: psycopg.Connection[Any], *, notifying: bool) -> str:
    """Return both transitions of one random upload for pgbench."""
    lines = [f"\\set n random(1, {UPLOADS})"]
    for move in MOVES:
        recorder = _Recorder()
        asyncio.run(_apply(recorder, move))
        statement = psycopg.ClientCursor(connection).mogrify(recorder.statement, recorder.parameters)
        statement = statement.replace(f"'{_ID}'::uuid", f"'{_ID}'").replace(
            f"'{_ID}'", "('00000000-0000-7000-8000-' || lpad((:n)::text, 12, '0'))::uuid"
        )
        if notifying:
            statement = statement.replace("AS webhooks_due FROM moved", NOTIFYING)
            assert "pg_notify" in statement
        # A colon that is no variable of pgbench, as in a cast, stays; comments end a line, so the lines stay too.
        lines.append(re.sub(r"--.*", "", statement) + ";")
    return "\n".join(lines) + "\n"


async def _apply(recorder: _Recorder, move: Transition) -> None:
    await transitions.apply(cast("Connection", recorder), _ID, move)


@contextmanager
def _announcing(url: str) -> Iterator[None]:
    """Send one notification every PAUSE_SECONDS, as a busy process does."""
    stop = threading.Event()

    def send() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not stop.wait(PAUSE_SECONDS):
                connection.execute("SELECT pg_notify(%s, %s)", (NOTIFY_CHANNEL, "by:bench acme"))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _rate(pgbench: str, url: str, script: Path, clients: int, seconds: int) -> float:
    command = [
        pgbench,
        "-n",
        "-M",
        "prepared",
        "-f",
        str(script),
        "-c",
        str(clients),
        "-j",
        "2",
        "-T",
        str(seconds),
        url,
    ]
    done = subprocess.run([*command, "-T", str(seconds), url], capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found[1]) * len(MOVES)


def compare(pgbench: str, url: str, folder: Path, seconds: int, rounds: int) -> None:
    """Print the table."""
    migrate.upgrade(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_ROWS, (UPLOADS,))
        scripts = {}
        for name, notifying in (("in each transaction", True), ("outside, every 10 ms", False)):
            scripts[name] = folder / f"{notifying}.sql"
            scripts[name].write_text(_script(connection, notifying=notifying))
    print("| notification | " + " | ".join(f"{clients} connections" for clients in CLIENTS) + " |")
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for name, script in scripts.items():
            for clients in CLIENTS:
                with _announcing(url):
                    rate = _rate(pgbench, url, script, clients, seconds)
                found.setdefault((name, clients), []).append(rate)
    for name in scripts:
        print(f"| {name} | " + " | ".join(f"{statistics.median(found[name, c]):,.0f}/s" for c in CLIENTS) + " |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pgbench = shutil.which("pgbench")
    if pgbench is None:
        raise SystemExit("pgbench is needed: it comes with PostgreSQL's server packages")
    with TemporaryDirectory() as folder:
        server = postgres.start(Path(folder) / "postgres", durable=True)
        try:
            compare(pgbench, server.url("postgres"), Path(folder), options.seconds, options.rounds)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
