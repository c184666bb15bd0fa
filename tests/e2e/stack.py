"""API and worker as processes of their own on a fresh database and the test store, ready for a client."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from gateway.dev.processes import free_ports
from gateway.dev.store import StoreServer
from tests.processes import Process


@dataclass(frozen=True)
class Stack:
    """A running gateway: where it answers, a key, and its processes."""

    url: str
    key: str
    api: Process
    worker: Process
    environment: Mapping[str, str]

    @property
    def headers(self) -> dict[str, str]:
        """Give the headers a client of the API sends."""
        return {"Authorization": f"Bearer {self.key}"}


@contextmanager
def running_gateway(
    database_url: str, store: StoreServer, folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Run `gateway serve` and `gateway worker` on a migrated database and a store with its bucket made."""
    port = free_ports(1)[0]
    environment = {
        "GATEWAY_PORT": str(port),
        "GATEWAY_DATABASE_URL": database_url,
        "GATEWAY_S3_ENDPOINT": store.endpoint,
        "GATEWAY_S3_BUCKET": store.bucket,
        "GATEWAY_S3_ACCESS_KEY_ID": store.access_key_id,
        "GATEWAY_S3_SECRET_ACCESS_KEY": store.secret_access_key,
        # The root key for everything, which MinIO makes unsafe; tests/store/test_keys.py and test_probes.py use three.
        "GATEWAY_UNSAFE_STORE": "warn",
        **(settings or {}),
    }
    with Process("keys", "create", "acme", cwd=folder, environment=environment) as keys:
        assert keys.ended() == 0, keys.output
    with (
        Process("worker", cwd=folder, environment=environment) as worker,
        Process("serve", cwd=folder, environment=environment) as api,
    ):
        url = f"http://127.0.0.1:{port}"
        _wait_ready(url, api)
        yield Stack(url, keys.output[-1].split()[-1], api, worker, environment)


def _wait_ready(url: str, api: Process) -> None:
    with httpx.Client(timeout=5) as client:
        for _ in range(600):
            assert api.ended_early() is None, "ended too early"
            try:
                if client.get(f"{url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise AssertionError("the API did not become ready")


def client_environment(stack: Stack, folder: Path) -> dict[str, str]:
    """Give the environment of somebody who uses the gateway: an address, a key, a home, and nothing else."""
    kept = {
        name: value for name, value in os.environ.items() if name in {"PATH", "LANG"} or name.startswith("COVERAGE")
    }
    return {
        **kept,
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "GATEWAY_URL": stack.url,
        "GATEWAY_API_KEY": stack.key,
        "PYTHONUNBUFFERED": "1",
    }
