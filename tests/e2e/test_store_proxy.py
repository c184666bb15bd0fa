"""A13, I1, I2: nginx with infra/store.conf passes uploads on to MinIO and refuses headers that nobody signed."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import threading
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest

from gateway.dev import minio
from gateway.dev.processes import Child, StackError, free_ports
from gateway.dev.store import StoreServer
from gateway.startup.attacks import forged_put, send
from gateway.storage.clock import utc_now
from gateway.storage.models import StoreConfig
from gateway.storage.presign import PartToSign, Presigner, SignedRequest
from gateway.storage.s3 import open_store
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
        with nginx_before(program, folder, store.endpoint) as address:
            yield Proxied(store, address)
    finally:
        store.stop()


@contextmanager
def nginx_before(program: str, folder: Path, upstream: str) -> Iterator[str]:
    """Run nginx with infra/store.conf before *upstream* and give its address."""
    (port,) = free_ports(1)
    conf = CONF.read_text()
    assert conf.count("minio:9000") == 2
    assert conf.count("listen 8080;") == 1
    conf = conf.replace("http://minio:9000", upstream).replace("listen 8080;", f"listen 127.0.0.1:{port};")
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
        yield address
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
        direct, through = (
            forged_put(proxied.config(at), "forged", b"x") for at in (proxied.store.endpoint, proxied.address)
        )
        assert (await send(session, *direct))[0] == 200
        client.delete_object(Bucket=proxied.store.bucket, Key="forged")
        assert (await send(session, *through))[0] == 403
        for value in ("streaming-unsigned-payload-trailer", "UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
            url = f"{proxied.address}/{proxied.store.bucket}/forged"
            headers = {"x-amz-content-sha256": value, "authorization": "AWS4-HMAC-SHA256 x"}
            async with session.put(url, data=b"x", headers=headers) as answer:
                assert answer.status == 403
    assert client.list_objects_v2(Bucket=proxied.store.bucket)["KeyCount"] == 0
    client.close()


VICTIM = b"another tenant's file"


@dataclass
class PartTarget:
    """An open upload of an attacker, and the key of a file that is not the attacker's."""

    key: str
    upload_id: str
    victim: str

    def part_url(self, proxied: Proxied, endpoint: str, size_bytes: int | None = None) -> SignedRequest:
        """Sign part 1 as the gateway does, without a length as for Uppy unless *size_bytes* is given."""
        config = proxied.config(endpoint)
        signer = Presigner(endpoint, config.bucket, config.region, config.credentials, "path", utc_now)
        if size_bytes is None:
            return signer.upload_part_of_any_size(self.key, self.upload_id, 1, 60)
        return signer.part_urls(self.key, self.upload_id, [PartToSign(1, size_bytes)], 60)[0]


@pytest.fixture
async def target(proxied: Proxied) -> AsyncIterator[PartTarget]:
    """Store a victim's file and open the attacker's upload, both in the gateway's bucket."""
    victim, key = f"uploads/{uuid.uuid4()}.mp3", f"uploads/{uuid.uuid4()}.mp3"
    client = boto3_client(proxied.store)
    client.put_object(Bucket=proxied.store.bucket, Key=victim, Body=VICTIM)
    async with open_store(proxied.config(proxied.store.endpoint)) as store:
        upload_id = await store.create_multipart_upload(key, content_type="audio/mpeg")
        yield PartTarget(key, upload_id, victim)
        await store.abort_multipart_upload(key, upload_id)
    client.delete_object(Bucket=proxied.store.bucket, Key=victim)
    client.close()


