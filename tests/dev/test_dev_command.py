"""`gateway dev` as a person runs it: a real process, real parts, real signals."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from gateway.cli.dev import SAMPLE
from gateway.cli.dev import app as dev_app
from gateway.dev import postgres, seaweedfs
from gateway.dev.processes import StackError
from gateway.dev.store import StoreServer
from gateway.storage.models import StoreConfig
from gateway.storage.sigv4 import Credentials
from tests.conftest import missing
from tests.e2e.receiver import receiving
from tests.processes import Process, assert_gone, make_mp3, upload_by_hand

KEY = "a-development-key"

# Several whole stacks one after the other: on two busy cores each start takes longer than most tests.
pytestmark = pytest.mark.timeout(600)


@dataclass
class Dev:
    """A running `gateway dev`."""

    process: Process
    address: str
    key: str
    paste: str


@pytest.fixture(autouse=True)
def _parts_exist() -> None:
    try:
        postgres.binaries()
        seaweedfs.binary()
    except StackError as error:
        missing(str(error))


@contextmanager
def _dev(folder: Path, *arguments: str, **environment: str) -> Iterator[Dev]:
    """Run `gateway dev` in *folder* until it says that it is ready."""
    settings = {"GATEWAY_PORT": "0", "GATEWAY_DATA_DIR": "data", **environment}
    with Process("dev", *arguments, cwd=folder, environment=settings) as process:
        address = process.wait_for(r"Address +(http://\S+)")[1]
        key = process.wait_for(r"Key +(\S+)")[1]
        paste = process.wait_for(r"^ +(\S.* upload \S*sample.mp3 .*)$")[1]
        process.wait_for("Ctrl-C stops everything")
        yield Dev(process, address, key, paste)


def test_whole_life(tmp_path: Path) -> None:
    """It starts, the pasted line uploads a file, Ctrl-C leaves nothing running, and a second start finds the file."""
    file = make_mp3(tmp_path / "tone.mp3")
    with _dev(tmp_path, "--store", "seaweedfs") as dev:
        for version in (r"Starting upload-gateway \d+\.", r"PostgreSQL \d+\.\d+ ", r"SeaweedFS \d+\.\d+ "):
            assert any(re.search(version, line) for line in dev.process.output), dev.process.output
        children = dev.process.children()
        assert len(children) >= 4
        command = shlex.split(dev.paste)
        sent = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=tmp_path)
        assert sent.returncode == 0, sent.stdout + sent.stderr
        assert '"ready"' in sent.stdout
        page = httpx.get(f"{dev.address}/docs").text
        assert 'src="docs/swagger-ui-bundle.js"' in page
        assert httpx.get(f"{dev.address}/docs/swagger-ui-bundle.js").status_code == 200
        assert upload_by_hand(dev.address, dev.key, file).json()["state"] == "ready"
        _assert_commands_find_it(tmp_path)
        first_key = dev.key
        dev.process.send(signal.SIGINT)
        assert dev.process.ended() == 0
        assert_gone(children)
    with _dev(tmp_path, "--store", "seaweedfs") as dev:
        assert dev.key == first_key
        headers = {"Authorization": f"Bearer {dev.key}"}
        uploads = httpx.get(f"{dev.address}/v1/uploads", headers=headers).json()["uploads"]
        assert [upload["state"] for upload in uploads] == ["ready", "ready"]
        download = f"{dev.address}/v1/uploads/{uploads[0]['upload_id']}/download"
        assert httpx.get(download, headers=headers, follow_redirects=True).content in (
            file.read_bytes(),
            SAMPLE.read_bytes(),
        )
        _assert_pages_of_this_machine_may_upload(dev)


def _assert_commands_find_it(folder: Path) -> None:
    """Run the operator's commands beside `gateway dev` with nothing but its data folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}

    def run(*arguments: str, data_dir: str = "data") -> subprocess.CompletedProcess[str]:
        environment = {**kept, "GATEWAY_DATA_DIR": data_dir}
        command = [sys.executable, "-m", "gateway", *arguments]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    made = run("keys", "create", "beside")
    assert (made.returncode, made.stdout.startswith("gw_")) == (0, True), made.stderr
    assert f"Using the gateway dev that runs on {folder / 'data'}." in made.stderr
    assert made.stdout.split("_")[1] in run("keys", "list", "-q").stdout.split()
    for arguments in (["db", "migrate", "-q"], ["store", "check", "-q"], ["worker", "--health", "-q"]):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), (arguments, done)
    assert stat.S_IMODE((folder / "data" / "running.json").stat().st_mode) == 0o600
    assert run("keys", "list", data_dir="another").returncode == 1


