"""A13: the nginx that infra/compose.yaml puts before MinIO lets uploads through and forged writes not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import httpx
import pytest

from gateway.dev import minio
from gateway.dev.processes import Child, StackError, free_ports
from gateway.dev.store import StoreServer
from gateway.startup.check_forgery import forged_trailer_put
from gateway.storage.models import StoreConfig
from gateway.storage.sigv4 import Credentials
from tests.conftest import boto3_client, missing
from tests.e2e.test_topology import run_one_shot, wait_ready
from tests.processes import Process, make_mp3, upload_by_hand

CONF = Path(__file__).parents[2] / "infra" / "store.conf"
MAIN = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/store.conf;
}}
"""


@dataclass
class Proxied:
    """A MinIO, and the address of the nginx before it."""

    store: StoreServer
    address: str

    def config(self, endpoint: str) -> StoreConfig:
        """Give what reaches the store at *endpoint*."""
        credentials = Credentials(self.store.access_key_id, self.store.secret_access_key)
        return StoreConfig(endpoint, self.store.bucket, self.store.region, credentials, max_attempts=1)


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """Run MinIO and nginx with the file of the compose stack."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        missing("no nginx on this machine")
    folder = tmp_path_factory.mktemp("proxy")
    try:
        store = minio.start(folder / "minio")
    except StackError as error:
        missing(str(error))
    try:
        client = boto3_client(store)
        client.create_bucket(Bucket=store.bucket)
        client.close()
        yield from _nginx(program, folder, store)
    finally:
        store.stop()


def _nginx(program: str, folder: Path, store: StoreServer) -> Iterator[Proxied]:
    (port,) = free_ports(1)
    conf = CONF.read_text()
    assert conf.count("minio:9000") == 2
    assert conf.count("listen 8080;") == 1
    conf = conf.replace("http://minio:9000", store.endpoint).replace("listen 8080;", f"listen 127.0.0.1:{port};")
    (folder / "store.conf").write_text(conf)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
    child = Child(
        name="nginx",
        command=[program, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")],
        log=folder / "nginx.log",
        environment={},
    )
    address = f"http://127.0.0.1:{port}"
    try:
        child.start_until(lambda: _answers(f"{address}/minio/health/ready"), 30)
        yield Proxied(store, address)
    finally:
        child.stop()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


async def test_a13_forged_writes_do_not_pass_the_proxy(proxied: Proxied) -> None:
    """What MinIO itself takes is refused before it, however the header is written, and nothing is stored."""
    client = boto3_client(proxied.store)
    async with aiohttp.ClientSession() as session:
        assert (await forged_trailer_put(proxied.config(proxied.store.endpoint), session, "forged")).forged
        result = await forged_trailer_put(proxied.config(proxied.address), session, "forged")
        assert (result.forged, result.status) == (False, 403)
        for value in ("streaming-unsigned-payload-trailer", "UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
            url = f"{proxied.address}/{proxied.store.bucket}/forged"
            headers = {"x-amz-content-sha256": value, "authorization": "AWS4-HMAC-SHA256 x"}
            async with session.put(url, data=b"x", headers=headers) as answer:
                assert answer.status == 403
    assert client.list_objects_v2(Bucket=proxied.store.bucket)["KeyCount"] == 0
    client.close()


@pytest.mark.parametrize("path", ["/minio/admin/v3/info", "/minio/v2/metrics/cluster", "/minio/"])
def test_administration_is_not_public(proxied: Proxied, path: str) -> None:
    """Nothing below /minio/ but the health of the store is for clients."""
    assert httpx.get(f"{proxied.address}{path}").status_code == 404


def test_uploads_pass_the_proxy(proxied: Proxied, empty_database_url: str, tmp_path: Path) -> None:
    """With the proxy as public endpoint, a file goes through signed URLs to `ready`, and its download comes back."""
    (port,) = free_ports(1)
    environment = {
        "GATEWAY_PORT": str(port),
        "GATEWAY_DATABASE_URL": empty_database_url,
        "GATEWAY_S3_ENDPOINT": proxied.store.endpoint,
        "GATEWAY_S3_PUBLIC_ENDPOINT": proxied.address,
        "GATEWAY_S3_BUCKET": "topology",
        "GATEWAY_S3_ACCESS_KEY_ID": proxied.store.access_key_id,
        "GATEWAY_S3_SECRET_ACCESS_KEY": proxied.store.secret_access_key,
    }
    run_one_shot(environment, tmp_path, "db", "migrate")
    run_one_shot(environment, tmp_path, "store", "prepare")
    key = run_one_shot(environment, tmp_path, "keys", "create", "acme").split()[-1]
    address = f"http://127.0.0.1:{port}"
    file = make_mp3(tmp_path / "tone.mp3")
    with Process("serve", cwd=tmp_path, environment=environment) as api:
        wait_ready(address, api)
        ready = upload_by_hand(address, key, file).json()
        assert ready["state"] == "ready"
        headers = {"authorization": f"Bearer {key}", "accept": "application/json"}
        told = httpx.get(f"{address}/v1/uploads/{ready['upload_id']}/download", headers=headers)
        url = told.json()["url"]
        assert url.startswith(proxied.address)
        assert httpx.get(url).content == file.read_bytes()
