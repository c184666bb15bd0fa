"""Run a real versitygw, the store that keeps half a part."""

from __future__ import annotations

import http.client
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.dev.processes import Child, free_ports
from gateway.dev.store import StoreServer, kept_credentials
from gateway.storage.policies import StoreKeys
from tests.conftest import boto3_client, missing


@contextmanager
def running_versitygw(folder: Path) -> Iterator[StoreServer]:
    """Run versitygw on *folder* with its bucket made. It knows one key, which stands in all three places."""
    go_bin = os.environ.get("GOBIN") or str(Path(os.environ.get("GOPATH") or Path.home() / "go") / "bin")
    program = shutil.which("versitygw") or shutil.which("versitygw", path=go_bin)
    if program is None:
        missing("no versitygw on PATH or in Go's bin folder")
    data = folder / "data"
    data.mkdir()
    credentials = kept_credentials(folder)
    (port,) = free_ports(1)
    child = Child(
        name="versitygw",
        command=[
            *(program, "--port", f"127.0.0.1:{port}", "--access", credentials.access_key_id),
            *("--secret", credentials.secret_access_key, "posix", str(data)),
        ],
        log=folder / "versitygw.log",
        environment={},
    )
    child.start_until(lambda: _answers(port), 30)
    try:
        keys = StoreKeys(credentials, credentials, credentials)
        server = StoreServer("versitygw", child, f"http://127.0.0.1:{port}", credentials, keys)
        client = boto3_client(server)
        client.create_bucket(Bucket=server.bucket)
        client.close()
        yield server
    finally:
        child.stop()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status in (200, 403)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
