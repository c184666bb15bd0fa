"""What docs/webhooks.md shows is run as it is printed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.dev.processes import accepts, free_ports
from gateway.dev.store import StoreServer
from tests.e2e.browser.snippets import blocks
from tests.e2e.stack import Stack, running_gateway
from tests.processes import make_mp3, upload_by_hand

SETTINGS = {
    "GATEWAY_TOKEN_SECRET": "t" * 32,
    "GATEWAY_WEBHOOK_SECRET": "w" * 32,
    "GATEWAY_WEBHOOK_PRIVATE_HOSTS": "true",
}
ENDS_SECONDS = 60.0


@pytest.fixture(scope="module")
def stack(
    make_database: Callable[[], str], store_server: StoreServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Run the gateway."""
    with running_gateway(make_database(), store_server, tmp_path_factory.mktemp("gateway"), SETTINGS) as running:
        yield running


@contextmanager
def _receiver(folder: Path, port: int, secret: str) -> Iterator[None]:
    """Run the FastAPI program of the page."""
    [program] = blocks("webhooks.md", "python", "FastAPI")
    name = program.partition("\n")[0].removeprefix("# ")
    (folder / name).write_text(program)
    command = [sys.executable, "-m", "uvicorn", f"{Path(name).stem}:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, "WEBHOOK_SECRET": secret})
    try:
        deadline = time.monotonic() + ENDS_SECONDS
        while not accepts(port):
            assert process.poll() is None, "the program ended"
            assert time.monotonic() < deadline, "the program does not listen"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(ENDS_SECONDS)


def test_fastapi_receiver_keeps_each_ready_upload_once(stack: Stack, tmp_path: Path) -> None:
    """A test message is taken, a ready upload becomes one row however often it is told, and nobody else writes any."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}/webhooks/uploads"
    with httpx.Client(base_url=stack.url, headers=stack.headers, timeout=60) as api:

        def told() -> list[dict[str, Any]]:
            deadline = time.monotonic() + ENDS_SECONDS
            while True:
                found: list[dict[str, Any]] = api.get(f"{where}/deliveries").json()["deliveries"]
                if len(found) == 2 and all(one["state"] == "delivered" for one in found):
                    return found
                assert time.monotonic() < deadline, found
                time.sleep(0.1)

        created = api.post("/v1/webhooks", json={"url": url})
        where = created.headers["location"]
        limits = {"expires_in_seconds": 600, "metadata": {"user_id": "7"}}
        token = api.post("/v1/upload-tokens", json=limits).json()["token"]
        with _receiver(tmp_path, port, created.json()["secret"]):
            assert api.post(f"{where}/test").json() == {"delivered": True, "status": 204, "error": None}
            ready = upload_by_hand(stack.url, token, make_mp3(tmp_path / "tone.mp3")).json()
            rejected = upload_by_hand(stack.url, token, _page(tmp_path / "page.mp3")).json()
            assert (ready["state"], rejected["state"]) == ("ready", "rejected")
            before = {one["delivery_id"]: one["last_attempt_at"] for one in told()}
            for delivery_id in before:
                assert api.post(f"{where}/deliveries/{delivery_id}/resend").status_code == 204
            assert all(one["last_attempt_at"] > before[one["delivery_id"]] for one in told())
            forged = {"webhook-id": "msg_1", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,AAAA"}
            message = {"type": "upload.ready", "data": {**ready, "upload_id": "forged"}}
            assert httpx.post(url, json=message, headers=forged).status_code == 401
            assert httpx.post(url, json=message).status_code == 401
    with closing(sqlite3.connect(tmp_path / "recordings.db")) as database:
        rows = database.execute("SELECT * FROM recordings").fetchall()
    assert rows == [(ready["upload_id"], ready["object_key"], "7")]


def _page(path: Path) -> Path:
    path.write_text("<!doctype html><p>hello")
    return path