def send_raw(url: str, lines: list[str], body: bytes = b"") -> int:
    """PUT with exactly these header lines, which HTTP libraries would not write, and give the status."""
    parts = urlsplit(url)
    head = [f"PUT {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
    text = "\r\n".join([*head, *lines, "Connection: close", "", ""])
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=30) as connection:
        connection.sendall(text.encode() + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    found = re.match(rb"HTTP/1\.\d (\d{3})", answer)
    assert found, answer[:200]
    return int(found[1])


async def _stolen(proxied: Proxied, target: PartTarget) -> bool:
    async with open_store(proxied.config(proxied.store.endpoint)) as store:
        parts = await store.list_parts(target.key, target.upload_id)
    return any(part.size_bytes == len(VICTIM) for part in parts)


async def test_i1_a_part_url_reads_no_other_object_through_the_proxy(proxied: Proxied, target: PartTarget) -> None:
    """MinIO copies another's file into the attacker's upload when asked directly; through the proxy it is refused."""
    source = f"x-amz-copy-source: /{proxied.store.bucket}/{target.victim}"
    through = target.part_url(proxied, proxied.address).url
    assert send_raw(through, [source]) == 403
    assert not await _stolen(proxied, target)
    assert send_raw(target.part_url(proxied, proxied.store.endpoint).url, [source]) == 200
    assert await _stolen(proxied, target), "the attack itself must work, or this test proves nothing"


SPELLINGS = {
    "upper case": ["X-AMZ-COPY-SOURCE: {source}"],
    "mixed case": ["x-AmZ-cOpY-sOuRcE: {source}"],
    "no blank": ["x-amz-copy-source:{source}"],
    "many blanks": ["x-amz-copy-source: \t  {source}   "],
    "blank before the colon": ["x-amz-copy-source : {source}"],
    "underscores": ["x_amz_copy_source: {source}"],
    "one underscore": ["x-amz-copy_source: {source}"],
    "twice": ["x-amz-copy-source: {source}", "x-amz-copy-source: {source}"],
    "first one empty": ["x-amz-copy-source:", "x-amz-copy-source: {source}"],
    "first one harmless": ["x-amz-copy-source: /", "X-Amz-Copy-Source: {source}"],
    "folded line": ["x-amz-copy-source:", " {source}"],
    "with a range": ["x-amz-copy-source-range: bytes=0-3", "x-amz-copy-source: {source}"],
    "named as hop by hop": ["Connection: x-amz-copy-source", "x-amz-copy-source: {source}"],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_i2_no_spelling_of_the_copy_header_passes(proxied: Proxied, target: PartTarget, spelling: str) -> None:
    """However the header is written, the store never sees it: no byte of the victim arrives in the upload."""
    lines = [line.format(source=f"/{proxied.store.bucket}/{target.victim}") for line in SPELLINGS[spelling]]
    status = send_raw(target.part_url(proxied, proxied.address).url, lines)
    # Where nginx cannot see a value to refuse, it passes the request on without the header: an empty part.
    assert status in ({200, 400, 403} if spelling in ("first one empty", "folded line") else {400, 403})
    assert not await _stolen(proxied, target)


@pytest.mark.parametrize(
    "name",
    [
        "x-amz-acl",
        "x-amz-tagging",
        "x-amz-storage-class",
        "x-amz-metadata-directive",
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-object-lock-mode",
        "x-amz-website-redirect-location",
        "x-amz-security-token",
        "x-amz-content-sha256",
        "x-amz-decoded-content-length",
        "x-amz-checksum-sha256",
        "x-amz-checksum-crc32",
        "X-Minio-Source-Mtime",
        "X-Minio-Source-Replication-Request",
        "X-MINIO-EXTRACT",
        "x_minio_force_delete",
    ],
)
def test_i2_other_unsigned_headers_are_refused(proxied: Proxied, target: PartTarget, name: str) -> None:
    """Each x-amz-* and x-minio-* header that no signature covers gets 403; the same request without it is stored."""
    url = target.part_url(proxied, proxied.address, size_bytes=5).url
    assert send_raw(url, [f"{name}: value"], b"bytes") == 403
    assert send_raw(url, [], b"bytes") == 200


def test_i2_a_header_of_no_list_reaches_no_store(tmp_path: Path) -> None:
    """A header that the file does not name, made up or new, is not passed on, and neither are an API key or cookies."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        missing("no nginx on this machine")
    seen: list[set[str]] = []

    class Upstream(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            seen.append({name.lower() for name in self.headers})
            self.do_GET()

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with nginx_before(program, tmp_path, f"http://127.0.0.1:{server.server_port}") as address:
            lines = ["x-amz-meta-owner: other", "X-Amz-New-Thing: 1", "x-minio-new: 1", "cookie: a=b"]
            lines += ["authorization: Bearer key", "content-type: audio/mpeg", "range: bytes=0-1"]
            assert send_raw(f"{address}/uploads/key?X-Amz-Signature=0", lines, b"x") == 200
        server.shutdown()
    assert seen == [{"host", "content-length", "content-type", "range"}]


async def test_i2_a_signed_checksum_passes(proxied: Proxied, target: PartTarget) -> None:
    """The checksum header of a part URL is signed: it passes, and MinIO compares the bytes with it."""
    config = proxied.config(proxied.address)
    signer = Presigner(proxied.address, config.bucket, config.region, config.credentials, "path", utc_now)
    right = b64encode(sha256(b"bytes").digest()).decode()
    part = signer.part_urls(target.key, target.upload_id, [PartToSign(1, 5, right)], 60)[0]
    header = [f"X-Amz-Checksum-SHA256: {right}"]
    assert await asyncio.to_thread(send_raw, part.url, header, b"other") == 400
    assert await asyncio.to_thread(send_raw, part.url, header, b"bytes") == 200


@pytest.mark.parametrize("path", ["/minio/admin/v3/info", "/minio/v2/metrics/cluster", "/minio/"])
def test_administration_is_not_public(proxied: Proxied, path: str) -> None:
    """Nothing below /minio/ but the health of the store is for clients."""
    assert httpx.get(f"{proxied.address}{path}").status_code == 404


def test_i1_i2_uploads_pass_the_proxy_with_the_keys_of_compose(
    proxied: Proxied, empty_database_url: str, tmp_path: Path
) -> None:
    """With compose's keys and proxy every probe is ok; a file becomes `ready` and comes back; no part URL copies it."""
    (port,) = free_ports(1)
    environment = {
        "GATEWAY_PORT": str(port),
        "GATEWAY_DATABASE_URL": empty_database_url,
        "GATEWAY_S3_ENDPOINT": proxied.store.endpoint,
        "GATEWAY_S3_PUBLIC_ENDPOINT": proxied.address,
        "GATEWAY_S3_BUCKET": "topology",
        **{
            name: proxied.store.settings()[name.removeprefix("GATEWAY_").lower()]
            for purpose in ("", "SIGNING_", "DOWNLOAD_")
            for name in (f"GATEWAY_S3_{purpose}ACCESS_KEY_ID", f"GATEWAY_S3_{purpose}SECRET_ACCESS_KEY")
        },
    }
    admin = {f"GATEWAY_{name.upper()}": value for name, value in proxied.store.admin_settings().items()}
    run_one_shot(environment, tmp_path, "db", "migrate")
    run_one_shot({**environment, **admin}, tmp_path, "store", "prepare")
    checked = run_one_shot(environment, tmp_path, "store", "check")
    assert re.findall(r"^(\w+) +\w+ ", checked, re.MULTILINE) == ["ok"] * 10, checked
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
        # MinIO itself refuses the copy with these keys; the proxy refuses it before.
        created = httpx.post(f"{address}/s3/multipart", json={"filename": "a.mp3"}, headers=headers).json()
        part = httpx.get(f"{address}/s3/multipart/{created['uploadId']}/1", headers=headers).json()["url"]
        source = [f"x-amz-copy-source: /topology/{ready['object_key']}"]
        assert send_raw(part, source) == 403
        # The signature covers the proxy's host, which a client can name to MinIO as well.
        direct = part.replace(proxied.address, proxied.store.endpoint)
        host = {"host": urlsplit(proxied.address).netloc, "x-amz-copy-source": f"/topology/{ready['object_key']}"}
        assert httpx.put(direct, headers=host).status_code == 403
        assert httpx.get(f"{address}/s3/multipart/{created['uploadId']}", headers=headers).json() == []
