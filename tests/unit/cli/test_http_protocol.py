"""Bodies on their way from a real socket to an application."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from websockets.asyncio.client import connect

from gateway.cli import http_protocol
from gateway.cli.http_protocol import MAX_HEAD_BYTES, GatewayProtocol

FILE = os.urandom(3_000_001)


class Application:
    """Answer with the body it was sent, and keep the pieces as they came; it may be told to wait before it reads."""

    def __init__(self) -> None:
        self.pieces: list[object] = []
        self.may_read = asyncio.Event()
        self.may_read.set()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve one request or socket."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            told = await receive()
            await send({"type": "websocket.send", "text": told["text"].upper()})
            await send({"type": "websocket.close"})
            return
        await self.may_read.wait()
        body: list[bytes] = []
        while True:
            message = await receive()
            self.pieces.append(message["body"])
            body.append(message["body"])
            if not message["more_body"]:
                break
        whole = b"".join(body)
        headers = [(b"content-length", str(len(whole)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": whole})


@asynccontextmanager
async def served(application: Application) -> AsyncIterator[int]:
    """Run the application on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(application, http=GatewayProtocol, log_config=None, access_log=False, lifespan="off")
        )
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


async def exchange(port: int, *pieces: bytes, answers: int = 1) -> list[bytes]:
    """Send *pieces* and return the bodies of the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=16 * 1024 * 1024)
    try:
        sending = asyncio.create_task(_send(writer, pieces))
        bodies = []
        for _ in range(answers):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            bodies.append(await asyncio.wait_for(reader.readexactly(length), 30))
        await sending
        return bodies
    finally:
        writer.close()


async def _send(writer: asyncio.StreamWriter, pieces: tuple[bytes, ...]) -> None:
    for piece in pieces:
        writer.write(piece)
        await writer.drain()


def request(length: int) -> bytes:
    """Give the head of a request."""
    return b"POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: %d\r\n\r\n" % length


async def test_pieces_reach_the_application_as_immutable_bytes() -> None:
    """Every byte arrives, and in no other type than ASGI says, whether pieces were joined on the way or not."""
    application = Application()
    async with served(application) as port:
        assert await exchange(port, request(len(FILE)), FILE) == [FILE]
    assert {type(piece) for piece in application.pieces} == {bytes}


async def test_pieces_that_wait_are_joined_in_order() -> None:
    """What comes while the application does something else is one piece, and no more than the high-water mark waits."""
    application = Application()
    application.may_read.clear()
    async with served(application) as port:
        sending = asyncio.create_task(exchange(port, request(len(FILE)), FILE))
        await asyncio.sleep(0.1)
        application.may_read.set()
        assert await sending == [FILE]
    first = application.pieces[0]
    assert isinstance(first, bytes)
    # One read of the socket, of at most 256 KiB, may come on top of what makes it pause.
    assert len(first) <= HIGH_WATER_LIMIT + 256 * 1024


async def test_single_bytes_and_chunks() -> None:
    """A body in chunks of one byte arrives whole."""
    body = FILE[:5000]
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with served(Application()) as port:
        assert await exchange(port, head, chunks) == [body]
        assert await exchange(port, head, *(chunks[i : i + 1] for i in range(600)), chunks[600:]) == [body]


async def test_requests_in_one_packet_keep_their_bodies_apart() -> None:
    """Pipelined requests, and empty bodies between them, are answered in turn with their own bytes."""
    async with served(Application()) as port:
        packet = request(3) + b"one" + request(0) + request(5) + b"three"
        assert await exchange(port, packet, answers=3) == [b"one", b"", b"three"]


async def test_a_request_after_a_long_body_reads_again() -> None:
    """Reading that was paused for a body goes on with the next request of the connection."""
    async with served(Application()) as port:
        packets = [request(len(FILE)), FILE, request(2), b"ok", request(len(FILE)), FILE]
        assert await exchange(port, *packets, answers=3) == [FILE, b"ok", FILE]


async def test_sockets_are_upgraded() -> None:
    """A WebSocket begins as a request of this protocol."""
    async with served(Application()) as port, connect(f"ws://127.0.0.1:{port}/") as socket_:
        await socket_.send("hello")
        assert await socket_.recv() == "HELLO"


async def test_the_client_may_go_in_mid_body() -> None:
    """An application that waits for the rest is told that nobody will send it."""
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    class Waiting(Application):
        async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
            message = await receive()
            while message["type"] == "http.request":
                message = await receive()
            seen.set_result(message["type"])

    async with served(Waiting()) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(len(FILE)) + FILE[:100_000])
        await writer.drain()
        writer.close()
        assert await asyncio.wait_for(seen, 10) == "http.disconnect"


async def _told(port: int, pieces: list[bytes], *, pause: float = 0.0, flood: bool = False) -> bytes:
    """Send *pieces*, a *flood* until there is an answer, and return everything that the server sent.

    The server may close the connection during the sending. A StreamReader then loses an answer that was not read yet,
    so this reads the socket itself.
    """
    loop = asyncio.get_running_loop()
    answered = asyncio.Event()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setblocking(False)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            receiving = group.create_task(_received(connection, answered))
            with suppress(ConnectionError):
                for piece in pieces:
                    if flood and answered.is_set():
                        break
                    await loop.sock_sendall(connection, piece)
                    await asyncio.sleep(pause)
        return receiving.result()


async def _received(connection: socket.socket, answered: asyncio.Event) -> bytes:
    """Return everything that arrives until the other side closes, and set *answered* at the first bytes."""
    answer = b""
    with suppress(ConnectionError):
        while more := await asyncio.get_running_loop().sock_recv(connection, 65536):
            answer += more
            answered.set()
    return answer


@pytest.mark.parametrize("piece", [1000, 64 * 1024])
async def test_f4_a_head_without_end_is_refused(piece: int) -> None:
    """F4: one header of 20 MB is 431 after the first of them."""
    async with served(Application()) as port:
        flood = [b"GET / HTTP/1.1\r\nHost: gateway.test\r\nX-Long: ", *[b"a" * piece] * (20_000_000 // piece)]
        answer = await _told(port, flood, flood=True)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "headers_too_large"


async def test_f4_many_headers_are_refused() -> None:
    """F4: a hundred thousand headers are 431 too."""
    async with served(Application()) as port:
        flood = [b"GET / HTTP/1.1\r\nHost: gateway.test\r\n", *[b"X-A: b\r\n" * 1000] * 100]
        assert (await _told(port, flood)).startswith(b"HTTP/1.1 431 ")


async def test_a_head_as_large_as_allowed_is_read() -> None:
    """A long but finished head, in small pieces, is answered; so is one behind a long body in the same packet."""
    async with served(Application()) as port:
        long = b"X-Long: " + b"a" * (MAX_HEAD_BYTES - 500) + b"\r\n\r\n"
        head = b"POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 2\r\n" + long
        cut = [head[start : start + 5000] for start in range(0, len(head), 5000)]
        assert await exchange(port, *cut, b"ok") == [b"ok"]
        assert await exchange(port, request(len(FILE)), FILE + request(2)[:20], request(2)[20:], b"ok", answers=2) == [
            FILE,
            b"ok",
        ]


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([b"GET / HT"], b"HTTP/1.1 408 "),
        ([b"GET / HTTP/1.1\r\n", *[b"X-Drip: a\r\n"] * 40], b"HTTP/1.1 408 "),
        ([b""], b""),
        ([request(2) + b"ok", *[b"G", b"E", b"T", b" "] * 10], b"HTTP/1.1 200 "),
    ],
    ids=["half a line", "dripping headers", "silence", "second request"],
)
async def test_f9_a_head_that_comes_too_slowly_ends(
    monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], status: bytes
) -> None:
    """F9: whoever does not finish a head in time is told so and closed; a connection without a byte only closes."""
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)
    async with served(Application()) as port:
        answer = await _told(port, pieces, pause=0.05)
    assert answer.startswith(status)
    assert bool(answer) == bool(status)
    if status.startswith(b"HTTP/1.1 200"):
        assert b"HTTP/1.1 408 " in answer


async def test_f9_a_slow_body_is_not_a_slow_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for heads is over with the head: bodies have limits of their own."""
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.2)
    async with served(Application()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(2) + b"o")
        await asyncio.sleep(0.6)
        writer.write(b"k")
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 200 ")
        writer.close()
