"""Be a store that fails on demand: a real server on a real socket, told answer by answer what to do."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from urllib.parse import urlsplit

Behaviour = Callable[["Exchange"], Awaitable[bool]]
XML = '<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass
class Request:
    """Keep what the client sent."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Exchange:
    """Give a behaviour what it needs: the request's head, and both ends of the connection."""

    request: Request
    raw_head: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read_body(self) -> bytes:
        """Read the body that the request announced."""
        self.request.body = await self.reader.readexactly(int(self.request.headers.get("content-length", "0")))
        return self.request.body


@dataclass
class FaultServer:
    """Answer each request with the next behaviour, the last one for ever."""

    behaviours: Sequence[Behaviour]
    requests: list[Request] = field(default_factory=list)
    endpoint: str = ""
    open_connections: int = 0
    most_connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_connections += 1
        self.most_connections = max(self.most_connections, self.open_connections)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        request = Request(method, target, headers)
        self.requests.append(request)
        self.asked.set()
        behaviour = self.behaviours[min(len(self.requests), len(self.behaviours)) - 1]
        return await behaviour(Exchange(request, head, reader, writer))


@asynccontextmanager
async def fault_server(*behaviours: Behaviour) -> AsyncIterator[FaultServer]:
    """Run a server on a free port of this machine until the block ends."""
    faults = FaultServer(behaviours)
    server = await asyncio.start_server(faults._serve, "127.0.0.1", 0)
    faults.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield faults
    finally:
        server.close()


def answer(status: int, body: bytes | str = b"", *, length: int | None = None, **headers: str) -> Behaviour:
    """Answer like a store; *length* announces another size than is sent, and then the connection ends."""
    data = body.encode() if isinstance(body, str) else body

    async def behave(exchange: Exchange) -> bool:
        await exchange.read_body()
        lines = {"Content-Length": str(len(data) if length is None else length), **headers}
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
        exchange.writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode())
        if exchange.request.method != "HEAD":
            exchange.writer.write(data)
        await exchange.writer.drain()
        return length is None

    return behave


def early(status: int) -> Behaviour:
    """Answer before the body is read, then take and drop the rest, as a proxy with a size limit does."""

    async def behave(exchange: Exchange) -> bool:
        exchange.writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
        await exchange.writer.drain()
        await exchange.read_body()
        return True

    return behave


def error(status: int, code: str, message: str = "no", **headers: str) -> Behaviour:
    """Answer with S3's error XML."""
    return answer(status, f"{XML}<Error><Code>{code}</Code><Message>{message}</Message></Error>", **headers)


def endless(status: int) -> Behaviour:
    """Answer with a body that never ends."""

    async def behave(exchange: Exchange) -> bool:
        await exchange.read_body()
        exchange.writer.write(f"HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        while True:
            exchange.writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await exchange.writer.drain()

    return behave


async def reset(exchange: Exchange) -> bool:
    """Read the request, then reset the connection."""
    await exchange.read_body()
    exchange.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    exchange.writer.transport.abort()
    return False


async def hang(exchange: Exchange) -> bool:
    """Read nothing more and never answer; leave when the client does."""
    transport = exchange.writer.transport
    while not transport.is_closing():  # a transport has no event for it
        await asyncio.sleep(0.01)
    return False


async def deaf(exchange: Exchange) -> bool:
    """Stop reading the body, as a store with a dead disk does; leave when the client does."""
    exchange.reader._transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(500):
        await asyncio.sleep(0.01)
    return False


def lose_answer(endpoint: str) -> Behaviour:
    """Pass the request on to a real store, and drop its answer."""
    return _relay(endpoint, keep=False)


def pass_on(endpoint: str) -> Behaviour:
    """Pass the request on to a real store, and its answer back."""
    return _relay(endpoint, keep=True)


def _relay(endpoint: str, *, keep: bool) -> Behaviour:
    target = urlsplit(endpoint)

    async def behave(exchange: Exchange) -> bool:
        body = await exchange.read_body()
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        head = exchange.raw_head[:-2] + b"Connection: close\r\n\r\n"
        writer.write(head + body)
        reply = await reader.read()
        writer.close()
        if keep:
            exchange.writer.write(reply)
            await exchange.writer.drain()
        return False

    return behave
