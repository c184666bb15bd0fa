"""A receiver of webhooks on a real socket, which answers as it is told and keeps what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks.webhooks import Webhook

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    """Write an answer."""
    lines = [f"HTTP/1.1 {status} Told", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """Give the message's id."""
        return self.headers["webhook-id"]

    def read(self, secret: str) -> Any:
        """Give what it says, if its signature is good."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """Whoever is told. *answers* go out in turn, the last one for good."""

    port: int = 0
    answers: list[bytes] = field(default_factory=lambda: [OK])
    received: list[Received] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)
    endless: bytes = b""
    """Sent again and again behind the answer, until the other side closes."""
    sent_bytes: int = 0
    closed: int = 0
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, every answer waits for it."""

    @property
    def url(self) -> str:
        """Give its address."""
        return f"http://127.0.0.1:{self.port}/hooks"

    async def wait_for(self, wanted: Callable[[], bool]) -> None:
        """Wait until something is true that changes with what is received."""
        async with asyncio.timeout(30):
            while not wanted():
                self.more.clear()
                if not wanted():
                    await self.more.wait()

    async def wait(self, count: int) -> list[Received]:
        """Wait for *count* requests and give all."""
        await self.wait_for(lambda: len(self.received) >= count)
        return list(self.received)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request and answer it."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip("\r\n").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            self.received.append(Received(first.split(" ")[1], headers, body))
            self.more.set()
            await self.held.wait()
            writer.write(said)
            await writer.drain()
            while self.endless:
                writer.write(self.endless)
                await writer.drain()
                self.sent_bytes += len(self.endless)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.closed += 1
            self.more.set()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Listen on a free port."""
    receiver = Receiver()
    receiver.held.set()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.held.set()
        server.close()
