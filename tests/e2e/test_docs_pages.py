"""Every page beside the README and the tutorial: its commands, its SQL and its JSON against a gateway."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from websockets.asyncio.client import connect

from gateway.dev.processes import Child, accepts, free_ports
from gateway.dev.store import StoreServer
from gateway.storage.policies import policies
from tests.conftest import missing
from tests.docs_blocks import PAGES, ROOT, Block, blocks_of, elsewhere, every_block
from tests.e2e.docs_runner import ADDRESS, checkout, follow, reader_environment
from tests.e2e.receiver import receiving
from tests.e2e.stack import Stack, running_gateway
from tests.e2e.test_store_proxy import MAIN

SETTINGS = {
    "GATEWAY_TOKEN_SECRET": "t" * 32,
    "GATEWAY_WEBHOOK_SECRET": "w" * 32,
    "GATEWAY_WEBHOOK_PRIVATE_HOSTS": "true",
    "GATEWAY_TRUSTED_PROXIES": "127.0.0.1",
}
FOLLOWED_ELSEWHERE = {"README.md", "docs/getting-started.md"}
TYPED = [block for block in every_block() if block.language in ("sh", "python") and elsewhere(block) is None]
FOLLOWED = sorted({block.page for block in TYPED} - FOLLOWED_ELSEWHERE)
SQL = [block for block in every_block() if block.language == "sql"]
NGINX = [block for block in every_block() if block.language == "nginx"]
JSON = [block for block in every_block() if block.language == "json"]
Messages = dict[str, tuple[Mapping[str, str], Any]]
MORE = "…"
"""A field of this name says that the real answer has more fields."""
SAMPLE = ROOT / "gateway" / "dev" / "sample.mp3"
TEXT = b"This is a text. " * 100


@pytest.fixture(scope="module")
def stack(
    make_database: Callable[[], str], store_server: StoreServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Run the gateway."""
    with running_gateway(make_database(), store_server, tmp_path_factory.mktemp("gateway"), SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def ready(stack: Stack) -> dict[str, Any]:
    """Upload the sample and give the upload as the API has it."""
    with httpx.Client(base_url=stack.url, headers=stack.headers, timeout=60) as api:
        sent = api.post("/upload/stream", files={"file": ("interview.mp3", SAMPLE.read_bytes())})
        assert sent.status_code == 201, sent.text
        upload: dict[str, Any] = api.get(f"/v1/uploads/{sent.json()['upload_id']}").json()
    return upload


@pytest.fixture(scope="module")
def messages(stack: Stack) -> Messages:
    """Give the message of a ready and of a rejected upload, with their headers, by type."""
    with receiving() as receiver, httpx.Client(base_url=stack.url, headers=stack.headers, timeout=60) as api:
        made = api.post("/v1/webhooks", json={"url": receiver.url})
        assert made.status_code == 201, made.text
        for body in (SAMPLE.read_bytes(), TEXT):
            api.post("/upload/stream", files={"file": ("interview.mp3", body)})
        received = receiver.wait(2)
        assert api.delete(made.headers["location"]).status_code == 204
    read = [(message.headers, message.read(made.json()["secret"])) for message in received]
    return {message["type"]: (headers, message) for headers, message in read}


def test_every_page_is_followed() -> None:
    """The commands of a new page are run without anybody naming the page here."""
    assert set(FOLLOWED) <= set(PAGES)
    assert {"docs/operations.md", "docs/streaming.md", "docs/watching.md", "docs/webhooks.md"} <= set(FOLLOWED)


@pytest.mark.parametrize("page", FOLLOWED)
def test_page_is_followed_from_top_to_bottom(
    page: str, stack: Stack, ready: dict[str, Any], database_url: str, tmp_path: Path
) -> None:
    """Every command works as it is typed; only addresses, keys and the words that stand for an id are put in."""
    folder = checkout(tmp_path)
    environment = reader_environment(stack, folder, installed=True)
    replace, servers = {ADDRESS: stack.url}, {}
    [port, other] = free_ports(2)
    if page == "docs/operations.md":
        environment |= _operator_environment(stack, database_url, port, folder)
        replace["revoke ID"] = 'revoke "$(cut -d _ -f 2 <<<"$KEY")"'
        replace["gateway keys create acme "] = "KEY=$(gateway keys create acme) "
        servers["ulimit -n"] = other
    if page == "docs/webhooks.md":
        [program] = [block.text for block in blocks_of(page) if block.text.startswith("# webhook_receiver.py")]
        (folder / "webhook_receiver.py").write_text(program)
        replace["9000"], servers["uvicorn"] = str(port), port
    follow(page, folder, environment, replace, servers)
    if page == "docs/operations.md":
        _check_compose_variables(folder)


def _operator_environment(stack: Stack, database_url: str, port: int, folder: Path) -> dict[str, str]:
    """Give an operator's environment: a database, the store and its keys, the `.env` of an old release."""
    (folder / "infra").mkdir()
    (folder / "infra" / ".env").write_text("POSTGRES_PASSWORD=p\nS3_ACCESS_KEY_ID=root\nS3_SECRET_ACCESS_KEY=secret\n")
    own = {name: stack.environment[f"GATEWAY_S3_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")}
    keys = {f"GATEWAY_S3_{kind}_{name}": own[name] for kind in ("SIGNING", "DOWNLOAD") for name in own}
    environment = {**stack.environment, **keys, "GATEWAY_DATABASE_URL": database_url, "GATEWAY_PORT": str(port)}
    return environment | (_prepared_minio(stack, folder) if os.environ.get("TEST_STORE") == "minio" else {})


def _prepared_minio(stack: Stack, folder: Path) -> dict[str, str]:
    """Run the block that prepares a MinIO, and give the settings that it exported."""
    [block] = [block for block in blocks_of("docs/operations.md") if "gateway store prepare" in block.text]
    root = [stack.environment[f"GATEWAY_S3_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")]
    program = block.text.replace("http://127.0.0.1:9000", stack.environment["GATEWAY_S3_ENDPOINT"])
    program = program.replace("=ROOT ", f"={root[0]} ").replace("=SECRET ", f"={root[1]} ")
    environment = {**reader_environment(stack, folder, installed=True), "GATEWAY_S3_BUCKET": "documents"}
    command = ["bash", "-euc", f"{program}\nprintf '\\0'; env -0"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, *exported = done.stdout.rstrip("\0").split("\0")
    return {name: value for name, _, value in (line.partition("=") for line in exported) if "GATEWAY_S3_" in name}


def _check_compose_variables(folder: Path) -> None:
    written = dict(line.split("=", 1) for line in (folder / "infra" / ".env").read_text().splitlines())
    assert (written["S3_ROOT_ACCESS_KEY_ID"], written["S3_ROOT_SECRET_ACCESS_KEY"]) == ("root", "secret")
    wanted = re.findall(r"^(S3_\w+)=", (ROOT / "infra" / "compose.env.example").read_text(), re.MULTILINE)
    assert {name for name in wanted if not written.get(name)} == set()
    assert len(set(written.values())) == len(written)


@pytest.mark.parametrize("block", SQL, ids=str)
def test_sql_runs(block: Block, stack: Stack) -> None:
    """The gateway's own database understands each query."""
    with psycopg.connect(stack.environment["GATEWAY_DATABASE_URL"]) as connection:
        cursor = connection.execute(block.text)
        assert cursor.description


@pytest.fixture(params=NGINX, ids=str)
def proxy(request: pytest.FixtureRequest, stack: Stack, tmp_path: Path) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Run nginx with the servers of a block before the gateway; only ports, paths and the certificate are put in."""
    block: Block = request.param
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        missing("no nginx on this machine")
    [port] = free_ports(1)
    certificate = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    certificate += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*certificate, "-keyout", "uploads.key", "-out", "uploads.pem"], cwd=tmp_path, check=True)
    shown = block.text.replace("/etc/ssl/", f"{tmp_path}/").replace("listen 443 ", f"listen 127.0.0.1:{port} ")
    (tmp_path / "store.conf").write_text(shown.replace("http://127.0.0.1:8080", stack.url))
    (tmp_path / "nginx.conf").write_text(MAIN.format(folder=tmp_path))
    command = [program, "-e", "stderr", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    child = Child(name="nginx", command=command, log=tmp_path / "nginx.log", environment={})
    try:
        child.start_until(lambda: accepts(port), 30)
        yield f"https://127.0.0.1:{port}", ssl.create_default_context(cafile=tmp_path / "uploads.pem")
    finally:
        child.stop()


async def test_nginx_passes_uploads_and_events(proxy: tuple[str, ssl.SSLContext], stack: Stack) -> None:
    """A form that is larger than nginx allows by itself, an event stream and a WebSocket pass the printed servers."""
    address, trust = proxy
    # Tags in front of the sound make the file larger than a megabyte.
    body = b"ID3\x03\x00\x00\x00\x60\x00\x00" + bytes(0x60 << 14) + SAMPLE.read_bytes()
    async with httpx.AsyncClient(base_url=address, verify=trust, headers=stack.headers, timeout=60) as api:
        sent = await api.post("/upload/stream", files={"file": ("talk.mp3", body)})
        assert sent.status_code == 201, sent.text
        upload = f"/v1/uploads/{sent.json()['upload_id']}"
        assert sent.headers["location"].endswith(upload)
        assert "event: ready" in (await api.get(f"{upload}/events")).text
        assert (await api.get("/readyz")).status_code == 404
    socket = f"{address.replace('https', 'wss')}{upload}/ws"
    async with connect(socket, ssl=trust, additional_headers=stack.headers, proxy=None) as messages:
        assert [json.loads(message)["event"] async for message in messages][-1] == "ready"


def _create(block: Any, stack: Stack, path: str) -> None:
    answer = httpx.post(f"{stack.url}{path}", json=block, headers=stack.headers, timeout=60)
    assert answer.status_code == 201, answer.text


def assert_same_fields(shown: Any, real: Any, where: str = "") -> None:
    """Compare the names of the fields at every level; the name … says that there are more."""
    if not isinstance(shown, dict) or real is None or where.endswith(".metadata"):
        return
    names = set(shown) - {MORE}
    assert names <= set(real), f"{where}: the real one has no {names - set(real)}"
    assert MORE in shown or names == set(real), f"{where}: the page lacks {set(real) - names}"
    for name in names:
        assert_same_fields(shown[name], real[name], f"{where}.{name}")


@pytest.mark.parametrize("block", JSON, ids=str)
def test_json_is_what_the_gateway_takes_or_gives(
    block: Block,
    stack: Stack,
    ready: dict[str, Any],
    messages: Messages,
    tmp_path: Path,
) -> None:
    """A request is accepted as it is printed; an answer or a message has the fields that the real one has."""
    if block.page == "docs/client.md":
        lines = [json.loads(line) for line in block.text.splitlines()]
        for shown, real in zip(lines, _printed_json(stack, tmp_path), strict=True):
            assert_same_fields(shown, real, str(block))
        return
    shown = json.loads(block.text)
    if block.page == "docs/operations.md":
        statements = policies("uploads", "", for_minio=True)["signing"]["Statement"]
        assert shown in [{**one, "Resource": ["arn:aws:s3:::uploads/*"]} for one in statements]
    elif block.page == "docs/webhooks.md":
        assert_same_fields(shown, messages[shown["type"]][1], str(block))
    elif "upload_id" in shown:
        assert_same_fields(shown, ready, str(block))
    else:
        assert block.page == "docs/api.md", f"{block}: nothing here says what this JSON is compared with"
        _create(shown, stack, "/v1/uploads" if "filename" in shown else "/v1/upload-tokens")


def _printed_json(stack: Stack, folder: Path) -> list[Any]:
    """Give what `gateway upload --json` prints of a good file, one that is no media, and one that may not come."""
    (folder / "interview.mp3").write_bytes(SAMPLE.read_bytes())
    (folder / "fake.mp3").write_bytes(TEXT)
    (folder / "tool.exe").write_bytes(b"MZ")
    names = ["interview.mp3", "fake.mp3", "tool.exe"]
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "upload", "--json", *names],
        cwd=folder,
        env=reader_environment(stack, folder),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    printed = {line["file"]: line for line in map(json.loads, done.stdout.splitlines())}
    return [printed[name] for name in names]


def test_webhook_headers_are_those_of_the_page(messages: Messages) -> None:
    """A real message has the headers that the page shows."""
    [block] = [block for block in blocks_of("docs/webhooks.md") if block.language == "http"]
    _, *shown = block.text.splitlines()
    headers, _ = messages["upload.ready"]
    for line in shown:
        name, _, value = line.partition(": ")
        assert re.sub(r"[\w+/=-]{8,}", "", headers[name]) == re.sub(r"[\w+/=-]{8,}", "", value), line


def test_a_wrong_example_is_found() -> None:
    """A field that the real one has not, or that the page forgot, fails."""
    with pytest.raises(AssertionError, match="has no"):
        assert_same_fields({"a": {"c": 1}}, {"a": {"b": 1}})
    with pytest.raises(AssertionError, match="lacks"):
        assert_same_fields({"a": 1}, {"a": 1, "b": 2})
    assert_same_fields({"a": 1, MORE: MORE}, {"a": 1, "b": 2})
