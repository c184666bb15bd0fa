"""The Python client against a real gateway and store, beyond what the examples of its page show."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from gateway.client import (
    Client,
    InvalidWebhook,
    NotAuthorised,
    NotConfigured,
    Retry,
    Unreachable,
    UploadState,
    WrongState,
    verify_webhook,
)
from gateway.dev.processes import free_ports
from gateway.dev.store import StoreServer
from tests.e2e.stack import Stack, client_environment, running_gateway
from tests.processes import make_mp3

SETTINGS = {
    "GATEWAY_TOKEN_SECRET": "t" * 32,
    "GATEWAY_WEBHOOK_SECRET": "w" * 32,
    "GATEWAY_WEBHOOK_PRIVATE_HOSTS": "true",
}


@pytest.fixture(scope="module")
def stack(
    make_database: Callable[[], str], store_server: StoreServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Run the gateway."""
    folder = tmp_path_factory.mktemp("gateway")
    with running_gateway(make_database(), store_server, folder, SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a real MP3."""
    return make_mp3(tmp_path_factory.mktemp("media") / "tone.mp3")


@pytest.fixture
def client(stack: Stack, tmp_path: Path) -> Iterator[Client]:
    """Give a client."""
    with Client(stack.url, stack.key, state_folder=tmp_path / "state") as client:
        yield client


def test_an_upload_has_every_field(client: Client, tone: Path, tmp_path: Path) -> None:
    """The typed upload has each field of the API's answer with the same value; its state is an enum."""
    upload = client.upload(tone, metadata={"a": "b"})
    answer = httpx.get(f"{client.address}/v1/uploads/{upload.upload_id}", headers=_key(client)).json()
    for name, value in answer.items():
        assert hasattr(upload, name), name
        if not name.endswith("_at"):
            assert getattr(upload, name) == value, name
    assert upload.state is UploadState.READY
    assert upload.updated_at is not None
    assert upload.detection is not None
    assert upload.detection["kind"] == "audio"


def _key(client: Client) -> dict[str, str]:
    return {"Authorization": client._driver._headers["Authorization"]}


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/", "//"])
def test_addresses_as_people_type_them(stack: Stack, tone: Path, ending: str) -> None:
    """A final slash or `/v1` does not matter."""
    with Client(stack.url + ending, stack.key) as client:
        assert client.address == stack.url
        assert client.upload(tone).is_ready


def test_settings_from_the_environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Client()` reads GATEWAY_URL and GATEWAY_API_KEY; without a key it says what to set."""
    monkeypatch.setenv("GATEWAY_URL", stack.url)
    monkeypatch.setenv("GATEWAY_API_KEY", f" {stack.key}\n")
    with Client() as client:
        assert client.list(limit=1) is not None
    monkeypatch.delenv("GATEWAY_API_KEY")
    with pytest.raises(NotConfigured, match="GATEWAY_API_KEY"):
        Client()
    monkeypatch.setenv("GATEWAY_APIKEY", "x")
    with pytest.raises(NotConfigured, match="GATEWAY_APIKEY is set: is its name misspelt"):
        Client()


@pytest.mark.parametrize("key", ["", "ü", "a\nb"])
def test_keys_that_are_none(stack: Stack, key: str) -> None:
    """A key that cannot be sent is named at once, without being shown."""
    with pytest.raises(NotConfigured) as caught:
        Client(stack.url, key)
    assert not key or key not in str(caught.value)


def test_iter_uploads_pages_by_itself(client: Client) -> None:
    """More uploads than fit in one page are all listed, each once."""
    made = {client.create(f"{number}.mp3", 5).upload_id for number in range(205)}
    listed = [upload.upload_id for upload in client.iter_uploads(state="uploading")]
    assert made <= set(listed)
    assert len(listed) == len(set(listed))
    for upload_id in made:
        client.abort(upload_id)


def test_a_pipe_becomes_ready(client: Client, tone: Path) -> None:
    """A pipe goes through the gateway, and the result has the fields of an upload."""
    with subprocess.Popen(["cat", str(tone)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        upload = client.upload(process.stdout, filename="tone.mp3")
    assert (upload.state, upload.size_bytes) == ("ready", tone.stat().st_size)
    assert upload.object_key is not None


def test_a_rejected_pipe_is_an_outcome(client: Client) -> None:
    """A stream that is no media is rejected with a reason, not an exception."""
    upload = client.upload(iter([b"This is a text. " * 1000]), filename="song.mp3")
    assert (upload.state, upload.rejection is not None) == ("rejected", True)


def test_every_part_of_a_download_is_checked(client: Client, tone: Path, tmp_path: Path) -> None:
    """A download has the bytes of the file and was checked by the digests that the store keeps."""
    frames = tone.read_bytes()
    long = tmp_path / "long.mp3"
    long.write_bytes((frames * (12_000_000 // len(frames) + 1))[:12_000_000])
    upload = client.upload(long, part_size_bytes=5 << 20)
    done = client.download(upload.upload_id, tmp_path / "copy.mp3")
    assert (tmp_path / "copy.mp3").read_bytes() == long.read_bytes()
    assert done.checked in {"sha256", "md5"}


def test_a_file_that_is_not_ready_is_not_fetched(client: Client, tmp_path: Path) -> None:
    """An upload that is not ready is an error that names the gateway, and leaves no file."""
    upload = client.create("a.mp3", 5)
    with pytest.raises(WrongState) as caught:
        client.download(upload.upload_id, tmp_path / "a.mp3")
    assert caught.value.address == client.address
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_a_webhook_message_is_verified(client: Client, tone: Path) -> None:
    """`verify_webhook` takes the gateway's own messages and refuses changed, foreign and old ones."""
    received: list[tuple[dict[str, str], bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            webhook = client.webhooks.create(f"http://127.0.0.1:{server.server_port}/")
            assert client.webhooks.test(webhook.webhook_id).delivered
        finally:
            server.shutdown()
            thread.join()
    [(headers, body)] = received
    assert webhook.secret is not None
    message = verify_webhook(webhook.secret, headers, body)
    assert (message.event_type, message.message_id) == ("webhook.test", headers["webhook-id"])
    with pytest.raises(InvalidWebhook):
        verify_webhook(webhook.secret, headers, body + b" ")
    with pytest.raises(InvalidWebhook):
        verify_webhook("whsec_" + "A" * 44, headers, body)
    with pytest.raises(InvalidWebhook, match="ago"):
        verify_webhook(webhook.secret, headers, body, tolerance_seconds=-1)
    client.webhooks.remove(webhook.webhook_id)


def test_an_upload_token_in_place_of_a_key(client: Client, stack: Stack, tone: Path) -> None:
    """A client with an upload token uploads, and is told plainly what a token may not do."""
    issued = client.upload_tokens.create(600, max_files=1)
    with Client(stack.url, issued.token) as limited:
        assert limited.upload(tone.read_bytes(), filename="a.mp3").is_ready
        with pytest.raises(NotAuthorised):
            limited.upload_tokens.list()
        with pytest.raises(NotAuthorised, match="Ask for a new upload token"):
            limited.upload(tone.read_bytes(), filename="b.mp3")
    assert issued.token not in repr(issued)


def test_h25_a_dead_proxy_does_not_matter_for_loopback(stack: Stack, tone: Path, tmp_path: Path) -> None:
    """A proxy in the environment is not used for this machine; for another host, the error names the proxy setting."""
    [port] = free_ports(1)
    environment = client_environment(stack, tmp_path) | {
        "http_proxy": f"http://127.0.0.1:{port}",
        "all_proxy": f"http://127.0.0.1:{port}",
    }
    program = (
        "import sys\nfrom gateway.client import Client, ClientError, Retry\n"
        "with Client() as client:\n    print(client.upload(sys.argv[1]).state)\n"
        "try:\n    Client('http://uploads.invalid', retry=Retry(attempts=1)).list()\n"
        "except ClientError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tone], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    state, error = done.stdout.splitlines()
    assert state == "ready"
    assert error.startswith("http://uploads.invalid: the gateway does not answer")


def test_h20_the_key_stays_with_the_gateway(stack: Stack, client: Client, tone: Path) -> None:
    """An own httpx client that follows redirects and carries the key does not send it to the store."""
    upload = client.upload(tone)
    sent: list[httpx.Request] = []
    with (
        httpx.Client(
            headers={"Authorization": f"Bearer {stack.key}"},
            follow_redirects=True,
            event_hooks={"request": [sent.append]},
        ) as own,
        Client(stack.url, stack.key, http_client=own) as other,
        other.open_url(upload.upload_id) as file,
    ):
        assert file.read() == tone.read_bytes()
    to_store = [request for request in sent if not str(request.url).startswith(stack.url)]
    assert len(to_store) == 1
    assert "authorization" not in to_store[0].headers


def test_failures_name_the_address_and_what_to_do(stack: Stack, tone: Path) -> None:
    """Nothing there, something else there, a wrong key: each error names the address and what to do."""
    nowhere = f"http://127.0.0.1:{free_ports(1)[0]}"
    with Client(nowhere, stack.key, retry=Retry(attempts=1)) as client, pytest.raises(Unreachable) as caught:
        client.upload(tone)
    assert str(caught.value).startswith(f"{nowhere}: the gateway does not answer (ConnectError")
    assert "GATEWAY_URL" in caught.value.advice
    with Client(stack.url + "/somewhere", stack.key) as client, pytest.raises(Exception, match="Check") as other:
        client.list()
    assert stack.url in str(other.value)
    with Client(stack.url, "gw_wrong") as client, pytest.raises(NotAuthorised, match="GATEWAY_API_KEY"):
        client.list()


def test_json_of_a_detection_is_plain(client: Client, tone: Path) -> None:
    """What the gateway detected can be written as JSON again."""
    assert json.loads(json.dumps(client.upload(tone).detection))["container"]
