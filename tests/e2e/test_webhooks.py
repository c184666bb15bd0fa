"""Webhooks between real processes: one API, workers that come, die and share the work, and receivers that were away."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGKILL
from typing import Any

import httpx
import psycopg
import pytest

from gateway.dev.processes import free_ports
from gateway.dev.store import StoreServer
from tests.e2e.receiver import Receiver, receiving
from tests.e2e.stack import Stack, running_gateway
from tests.processes import Process, make_mp3, upload_by_hand

ENDS_SECONDS = 120.0
SETTINGS = {
    "GATEWAY_TOKEN_SECRET": "t" * 32,
    "GATEWAY_WEBHOOK_SECRET": "w" * 32,
    "GATEWAY_WEBHOOK_PRIVATE_HOSTS": "true",
}


class Backend:
    """A tenant's server: it holds the API key, makes webhooks and looks what became of them."""

    def __init__(self, stack: Stack, client: httpx.Client) -> None:
        self.stack = stack
        self._client = client

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Call the API and give what it says; an answer that is no success fails the test."""
        answer = self._client.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def add(self, url: str, *types: str) -> dict[str, Any]:
        """Create a webhook."""
        body: dict[str, Any] = self.call("POST", "/v1/webhooks", json={"url": url, "event_types": types})
        return body

    def aborted(self) -> str:
        """Create an upload, abort it and give its id."""
        upload_id = str(self.call("POST", "/v1/uploads", json={"filename": "a.mp3", "size_bytes": 9})["upload_id"])
        self.call("DELETE", f"/v1/uploads/{upload_id}")
        return upload_id

    def deliveries(self, webhook: dict[str, Any]) -> list[dict[str, Any]]:
        """List what is and was to be sent, up to a thousand."""
        path = f"/v1/webhooks/{webhook['webhook_id']}/deliveries"
        listed: list[dict[str, Any]] = self.call("GET", path, params={"limit": 1000})["deliveries"]
        return listed

    def ended(self, webhook: dict[str, Any], count: int) -> list[dict[str, Any]]:
        """Wait until so many deliveries have ended, and give all."""
        deadline = time.monotonic() + ENDS_SECONDS
        while True:
            listed = self.deliveries(webhook)
            if sum(one["state"] != "pending" for one in listed) >= count:
                return listed
            assert time.monotonic() < deadline, Counter(one["state"] for one in listed)
            time.sleep(0.1)

    def execute(self, query: str, *values: Any) -> None:
        """Change the database behind the gateway's back."""
        with psycopg.connect(self.stack.environment["GATEWAY_DATABASE_URL"], autocommit=True) as connection:
            connection.execute(query, values)


