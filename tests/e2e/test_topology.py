"""The topology of infra/compose.yaml, run natively: migrations, bucket, API and worker as processes of their own."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import httpx
import pytest

from gateway.dev.processes import free_ports
from gateway.dev.store import StoreServer
from tests.processes import Process, assert_gone, make_mp3, upload_by_hand


@pytest.fixture
def environment(empty_database_url: str, store_server: StoreServer) -> dict[str, str]:
    """Give the environment that the compose file gives its services."""
    return {
        "GATEWAY_PORT": str(free_ports(1)[0]),
        "GATEWAY_DATABASE_URL": empty_database_url,
        "GATEWAY_S3_ENDPOINT": store_server.endpoint,
        "GATEWAY_S3_PUBLIC_ENDPOINT": store_server.endpoint,
        "GATEWAY_S3_BUCKET": "topology",
        "GATEWAY_S3_ACCESS_KEY_ID": store_server.access_key_id,
        "GATEWAY_S3_SECRET_ACCESS_KEY": store_server.secret_access_key,
        # One key for everything, which MinIO makes unsafe.
        "GATEWAY_UNSAFE_STORE": "warn",
        "GATEWAY_ALLOWED_ORIGINS": "http://127.0.0.1",
    }


def run_one_shot(environment: dict[str, str], cwd: Path, *arguments: str) -> str:
    """Run one command to its end and return what it printed."""
    with Process(*arguments, cwd=cwd, environment=environment) as process:
        assert process.ended() == 0, process.output
    return "\n".join(process.output)


def test_separate_processes_bring_a_file_to_ready(environment: dict[str, str], tmp_path: Path) -> None:
    """After the one-shots a file goes through API and worker to ready, and TERM ends both in good order."""
    for one_shot in (("db", "migrate"), ("store", "prepare")):
        run_one_shot(environment, tmp_path, *one_shot)
        run_one_shot(environment, tmp_path, *one_shot)
    key = run_one_shot(environment, tmp_path, "keys", "create", "acme").split()[-1]
    address = f"http://127.0.0.1:{environment['GATEWAY_PORT']}"
    with (
        Process("worker", cwd=tmp_path, environment=environment) as worker,
        Process("serve", cwd=tmp_path, environment=environment) as api,
    ):
        wait_ready(address, api)
        answer = upload_by_hand(address, key, make_mp3(tmp_path / "tone.mp3"))
        assert answer.json()["state"] == "ready"
        children = [*worker.children(), *api.children()]
        for process in (api, worker):
            process.send(signal.SIGTERM)
        # uvicorn ends by the signal itself once its requests are answered.
        assert api.ended() in (0, -signal.SIGTERM)
        assert worker.ended() == 0
        assert_gone(children)


def test_g6_serve_believes_nobody_about_addresses(environment: dict[str, str], tmp_path: Path) -> None:
    """As `gateway serve` runs, a client cannot get round its limit by what it writes, nor can uvicorn's own switch."""
    for one_shot in (("db", "migrate"), ("store", "prepare")):
        run_one_shot(environment, tmp_path, *one_shot)
    address = f"http://127.0.0.1:{environment['GATEWAY_PORT']}"
    limited = {**environment, "GATEWAY_RATE_PER_ADDRESS": "1", "FORWARDED_ALLOW_IPS": "*"}
    with Process("serve", cwd=tmp_path, environment=limited) as api:
        wait_ready(address, api)
        with httpx.Client(base_url=address, timeout=30) as client:
            found = {
                client.get("/v1/uploads", headers={"X-Forwarded-For": f"203.0.113.{number}"}).status_code
                for number in range(250)
            }
        assert found == {401, 429}


def wait_ready(address: str, api: Process) -> None:
    """Return when the API is ready."""
    with httpx.Client(timeout=5) as client:
        for _ in range(300):
            try:
                if client.get(f"{address}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise AssertionError(f"not ready: {api.output}")
