"""Bodies that never come, come too slowly or come after a refusal, on real sockets."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.api import requests
from gateway.cli import http_protocol
from tests.api.conftest import Api
from tests.api.streaming import Served, serve


def _head(served: Served, length: int, *, key: str | None = None, path: str = "/v1/uploads") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}"]
    lines += [f"Authorization: Bearer {served.key if key is None else key}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, object]]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head.split()[1]), json.loads(await reader.readexactly(length))


@pytest.mark.parametrize("path", ["/v1/uploads", "/v1/upload-tokens", "/s3/multipart", "/s3xml/x", "/v1/webhooks"])
async def test_j6_a_body_that_drips_is_refused_in_time(api: Api, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Single bytes keep no request alive: 408, and the connection is closed."""
    monkeypatch.setattr(requests, "BODY_SECONDS", 0.3)
    async with serve(api) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(_head(served, 50_000, path=path) + b"{")
        reading = asyncio.create_task(_answer(reader)) if path != "/s3xml/x" else asyncio.create_task(reader.read())
        async with asyncio.timeout(20):
            while not reading.done():
                writer.write(b" ")
                await asyncio.sleep(0.05)
            if path == "/s3xml/x":
                assert reading.result().startswith(b"HTTP/1.1 408 ")
            else:
                status, problem = reading.result()
                assert (status, problem["code"]) == (408, "request_timeout")
                assert await reader.read() == b""
        writer.close()


async def test_j6_a_large_body_at_an_honest_rate_gets_its_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that keeps the least rate may take longer than the first deadline."""
    monkeypatch.setattr(requests, "BODY_SECONDS", 0.3)
    filling = json.dumps({"filename": "a.mp3", "size_bytes": 9, "metadata": {"a": "b"}}).encode() + b" " * 60_000
    async with serve(api) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(_head(served, len(filling)))
        for start in range(0, len(filling), 6000):
            writer.write(filling[start : start + 6000])
            await asyncio.sleep(0.1)
        assert (await _answer(reader))[0] == 201
        writer.close()


@pytest.mark.parametrize("key", ["wrong-key-of-nobody", "gw_0000000000_" + "a" * 43])
async def test_j6_an_unread_body_after_a_refusal_closes_the_connection(
    api: Api, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """After a 401 the rest of the body may still come for a moment; a client that drips it loses the connection."""
    monkeypatch.setattr(http_protocol, "LINGER_SECONDS", 0.3)
    async with serve(api) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(_head(served, 50_000, key=key) + b"{")
        assert (await _answer(reader))[0] == 401
        async with asyncio.timeout(20):
            while not reader.at_eof():
                writer.write(b" ")
                try:
                    await asyncio.wait_for(reader.read(1), 0.05)
                except TimeoutError:
                    continue
                except ConnectionResetError:
                    break
        writer.close()


async def test_j6_a_refused_body_that_comes_whole_keeps_the_connection(api: Api) -> None:
    """An ordinary client whose body comes a moment after its head sends the next request on the same connection."""
    async with serve(api) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        body = json.dumps({"filename": "a.mp3", "size_bytes": 9}).encode()
        writer.write(_head(served, len(body), key="wrong-key-of-nobody"))
        assert (await _answer(reader))[0] == 401
        writer.write(body)
        writer.write(_head(served, len(body)) + body)
        assert (await _answer(reader))[0] == 201
        writer.close()


async def test_j6_a_refused_body_that_does_not_end_is_cut_off(api: Api) -> None:
    """Nobody reads megabytes after a 401: the connection is closed after 64 KiB."""
    async with serve(api) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(_head(served, 500_000_000, key="wrong-key-of-nobody"))
        assert (await _answer(reader))[0] == 401
        with pytest.raises(ConnectionError):
            await _flood(writer)
        writer.close()


async def _flood(writer: asyncio.StreamWriter) -> None:
    for _ in range(10_000):
        writer.write(b" " * 64 * 1024)
        await writer.drain()


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        ([], 400),
        (["localhost", "localhost"], 400),
        (["localhost", "evil.example"], 400),
        (["localhost, evil.example"], 400),
        (["user@localhost"], 400),
        (["localhost/x"], 400),
        (["localhost:x"], 400),
        ([""], 400),
        (["localhost"], 200),
        (["[::1]:8080"], 200),
        (["uploads.example.com:443"], 200),
    ],
)
async def test_j12_a_request_has_exactly_one_host(api: Api, hosts: list[str], status: int) -> None:
    """A missing, doubled or malformed Host is 400 on HTTP/1.1; HTTP/1.0 needs none."""
    async with serve(api) as served:
        for version, expected in (("1.1", status), ("1.0", 200 if not hosts else status)):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            lines = [f"GET /healthz HTTP/{version}", *(f"Host: {host}" for host in hosts), "Connection: close"]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
            assert int((await asyncio.wait_for(reader.read(), 10)).split()[1]) == expected
            writer.close()
