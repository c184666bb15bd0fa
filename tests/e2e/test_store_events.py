"""A store that tells: MinIO calls the gateway's address for events when a form has come."""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.dev import minio
from gateway.dev.processes import StackError, free_ports
from gateway.dev.store import StoreServer
from tests.conftest import boto3_client, missing, store_settings
from tests.docs_blocks import blocks_of
from tests.processes import Process, make_mp3

SECRET = secrets.token_urlsafe(32)


@pytest.fixture(scope="module")
def port() -> int:
    """Pick the gateway's port: MinIO wants the address of its webhook at the start."""
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def telling_store(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[StoreServer]:
    """Run a MinIO that has the gateway as a target of its events, as docs/uppy.md says."""
    [shown] = [block.text for block in blocks_of("docs/uppy.md") if block.text.startswith("MINIO_NOTIFY_WEBHOOK")]
    printed = shown.replace("https://uploads.example.com", f"http://127.0.0.1:{port}")
    lines = shlex.split(printed.replace("$GATEWAY_STORE_EVENTS_SECRET", SECRET))
    environment = dict(line.split("=", 1) for line in lines)
    try:
        server = minio.start(tmp_path_factory.mktemp("minio"), environment=environment)
    except StackError as error:
        missing(str(error))
    yield server
    server.stop()


def test_b12_a_real_event_makes_a_form_ready(
    telling_store: StoreServer, port: int, database_url: str, tmp_path: Path
) -> None:
    """Without a worker and without a question, the store's own event is what makes a form's file ready."""
    environment = {f"GATEWAY_{name.upper()}": value for name, value in store_settings(telling_store).items()} | {
        "GATEWAY_PORT": str(port),
        "GATEWAY_DATABASE_URL": database_url,
        "GATEWAY_TOKEN_SECRET": secrets.token_urlsafe(32),
        "GATEWAY_STORE_EVENTS_SECRET": SECRET,
        # The test uses the store's root key.
        "GATEWAY_UNSAFE_STORE": "warn",
    }
    s3 = boto3_client(telling_store)
    s3.create_bucket(Bucket=telling_store.bucket)
    with Process("keys", "create", "acme", cwd=tmp_path, environment=environment) as keys:
        assert keys.ended() == 0, keys.output
    key, body = keys.output[-1], make_mp3(tmp_path / "tone.mp3").read_bytes()
    with (
        Process("serve", cwd=tmp_path, environment=environment),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {key}"}) as client,
    ):
        _wait_ready(client)
        s3.put_bucket_notification_configuration(
            Bucket=telling_store.bucket,
            NotificationConfiguration={
                "QueueConfigurations": [
                    {
                        "QueueArn": "arn:minio:sqs::gateway:webhook",
                        "Events": ["s3:ObjectCreated:*"],
                        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "uploads/forms/"}]}},
                    }
                ]
            },
        )
        form = client.get("/s3/params", params={"filename": "tone.mp3", "type": "audio/mpeg"}).json()
        sent = httpx.post(form["url"], data=form["fields"], files={"file": ("tone.mp3", body)})
        assert sent.status_code == 201, sent.text
        for _ in range(300):
            # A listing asks the store nothing.
            [upload] = client.get("/v1/uploads").json()["uploads"]
            if upload["state"] == "ready":
                break
            time.sleep(0.1)
        assert (upload["state"], upload["size_bytes"]) == ("ready", len(body))
    s3.close()


def _wait_ready(client: httpx.Client) -> None:
    for _ in range(600):
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail("the gateway is not ready")
