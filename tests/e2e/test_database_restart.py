"""B3: PostgreSQL restarts under a running gateway; the same processes go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest

from gateway.database import migrate
from gateway.dev import postgres
from gateway.dev.postgres import PostgresServer
from gateway.dev.processes import StackError
from gateway.dev.store import StoreServer
from gateway.uploads.process import PROCESS_TASK
from tests.conftest import missing
from tests.e2e.stack import Stack, running_gateway
from tests.processes import make_mp3


class Database:
    """A PostgreSQL of this test's own, to be stopped and started again on the same port and data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.server: PostgresServer = postgres.start(folder)
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE gateway")
        migrate.upgrade(self.server.url())

    def restart(self) -> None:
        """Stop it, let everybody find out, and start it again."""
        self.server.stop()
        threading.Event().wait(3)
        self.server = postgres.start(self._folder)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Run it."""
    try:
        own = Database(tmp_path / "postgres")
    except StackError as error:
        missing(str(error))
    yield own
    own.server.stop()


def test_b3_a_database_restart_ends_no_process(database: Database, store_server: StoreServer, tmp_path: Path) -> None:
    """API and worker outlive two restarts: afterwards an upload becomes ready, and a job is done."""
    file = make_mp3(tmp_path / "tone.mp3")
    with running_gateway(database.server.url(), store_server, tmp_path) as stack:
        _becomes_ready(stack, file)
        for _ in range(2):
            database.restart()
            _becomes_ready(stack, file)
            _job_is_done(database.server.url())
        assert (stack.api.ended_early(), stack.worker.ended_early()) == (None, None)


def _becomes_ready(stack: Stack, file: Path) -> None:
    body = file.read_bytes()
    with httpx.Client(base_url=stack.url, headers=stack.headers, timeout=60) as client:
        wanted = {"filename": file.name, "size_bytes": len(body)}
        created = _until(201, lambda: client.post("/v1/uploads", json=wanted)).json()
        [part] = created["parts"]
        assert httpx.put(part["url"], content=body, headers=part["headers"]).status_code == 200
        path = f"/v1/uploads/{created['upload_id']}"
        assert _until(200, lambda: client.post(f"{path}/complete")).json()["state"] == "ready"


def _job_is_done(url: str) -> None:
    job = f'{{"upload_id": "{uuid4()}"}}'
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('default', %s, %s)",
            (PROCESS_TASK, job),
        )
        for _ in range(600):
            if connection.execute("SELECT FROM procrastinate_jobs WHERE args = %s::jsonb", (job,)).fetchone() is None:
                return
            threading.Event().wait(0.1)
    raise AssertionError("the job is still there")


def _until(status: int, ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Repeat a call while the database is on its way back."""
    for _ in range(600):
        answer = ask()
        if answer.status_code == status:
            return answer
        assert answer.status_code == 503, answer.text
        threading.Event().wait(0.1)
    raise AssertionError(answer.text)
