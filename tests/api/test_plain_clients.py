"""Requests as simple programs send them: HEAD, a key that follows the redirect, JSON of other encodings."""

from __future__ import annotations

import asyncio
import codecs
import gzip
import json
import re

import pytest

from tests.api.conftest import Api, large_mp3, mp3_bytes
from tests.api.streaming import BOUNDARY, form_body, serve


async def test_h20_head_follows_the_redirect(api: Api) -> None:
    """HEAD gets a URL that is signed for HEAD, and the store answers it with the size of the file and its type."""
    body = mp3_bytes()
    final = await api.ready(body)
    answer = await api.call("HEAD", f"/v1/uploads/{final['upload_id']}/download")
    assert answer.status_code == 307
    stored = await api.store.head(answer.headers["location"])
    assert (stored.status_code, stored.headers["content-length"]) == (200, str(len(body)))
    assert stored.headers["content-type"] == "audio/mpeg"


@pytest.mark.parametrize("query", ["redirect=false", "redirect=0"])
async def test_h20_a_client_that_sends_its_key_on_asks_for_json(api: Api, query: str) -> None:
    """`?redirect=false` gives the URL as JSON, for clients that would send the key to the store."""
    body = mp3_bytes()
    final = await api.ready(body)
    answer = await api.call("GET", f"/v1/uploads/{final['upload_id']}/download?{query}", headers={"accept": "*/*"})
    assert answer.status_code == 200
    assert (await api.store.get(answer.json()["url"])).content == body


async def test_h20_the_redirect_is_the_default(api: Api) -> None:
    """A browser's link is a redirect that no cache keeps."""
    final = await api.ready(mp3_bytes())
    for query in ("", "?redirect=true"):
        answer = await api.call("GET", f"/v1/uploads/{final['upload_id']}/download{query}")
        assert (answer.status_code, answer.headers["cache-control"]) == (307, "no-store")


async def test_h21_a_byte_order_mark_is_read(api: Api) -> None:
    """JSON with the UTF-8 byte order mark of PowerShell and .NET is read like any other."""
    text = json.dumps({"filename": "größe.mp3", "size_bytes": 5}, ensure_ascii=False).encode()
    answer = await api.call("POST", "/v1/uploads", content=codecs.BOM_UTF8 + text)
    assert (answer.status_code, answer.json()["filename"]) == (201, "größe.mp3")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
async def test_h21_other_encodings_are_named(api: Api, encoding: str) -> None:
    """JSON in UTF-16 or UTF-32 is refused with 415 and a sentence that says so, with and without a mark."""
    text = json.dumps({"filename": "a.mp3", "size_bytes": 5}).encode(encoding)
    answer = await api.call("POST", "/v1/uploads", content=text)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_body")
    assert "UTF-8" in answer.json()["detail"]


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br"])
async def test_h21_compressed_bodies_are_named(api: Api, encoding: str) -> None:
    """A compressed body is refused with 415 and its encoding; `identity` is no compression."""
    text = json.dumps({"filename": "a.mp3", "size_bytes": 5}).encode()
    answer = await api.call("POST", "/v1/uploads", content=gzip.compress(text), headers={"content-encoding": encoding})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_body")
    assert encoding.lower() in answer.json()["detail"]
    answer = await api.call("POST", "/v1/uploads", content=text, headers={"content-encoding": "identity"})
    assert answer.status_code == 201


UPGRADES = {
    "Java HttpClient": ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB"],
    "Apache HttpClient": ["Upgrade: TLS/1.2", "Connection: Upgrade"],
    "a protocol that nobody speaks": ["Connection: upgrade", "Upgrade: foo/2"],
}


@pytest.mark.parametrize("cut", [7, 10**9])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("client", UPGRADES)
async def test_h9_a_body_is_read_also_when_the_head_asks_for_another_protocol(
    api: Api, client: str, chunked: bool, cut: int
) -> None:
    """The file of a client that offers HTTP/2 or TLS is received whole, however its bytes are split."""
    file = large_mp3(60_000)
    body = form_body(file)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    pieces = [*(sent[:2000][at : at + cut] for at in range(0, 2000, cut)), sent[2000:]]
    async with serve(api) as served:
        kind = f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}"
        answer = await served.raw(pieces, headers=[kind, *UPGRADES[client], length])
        assert answer.status == 201, answer.body
        assert await served.kept(answer.json()) == file


async def test_h9_requests_that_ask_for_another_protocol_keep_their_connection(api: Api) -> None:
    """Three such requests in one write get three answers, with and without a body."""
    async with serve(api) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEA\r\n"
        get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % upgrade
        post = b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: 2\r\n\r\n{}" % upgrade
        writer.write(get + post + get)
        statuses = []
        for _ in range(3):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            statuses.append(int(head.split()[1]))
            length = re.search(rb"content-length: (\d+)", head)
            assert length
            await reader.readexactly(int(length[1]))
        writer.close()
    assert statuses == [200, 401, 200]


async def test_h9_a_body_is_never_read_as_the_next_request(api: Api) -> None:
    """A request that asks for another protocol has one answer, also when its body is itself a request."""
    body = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with serve(api) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        head = (
            b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        for piece in (head, body):
            writer.write(piece)
            await writer.drain()
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        statuses = re.findall(rb"HTTP/1.1 (\d+)", await asyncio.wait_for(reader.read(), 10))
        writer.close()
    assert statuses == [b"401", b"200"]
