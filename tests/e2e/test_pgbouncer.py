"""The gateway behind a real PgBouncer in transaction mode."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from gateway.dev.processes import free_ports
from gateway.dev.store import StoreServer
from tests.conftest import missing
from tests.e2e.test_start import environment, ready
from tests.processes import Process, make_mp3, upload_by_hand


def _program() -> str:
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    return found or missing("no pgbouncer on PATH")


@pytest.fixture
def start_pgbouncer(database_url: str) -> Iterator[Callable[[str], str]]:
    """Return a function that runs PgBouncer in transaction mode with more settings and returns its database URL."""
    running: list[subprocess.Popen[bytes]] = []
    # Not in tmp_path: PgBouncer refuses to be root, and no other user may enter that folder.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)

        def start(more: str = "") -> str:
            port = free_ports(1)[0]
            parts = urlsplit(database_url)
            server = f"host=127.0.0.1 port={parts.port} user={parts.username} password={parts.password}"
            file = Path(folder) / f"{port}.ini"
            file.write_text(
                f"[databases]\n* = {server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
                f"unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 5\n{more}\n"
            )
            user = ["-u", "nobody"] if os.geteuid() == 0 else []
            running.append(subprocess.Popen([_program(), *user, str(file)], stderr=subprocess.DEVNULL))
            url = f"postgresql://anybody@127.0.0.1:{port}{parts.path}"
            for _ in range(100):
                try:
                    psycopg.connect(url, connect_timeout=5).close()
                    break
                except psycopg.OperationalError:
                    time.sleep(0.1)
            return url

        yield start
        for process in running:
            process.terminate()
            process.wait(30)


@pytest.mark.parametrize("more", ["", "ignore_startup_parameters = options"])
@pytest.mark.parametrize("command", ["serve", "worker"])
def test_h24_a_pooler_that_is_not_declared_is_refused_at_start(
    command: str, more: str, start_pgbouncer: Callable[[str], str], store_server: StoreServer, tmp_path: Path
) -> None:
    """Notices and statement timeouts would be lost silently; the line says which setting to add."""
    with Process(command, cwd=tmp_path, environment=environment(store_server, start_pgbouncer(more))) as process:
        assert process.ended() == 1
    begins, refused = process.output
    assert json.loads(begins)["logger"] == "gateway.cli.start_line"
    assert "GATEWAY_DATABASE_DIRECT_URL" in refused


def test_h24_files_become_ready_through_a_pooler(
    start_pgbouncer: Callable[[str], str],
    empty_database_url: str,
    store_server: StoreServer,
    tmp_path: Path,
) -> None:
    """With both URLs migrations, API and worker run, and more statements than a prepared plan needs go through."""
    pooled = start_pgbouncer("")
    name = urlsplit(empty_database_url).path
    url = f"{pooled.rsplit('/', 1)[0]}{name}"
    chosen = environment(store_server, url, GATEWAY_DATABASE_DIRECT_URL=empty_database_url)
    with Process("db", "migrate", cwd=tmp_path, environment=chosen) as migrate:
        assert migrate.ended() == 0, migrate.output
    with Process("keys", "create", "acme", cwd=tmp_path, environment=chosen) as keys:
        assert keys.ended() == 0, keys.output
    key = keys.output[-1].split()[-1]
    address = f"http://127.0.0.1:{chosen['GATEWAY_PORT']}"
    with (
        Process("worker", cwd=tmp_path, environment=chosen) as worker,
        Process("serve", cwd=tmp_path, environment=chosen) as api,
    ):
        ready(address, api)
        file = make_mp3(tmp_path / "tone.mp3")
        for _ in range(12):
            answer = upload_by_hand(address, key, file)
            assert answer.json()["state"] == "ready"
            assert answer.json()["created_at"].endswith(("Z", "+00:00"))
        for process in (api, worker):
            process.send(signal.SIGTERM)
        assert worker.ended() == 0, worker.output
        text = "\n".join([*api.output, *worker.output])
        assert "error" not in text.lower(), text
