"""Real clients send a form to the gateway: programs and libraries as people have them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.dev.store import StoreServer
from gateway.settings import Settings
from gateway.streaming.form_parser import FormReader
from tests.api.conftest import large_mp3
from tests.api.streaming import Served, running_api, serve
from tests.clients.real_clients import CLIENTS, Client, MissingClientError, raw_form, require, run, version_of
from tests.conftest import missing, store_settings

PAGE = Path("docs/streaming.md")
TABLE = re.compile(r"(?<=<!-- clients: begin -->\n).*?(?=<!-- clients: end -->)", re.DOTALL)
HEADINGS = "| client | version | what it sent for the file |\n|---|---|---|\n"
RECORD = os.environ.get("RECORD_CLIENTS") == "1"
FILENAME = "Übung (1) 日本.mp3"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(
    make_database: Callable[[], str], store_server: StoreServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """Serve one API for all clients."""
    settings = Settings(
        _env_file=None,
        database_url=make_database(),
        upload_dir=tmp_path_factory.mktemp("kept"),
        **store_settings(store_server),
    )
    async with running_api(settings) as api, serve(api) as running:
        yield running


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Collect the bodies of forms as they arrive."""
    pieces: list[bytes] = []
    feed = FormReader.feed

    async def recording(self: FormReader, chunk: bytes) -> None:
        pieces.append(chunk)
        await feed(self, chunk)

    monkeypatch.setattr(FormReader, "feed", recording)
    return pieces


def headers_of_file(body: bytes) -> list[str]:
    """Return the headers of the part with the file."""
    heads = re.findall(rb"\r?\n((?:[A-Za-z-]+: [^\r\n]*\r\n)+)\r\n", b"\r\n" + body[:4000])
    files = [head for head in heads if b"filename" in head]
    return files[0].decode(errors="replace").strip().split("\r\n") if files else []


def rows() -> dict[str, str]:
    """Return the rows of the table in the docs, by client."""
    found = TABLE.search(PAGE.read_text())
    assert found, "docs/streaming.md has no place for the table of clients"
    lines = found[0].strip().splitlines()[2:]
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines}


async def note(client: Client, work: Path, headers: list[str]) -> None:
    """Write the row of a client into the docs where that was asked for."""
    if not RECORD:
        return
    sent = "".join(header.partition(";")[2].strip() for header in headers if "filename" in header)
    shown = f"`{sent}`" if sent else "a form cut at its first NUL byte: 400"
    kept = rows() | {client.name: f"| {client.name} | {await version_of(client, work)} | {shown} |"}
    table = HEADINGS + "".join(f"{kept[one.name]}\n" for one in CLIENTS if one.name in kept)
    PAGE.write_text(TABLE.sub(lambda _: table, PAGE.read_text()))


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_h9_a_real_client_sends_a_form(served: Served, client: Client, wire: list[bytes], tmp_path: Path) -> None:
    """The file of a real client is ready on the first try, under the name that it has on the client's disk."""
    try:
        require(client)
    except MissingClientError as reason:
        if client.in_ci:
            missing(str(reason))
        pytest.skip(f"{reason}: `make clients` fetches it")
    file = tmp_path / FILENAME
    file.write_bytes(large_mp3(300_000))
    if client.raw:
        (tmp_path / "form").write_bytes(raw_form(file))
    if client.build:
        await run(client.build, WORK=str(tmp_path))
    url = f"http://127.0.0.1:{served.port}/upload/stream"
    output = await run(client.command, URL=url, KEY=served.key, FILE=str(file), WORK=str(tmp_path))
    headers = headers_of_file(b"".join(wire))
    if client.refused:
        assert client.refused in output
        await note(client, tmp_path, [])
        return
    told = json.loads(output[output.index("{") : output.rindex("}") + 1]) if "{" in output else output
    assert isinstance(told, dict), output
    assert told.get("state") == "ready", (told, headers)
    assert told["filename"] == (client.filename or FILENAME), headers
    assert await served.kept(told) == file.read_bytes()
    upload = (await served.client.get(f"/v1/uploads/{told['upload_id']}")).json()
    assert upload["metadata"] == client.metadata
    await note(client, tmp_path, headers)


async def test_h9_the_docs_name_every_client_that_was_run() -> None:
    """The table of the docs has a row for each client of this list and for no other."""
    assert list(rows()) == [client.name for client in CLIENTS]
