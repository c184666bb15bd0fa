"""B1: kill -9 between any two store calls; after a restart every upload ends in one final state."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGKILL
from threading import Thread
from typing import Any

import httpx
import psycopg
import pytest

from gateway.dev.processes import free_ports
from gateway.dev.store import StoreServer
from tests.conftest import boto3_client
from tests.holding_proxy import HoldingProxy, Moment
from tests.processes import Process, make_mp3

ENDS_SECONDS = 60.0


class Crashing:
    """A gateway whose processes a test starts, kills and starts again on the same database and store."""

    def __init__(self, database_url: str, store: StoreServer, folder: Path) -> None:
        self._folder = folder
        self._store = store
        self._database_url = database_url
        self._parts = ExitStack()
        self.address = ""
        self.key = self._create_key()

    def environment(self, endpoint: str) -> dict[str, str]:
        """Give the settings with the gateway's own calls going through *endpoint*."""
        return {
            "GATEWAY_DATABASE_URL": self._database_url,
            "GATEWAY_S3_ENDPOINT": endpoint,
            "GATEWAY_S3_PUBLIC_ENDPOINT": self._store.endpoint,
            "GATEWAY_S3_BUCKET": self._store.bucket,
            "GATEWAY_S3_ACCESS_KEY_ID": self._store.access_key_id,
            "GATEWAY_S3_SECRET_ACCESS_KEY": self._store.secret_access_key,
            "GATEWAY_UNSAFE_STORE": "warn",
            "GATEWAY_LEASE_SECONDS": "2",
            "GATEWAY_SWEEP_SECONDS": "0.5",
        }

    def _create_key(self) -> str:
        with Process("keys", "create", "acme", cwd=self._folder, environment=self.environment("")) as process:
            assert process.ended() == 0, process.output
        return process.output[-1]

    def serve(self, endpoint: str) -> Process:
        """Start the API and wait until it answers."""
        port = str(free_ports(1)[0])
        environment = self.environment(endpoint) | {"GATEWAY_PORT": port}
        process = self._parts.enter_context(Process("serve", cwd=self._folder, environment=environment))
        self.address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + ENDS_SECONDS
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.address}/healthz", timeout=5).status_code == 200:
                    return process
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(process.output)

    def work(self, endpoint: str) -> Process:
        """Start the worker."""
        return self._parts.enter_context(Process("worker", cwd=self._folder, environment=self.environment(endpoint)))

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Call the API."""
        headers = {"authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        return httpx.request(method, f"{self.address}{path}", headers=headers, timeout=ENDS_SECONDS, **options)

    def close(self) -> None:
        """Stop what still runs."""
        self._parts.close()


@pytest.fixture
def crashing(database_url: str, store_server: StoreServer, tmp_path: Path) -> Iterator[Crashing]:
    """Give a gateway to crash."""
    gateway = Crashing(database_url, store_server, tmp_path)
    yield gateway
    gateway.close()


@contextmanager
def in_background(call: Any, *arguments: Any, **options: Any) -> Iterator[None]:
    """Make a call that will lose its server."""

    def run() -> None:
        try:
            call(*arguments, **options)
        except httpx.HTTPError:
            return

    thread = Thread(target=run)
    thread.start()
    yield
    thread.join(ENDS_SECONDS)


def _kill_at(crashing: Crashing, store: StoreServer, operation: str, moment: Moment, ask: Any) -> None:
    """Run *ask* against an API whose call of *operation* is held, and kill that API with -9 there."""
    with HoldingProxy(store.endpoint, operation, moment).running() as proxy:
        api = crashing.serve(proxy.address)
        with in_background(ask):
            proxy.wait_until_held()
            api.send(SIGKILL)
            assert api.ended() == -SIGKILL


def _put(created: dict[str, Any], body: bytes) -> None:
    for part in created["parts"]:
        assert httpx.put(part["url"], content=body, timeout=ENDS_SECONDS).status_code == 200


def _final(crashing: Crashing, upload_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + ENDS_SECONDS
    while time.monotonic() < deadline:
        answer = crashing.call("GET", f"/v1/uploads/{upload_id}", headers={"prefer": "wait=5"})
        if answer.json()["state"] in ("ready", "rejected", "aborted", "expired"):
            found: dict[str, Any] = answer.json()
            return found
    raise AssertionError(answer.text)


def _events(database_url: str) -> list[str]:
    with psycopg.connect(database_url) as connection:
        return [row[0] for row in connection.execute("SELECT type FROM events ORDER BY id")]


def _open_multipart_uploads(store: StoreServer, key: str) -> list[str]:
    answer = boto3_client(store).list_multipart_uploads(Bucket=store.bucket, Prefix=key)
    return [item["UploadId"] for item in answer.get("Uploads", []) if item["Key"] == key]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("operation", ["ListParts", "CompleteMultipartUpload", "GetObject"])
def test_b1_killed_while_completing(
    crashing: Crashing, store_server: StoreServer, database_url: str, tmp_path: Path, operation: str, moment: Moment
) -> None:
    """The API dies at a store call of complete; API and worker start again, and the file is ready once."""
    body = make_mp3(tmp_path / "tone.mp3").read_bytes()
    crashing.serve(store_server.endpoint)
    created = crashing.call("POST", "/v1/uploads", json={"filename": "a.mp3", "size_bytes": len(body)}).json()
    _put(created, body)
    path = f"/v1/uploads/{created['upload_id']}"
    _kill_at(crashing, store_server, operation, moment, lambda: crashing.call("POST", f"{path}/complete"))
    crashing.work(store_server.endpoint)
    crashing.serve(store_server.endpoint)
    if operation == "ListParts":
        # Nothing was claimed yet: the upload is where it was, and it is the client's turn.
        assert crashing.call("GET", path).json()["state"] == "uploading"
        crashing.call("POST", f"{path}/complete")
    assert _final(crashing, created["upload_id"])["state"] == "ready"
    assert _events(database_url).count("ready") == 1
    stored = boto3_client(store_server).get_object(Bucket=store_server.bucket, Key=created["object_key"])
    assert stored["Body"].read() == body


@pytest.mark.parametrize("moment", ["before", "after"])
def test_b1_killed_while_creating(
    crashing: Crashing, store_server: StoreServer, database_url: str, tmp_path: Path, moment: Moment
) -> None:
    """The API dies around CreateMultipartUpload; the repeated request makes one upload, and nothing is left open."""
    body = make_mp3(tmp_path / "tone.mp3").read_bytes()
    wanted = {"filename": "a.mp3", "size_bytes": len(body)}
    create = {"json": wanted, "headers": {"idempotency-key": "one"}}
    ask = lambda: crashing.call("POST", "/v1/uploads", **create)  # noqa: E731 - the same call twice
    _kill_at(crashing, store_server, "CreateMultipartUpload", moment, ask)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE uploads SET lease_until = now()")
    crashing.serve(store_server.endpoint)
    answer = ask()
    assert answer.status_code == 201, answer.text
    created = answer.json()
    assert len(_open_multipart_uploads(store_server, created["object_key"])) == 1
    _put(created, body)
    done = crashing.call("POST", f"/v1/uploads/{created['upload_id']}/complete").json()
    assert done["state"] == "ready"
    assert _open_multipart_uploads(store_server, created["object_key"]) == []


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("operation", ["AbortMultipartUpload", "DeleteObject"])
def test_b1_killed_while_cleaning_up(
    crashing: Crashing, store_server: StoreServer, operation: str, moment: Moment
) -> None:
    """The API dies while it removes a rejected file; the worker removes what is left."""
    crashing.serve(store_server.endpoint)
    created = crashing.call("POST", "/v1/uploads", json={"filename": "a.mp3", "size_bytes": 4}).json()
    _put(created, b"text")
    path = f"/v1/uploads/{created['upload_id']}"
    _kill_at(crashing, store_server, operation, moment, lambda: crashing.call("POST", f"{path}/complete"))
    crashing.work(store_server.endpoint)
    crashing.serve(store_server.endpoint)
    assert _final(crashing, created["upload_id"])["state"] == "rejected"
    client = boto3_client(store_server)
    deadline = time.monotonic() + ENDS_SECONDS
    while time.monotonic() < deadline:
        listed = client.list_objects_v2(Bucket=store_server.bucket, Prefix=created["object_key"])
        if listed["KeyCount"] == 0:
            return
        time.sleep(0.2)
    raise AssertionError("the rejected object is still there")


@pytest.mark.parametrize(
    ("moment", "operation"),
    [("before", "CompleteMultipartUpload"), ("before", "GetObject"), ("after", "GetObject")],
)
def test_b1_the_worker_killed_too(
    crashing: Crashing, store_server: StoreServer, database_url: str, tmp_path: Path, moment: Moment, operation: str
) -> None:
    """The API dies, the worker that takes over dies as well, and the next worker brings the file to ready."""
    body = make_mp3(tmp_path / "tone.mp3").read_bytes()
    crashing.serve(store_server.endpoint)
    created = crashing.call("POST", "/v1/uploads", json={"filename": "a.mp3", "size_bytes": len(body)}).json()
    _put(created, body)
    complete = lambda: crashing.call("POST", f"/v1/uploads/{created['upload_id']}/complete")  # noqa: E731
    _kill_at(crashing, store_server, "CompleteMultipartUpload", moment, complete)
    with HoldingProxy(store_server.endpoint, operation, "after").running() as proxy:
        worker = crashing.work(proxy.address)
        proxy.wait_until_held()
        worker.send(SIGKILL)
        assert worker.ended() == -SIGKILL
    crashing.work(store_server.endpoint)
    crashing.serve(store_server.endpoint)
    assert _final(crashing, created["upload_id"])["state"] == "ready"
    assert _events(database_url).count("ready") == 1
