"""`gateway worker --health` with a real worker that lives, is killed, and starts again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from gateway.dev.store import StoreServer
from tests.e2e.stack import client_environment, running_gateway

PATIENCE_SECONDS = 60.0


def test_health_follows_the_worker(make_database: Callable[[], str], store_server: StoreServer, tmp_path: Path) -> None:
    """0 while a worker lives, also after its row grew old; 1 once it was killed; both processes name their parts."""
    url = make_database()

    def health(*options: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "gateway", "worker", "--health", *options]
        environment = client_environment(stack, tmp_path) | stack.environment
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def grow_old() -> None:
        # As if 20 s had passed: the next heartbeat of a live worker comes within 5 s.
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("UPDATE procrastinate_workers SET last_heartbeat = last_heartbeat - interval '21 s'")

    def wait_until_healthy() -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while health()[0] != 0:
            assert time.monotonic() < deadline, stack.worker.output
            time.sleep(0.5)

    with running_gateway(url, store_server, tmp_path) as stack:
        wait_until_healthy()
        grow_old()
        wait_until_healthy()
        assert json.loads(health("--json")[1])["alive"] is True
        assert health("-q") == (0, "")
        stack.worker.send(signal.SIGKILL)
        stack.worker.ended()
        grow_old()
        code, said = health()
        assert (code, "heartbeat" in said) == (1, True)
        assert health("-q")[0] == 1
        stack.api.send(signal.SIGTERM)
        stack.api.ended()
        for process, command in ((stack.worker, "worker"), (stack.api, "serve")):
            first = json.loads(process.output[0])
            assert first["message"] == f"gateway {command} starts"
            assert (first["store"], first["bucket"]) == (store_server.endpoint, store_server.bucket)
            assert first["database"].startswith("postgresql://")
            assert ("address" in first) == (command == "serve")
        assert json.loads(stack.api.output[0])["address"] == stack.url