@pytest.fixture
def backend(database_url: str, store_server: StoreServer, tmp_path: Path) -> Iterator[Backend]:
    """Run an API and a worker that may send to this machine."""
    with (
        running_gateway(database_url, store_server, tmp_path, SETTINGS) as stack,
        httpx.Client(base_url=stack.url, headers=stack.headers, timeout=60) as client,
    ):
        yield Backend(stack, client)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a receiver."""
    with receiving() as running:
        yield running


def test_a_backend_is_told_of_the_file_its_user_uploaded(backend: Backend, receiver: Receiver, tmp_path: Path) -> None:
    """A file sent with an upload token is told once, signed, with the metadata that the backend put into the token."""
    webhook = backend.add(receiver.url, "upload.ready", "upload.rejected")
    token = backend.call("POST", "/v1/upload-tokens", json={"expires_in_seconds": 600, "metadata": {"user_id": "7"}})
    ready = upload_by_hand(backend.stack.url, token["token"], make_mp3(tmp_path / "tone.mp3")).json()
    assert ready["state"] == "ready"
    (message,) = receiver.wait(1)
    said = message.read(webhook["secret"])
    assert (said["type"], said["data"]["metadata"]) == ("upload.ready", {"user_id": "7"})
    assert said["data"]["token_id"] == token["token_id"]
    for name in ("upload_id", "object_key", "size_bytes", "content_type", "etag"):
        assert said["data"][name] == ready[name], name
    (delivery,) = backend.ended(webhook, 1)
    assert (delivery["message_id"], delivery["state"], delivery["attempts"]) == (message.id, "delivered", 1)
    assert len(receiver.received) == 1


def test_b1_killed_while_the_receiver_holds_the_message(backend: Backend, receiver: Receiver, tmp_path: Path) -> None:
    """The worker dies with a message on its way; the next one sends it under the same id, and it is delivered once."""
    webhook = backend.add(receiver.url, "upload.aborted")
    receiver.answering.clear()
    upload_id = backend.aborted()
    (first,) = receiver.wait(1)
    backend.stack.worker.send(SIGKILL)
    assert backend.stack.worker.ended() == -SIGKILL
    receiver.answering.set()
    (held,) = backend.deliveries(webhook)
    assert (held["state"], held["attempts"]) == ("pending", 1)
    # The claim of the dead: it ends by itself after a minute.
    backend.execute("UPDATE webhook_deliveries SET claimed_until = now(), due_at = now()")
    with Process("worker", cwd=tmp_path, environment=backend.stack.environment):
        _, second = receiver.wait(2)
        (delivery,) = backend.ended(webhook, 1)
    assert first.id == second.id == delivery["message_id"]
    assert first.body == second.body
    assert second.read(webhook["secret"])["data"]["upload_id"] == upload_id
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 2)
    assert len(receiver.received) == 2


def test_b6_two_workers_share_the_work(backend: Backend, tmp_path: Path) -> None:
    """Of 200 uploads every event reaches each of three receivers, and none twice, while two workers send."""
    with ExitStack() as parts:
        parts.enter_context(Process("worker", cwd=tmp_path, environment=backend.stack.environment))
        receivers = [parts.enter_context(receiving()) for _ in range(3)]
        webhooks = [backend.add(one.url, "upload.created", "upload.aborted") for one in receivers]
        _wait_for_workers(backend.stack.environment["GATEWAY_DATABASE_URL"], 2)
        with ThreadPoolExecutor(8) as threads:
            uploads = set(threads.map(lambda _: backend.aborted(), range(200)))
        expected = {(upload, kind) for upload in uploads for kind in ("upload.created", "upload.aborted")}
        assert len(expected) == 400
        for receiver, webhook in zip(receivers, webhooks, strict=True):
            listed = backend.ended(webhook, 400)
            assert {(one["state"], one["attempts"]) for one in listed} == {("delivered", 1)}
            told = [message.read(webhook["secret"]) for message in receiver.received]
            assert {(said["data"]["upload_id"], said["type"]) for said in told} == expected
            assert len(receiver.received) == len({message.id for message in receiver.received}) == 400


def _wait_for_workers(url: str, count: int) -> None:
    """Wait until so many workers are at work: until then the first one has all of it."""
    deadline = time.monotonic() + ENDS_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute("SELECT count(*) FROM procrastinate_workers").fetchone() != (count,):
            assert time.monotonic() < deadline, "the workers do not start"
            time.sleep(0.1)


def test_what_a_receiver_missed_arrives_when_it_is_back(backend: Backend) -> None:
    """Nobody listens; then somebody does, and every message arrives: waiting, given up, and never owed."""
    [port] = free_ports(1)
    webhook = backend.add(f"http://127.0.0.1:{port}/hooks", "upload.aborted")
    path = f"/v1/webhooks/{webhook['webhook_id']}"
    uploads = {backend.aborted() for _ in range(4)}
    deadline = time.monotonic() + ENDS_SECONDS
    while {one["last_error"] for one in backend.deliveries(webhook)} != {"not_reachable"}:
        assert time.monotonic() < deadline, backend.deliveries(webhook)
        time.sleep(0.1)
    backend.call("PATCH", path, json={"enabled": False})
    waiting, *_, given_up = backend.deliveries(webhook)
    backend.execute("UPDATE webhook_deliveries SET claim = NULL, claimed_until = NULL, due_at = now() + '1 hour'")
    # As after the last of ten attempts.
    ends = "UPDATE webhook_deliveries SET state = 'failed', ended_at = now() WHERE id = %s"
    backend.execute(ends, given_up["delivery_id"])
    uploads |= {backend.aborted() for _ in range(3)}
    assert len(backend.deliveries(webhook)) == 4, "what happens while it is off is not owed"
    with receiving(port) as receiver:
        backend.call("PATCH", path, json={"enabled": True})
        since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        assert backend.call("POST", f"{path}/resend", json={"since": since}) == {"due": 4}
        for one in backend.ended(webhook, 4):
            if one["state"] == "pending":
                backend.call("POST", f"{path}/deliveries/{one['delivery_id']}/resend")
        assert {one["state"] for one in backend.ended(webhook, 7)} == {"delivered"}
        told = [message.read(webhook["secret"])["data"]["upload_id"] for message in receiver.received]
    assert sorted(told) == sorted(uploads)
    assert waiting["message_id"] in {message.id for message in receiver.received}
    assert backend.call("GET", path)["failures"] == 0
