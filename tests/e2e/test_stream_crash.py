"""kill -9 and SIGTERM while a form comes in, at real processes."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from gateway.dev.store import StoreServer
from tests.api.conftest import MIB, large_mp3
from tests.api.streaming import BOUNDARY, form_body
from tests.e2e.test_crash import Crashing, _final, _open_multipart_uploads
from tests.holding_proxy import HoldingProxy


class StreamCrashing(Crashing):
    """A gateway to kill that keeps forms in one place or the other."""

    destination = "store"
    kept: Path

    def environment(self, endpoint: str) -> dict[str, str]:
        """Give the settings."""
        more = {"UPLOAD_STREAM_DESTINATION": self.destination, "UPLOAD_DIR": str(self.kept)}
        return super().environment(endpoint) | more


@pytest.fixture(params=["store", "disk"])
def crashing(
    request: pytest.FixtureRequest, database_url: str, store_server: StoreServer, tmp_path: Path
) -> Iterator[StreamCrashing]:
    """Give a gateway to crash, with each destination."""
    StreamCrashing.kept = tmp_path / "kept"
    StreamCrashing.destination = request.param
    gateway = StreamCrashing(database_url, store_server, tmp_path)
    yield gateway
    gateway.close()


def send(crashing: Crashing, body: bytes, sent: int) -> socket.socket:
    """Send the first bytes of a form and wait until its upload is there."""
    host, port = crashing.address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), 60)
    lines = ["POST /upload/stream HTTP/1.1", "Host: a", f"Authorization: Bearer {crashing.key}"]
    lines += [f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}", f"Content-Length: {len(body)}"]
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body[:sent])
    while not crashing.call("GET", "/v1/uploads").json()["uploads"]:
        time.sleep(0.05)
    return connection


def left(crashing: StreamCrashing) -> list[str]:
    """Name the files that are kept."""
    return sorted(path.name for path in crashing.kept.iterdir()) if crashing.kept.exists() else []


def only_upload(crashing: Crashing) -> dict[str, str]:
    """Give the only upload."""
    (upload,) = crashing.call("GET", "/v1/uploads").json()["uploads"]
    found: dict[str, str] = upload
    return found


def test_b1_killed_in_mid_stream_nothing_is_left(crashing: StreamCrashing, store_server: StoreServer) -> None:
    """kill -9 while bytes come in: the upload expires within its lease and parts or temporary file are removed."""
    api = crashing.serve(store_server.endpoint)
    with send(crashing, form_body(large_mp3(21 * MIB)), 20 * MIB):
        upload = only_upload(crashing)
        api.send(SIGKILL)
        assert api.ended() == -SIGKILL
    crashing.serve(store_server.endpoint)
    crashing.work(store_server.endpoint)
    assert _final(crashing, upload["upload_id"])["state"] == "expired"
    deadline = time.monotonic() + 60
    while (
        left(crashing) or _open_multipart_uploads(store_server, upload["object_key"])
    ) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left(crashing) == []
    assert _open_multipart_uploads(store_server, upload["object_key"]) == []


def test_b10_a_form_that_is_nearly_in_gets_in(crashing: StreamCrashing, store_server: StoreServer) -> None:
    """SIGTERM while bytes come in: the form is taken to its end and answered before the process ends."""
    api = crashing.serve(store_server.endpoint)
    body = form_body(large_mp3(9 * MIB))
    with send(crashing, body, 8 * MIB) as connection:
        api.send(SIGTERM)
        time.sleep(0.5)
        connection.sendall(body[8 * MIB :])
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 201"), answer
    assert api.ended() in (0, -SIGTERM)


@pytest.mark.parametrize("crashing", ["store"], indirect=True)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_b1_killed_while_completing_it_becomes_ready(
    crashing: StreamCrashing, store_server: StoreServer, moment: str
) -> None:
    """kill -9 when every byte was in: another process goes on from there, and the file is ready, whole."""
    body = large_mp3(9 * MIB)
    with HoldingProxy(store_server.endpoint, "CompleteMultipartUpload", moment).running() as proxy:  # type: ignore[arg-type]
        api = crashing.serve(proxy.address)
        form = form_body(body)
        with send(crashing, form, len(form)):
            proxy.wait_until_held()
            upload = only_upload(crashing)
            api.send(SIGKILL)
            assert api.ended() == -SIGKILL
    crashing.serve(store_server.endpoint)
    crashing.work(store_server.endpoint)
    final = _final(crashing, upload["upload_id"])
    assert final["state"] == "ready"
    assert final["size_bytes"] == len(body)