def _assert_pages_of_this_machine_may_upload(dev: Dev) -> None:
    """Ask gateway and store what a browser asks for a page of any server on this machine, and for a stranger's page."""
    headers = {"Authorization": f"Bearer {dev.key}"}
    for page, allowed in (
        ("http://localhost:5173", True),
        ("http://127.0.0.1:3000", True),
        ("http://[::1]:1", True),
        ("https://localhost:5173", True),
        ("http://localhost", True),
        ("http://localhost.example.com:5173", False),
    ):
        declared = {"filename": "tone.mp3", "size_bytes": SAMPLE.stat().st_size}
        created = httpx.post(f"{dev.address}/v1/uploads", json=declared, headers=headers | {"Origin": page})
        assert (created.headers.get("access-control-allow-origin") == page) is allowed
        part = created.json()["parts"][0]["url"]
        asked = {
            "Origin": page,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "content-md5",
        }
        may_put = httpx.options(part, headers=asked).headers.get("access-control-allow-origin")
        sent = httpx.put(part, content=SAMPLE.read_bytes(), headers={"Origin": page})
        assert sent.status_code == 200
        if allowed:
            assert {may_put, sent.headers["access-control-allow-origin"]} <= {page, "*"}
            assert "etag" in sent.headers["access-control-expose-headers"].lower()


def test_term_stops_everything_and_kill_too(tmp_path: Path) -> None:
    """TERM ends every child in order; after kill -9 of the parent the kernel ends them, and the data is still good."""
    with _dev(tmp_path, "--store", "seaweedfs", GATEWAY_DEV_KEY=KEY) as dev:
        assert dev.key == KEY
        children = dev.process.children()
        dev.process.send(signal.SIGTERM)
        assert dev.process.ended() == 0
        assert_gone(children)
    if sys.platform != "linux":
        return
    with _dev(tmp_path, "--store", "seaweedfs", GATEWAY_DEV_KEY=KEY) as dev:
        children = dev.process.children()
        dev.process.send(signal.SIGKILL)
        dev.process.ended()
        assert_gone(children)
    with _dev(tmp_path, "--store", "seaweedfs", GATEWAY_DEV_KEY=KEY) as dev:
        assert httpx.get(f"{dev.address}/readyz").status_code == 200


def test_child_that_dies_ends_it_all(tmp_path: Path) -> None:
    """When a part dies by itself the rest is stopped and one line names it."""
    with _dev(tmp_path, "--store", "seaweedfs") as dev:
        children = dev.process.children()
        next(child for child in children if "worker" in child.cmdline()).kill()
        assert dev.process.ended() == 1
        assert dev.process.output[-1].startswith("gateway worker ended with code -9")
        assert_gone(children)


def test_second_start_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """Two stacks cannot share a folder; the second says so and does not disturb the first."""
    with _dev(tmp_path, "--store", "seaweedfs") as dev:
        lines = _refused(tmp_path, "--store", "seaweedfs")
        assert re.fullmatch("Another gateway dev runs on .*/data: .*", lines[-1])
        assert httpx.get(f"{dev.address}/healthz").status_code == 200


def _refused(folder: Path, *arguments: str, **environment: str) -> list[str]:
    """Run `gateway dev` that must end with 1, one line and nothing left; give its lines."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    settings = {"GATEWAY_PORT": "0", "GATEWAY_DATA_DIR": "data", **environment}
    with Process("dev", *arguments, cwd=folder, environment=settings) as process:
        assert process.ended() == 1, process.output
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
    lines = [line for line in process.output if not line.startswith(("Starting ", "  "))]
    assert len(lines) == 1, process.output
    return lines


def test_taken_port_is_refused(tmp_path: Path) -> None:
    """A taken port is one line, before anything is started."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert _refused(tmp_path, GATEWAY_PORT=port)[0].startswith(f"Port {port} on 127.0.0.1 is taken")
    assert not (tmp_path / "data" / "postgres").exists()


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--store", "ceph"], {}, "--store is auto, minio or seaweedfs, not ceph."),
        ([], {"GATEWAY_PORT": "http"}, "GATEWAY_PORT: "),
        ([], {"GATEWAY_DEV_KEY": "a b"}, "GATEWAY_DEV_KEY holds no API key"),
        (["--store", "minio"], {"PATH": "/nowhere", "GOPATH": "/nowhere"}, "No MinIO on PATH"),
        (["--store", "seaweedfs"], {"GATEWAY_DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "The database does not"),
    ],
    ids=["store", "setting", "key", "minio", "database"],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    environment: dict[str, str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A mistake ends with 1 and one line that says what is wrong, and leaves nothing running."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"GATEWAY_PORT": "0", "GATEWAY_DATA_DIR": "data", **environment}.items():
        monkeypatch.setenv(name, value)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    result = CliRunner().invoke(dev_app, arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(words)
    assert result.stderr.count("\n") == 1
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def _own(database_url: str, store: StoreServer) -> dict[str, str]:
    """Give the settings of somebody who has a database and a store."""
    return {
        "GATEWAY_DATABASE_URL": database_url,
        "GATEWAY_S3_ENDPOINT": store.endpoint,
        "GATEWAY_S3_ACCESS_KEY_ID": store.access_key_id,
        "GATEWAY_S3_SECRET_ACCESS_KEY": store.secret_access_key,
        # One key for everything, which MinIO makes unsafe.
        "GATEWAY_UNSAFE_STORE": "warn",
    }


def test_own_database_and_store_are_used(database_url: str, store_server: StoreServer, tmp_path: Path) -> None:
    """With both parts given, only API and worker are started, and they work on the given ones."""
    with _dev(tmp_path, **_own(database_url, store_server)) as dev:
        assert {child.cmdline()[3] for child in dev.process.children()} == {"serve", "worker"}
        assert upload_by_hand(dev.address, dev.key, make_mp3(tmp_path / "tone.mp3")).json()["state"] == "ready"
    assert not (tmp_path / "data" / "postgres").exists()


def test_webhooks_reach_this_machine(database_url: str, store_server: StoreServer, tmp_path: Path) -> None:
    """Out of the box a webhook may go to http://127.0.0.1: a test message arrives, and so does a ready upload."""
    with _dev(tmp_path, **_own(database_url, store_server)) as dev, receiving() as receiver:
        headers = {"Authorization": f"Bearer {dev.key}"}
        created = httpx.post(f"{dev.address}/v1/webhooks", json={"url": receiver.url}, headers=headers)
        assert created.status_code == 201, created.text
        secret = created.json()["secret"]
        tried = httpx.post(f"{dev.address}{created.headers['location']}/test", headers=headers, timeout=30)
        assert tried.json() == {"delivered": True, "status": 204, "error": None}
        (test,) = receiver.received
        assert test.read(secret)["type"] == "webhook.test"
        ready = upload_by_hand(dev.address, dev.key, make_mp3(tmp_path / "tone.mp3")).json()
        _, message = receiver.wait(2)
        assert (message.read(secret)["type"], ready["state"]) == ("upload.ready", "ready")
        assert message.read(secret)["data"]["upload_id"] == ready["upload_id"]


def _key_id_of(url: str) -> str:
    return dict(parse_qsl(urlsplit(url).query))["X-Amz-Credential"].split("/")[0]


def test_i1_i3_minio_exposes_no_file(tmp_path: Path) -> None:
    """`--store minio`: no part URL copies a file, no forged write reaches a download; the console names the probes."""
    from gateway.dev import minio
    from gateway.startup.attacks import forged_put

    if minio.find_binary() is None:
        missing("no minio on PATH or in Go's bin folder: make minio builds it")
    file = make_mp3(tmp_path / "tone.mp3")
    with _dev(tmp_path, "--store", "minio") as dev:
        said = [line.strip() for line in dev.process.output if line.strip().startswith("Store, ")]
        assert {line.split(":")[0] for line in said} == {"Store, forged_write", "Store, unsigned_headers"}
        assert any("accepted; a checked file keeps its version." in line for line in said)
        _assert_pages_of_this_machine_may_upload(dev)
        ready = upload_by_hand(dev.address, dev.key, file).json()
        assert ready["state"] == "ready"
        with httpx.Client(base_url=dev.address, headers={"Authorization": f"Bearer {dev.key}"}) as client:
            created = client.post("/s3/multipart", json={"filename": "attack.mp3"}).json()
            part = client.get(f"/s3/multipart/{created['uploadId']}/1").json()["url"]
            download = f"/v1/uploads/{ready['upload_id']}/download"
            link = client.get(download, headers={"Accept": "application/json"}).json()["url"]
            assert len({_key_id_of(part), _key_id_of(link)}) == 2
            # I1: another file of the bucket, named in an unsigned header of an own part.
            for source in (f"/uploads/{ready['object_key']}", f"uploads/{ready['object_key']}?versionId=null"):
                assert httpx.put(part, headers={"x-amz-copy-source": source}).status_code == 403
            assert client.get(f"/s3/multipart/{created['uploadId']}").json() == []
            # I3: the key ids of both URLs, with and without the version that the download names.
            version = dict(parse_qsl(urlsplit(link).query))["versionId"]
            endpoint = f"http://{urlsplit(link).netloc}"
            taken = 0
            for key_id in (_key_id_of(part), _key_id_of(link)):
                for named in (None, version):
                    config = StoreConfig(endpoint, "uploads", "us-east-1", Credentials(key_id, "unknown"))
                    request, body = forged_put(config, ready["object_key"], b"forged", named)
                    taken += httpx.put(request.url, headers=request.headers, content=body).status_code == 200
            assert taken == 1, "this MinIO takes exactly the forged write of the key that may put"
            assert httpx.get(link).content == file.read_bytes()
            again = client.get(download, headers={"Accept": "application/json"}).json()["url"]
            assert httpx.get(again).content == file.read_bytes()
