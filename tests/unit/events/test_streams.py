"""Event streams and WebSockets carry the same messages, progress among them; the log and the client are in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from fastapi import WebSocket

from gateway.api.event_streams import CLOSE_CODES, EventStream, serve_socket
from gateway.context import Gateway
from gateway.domain.events import BEGINNING, Position
from gateway.domain.principal import Principal
from gateway.events.feeds import EventLog
from gateway.events.subscription import Message, Reason, Subscription
from gateway.watching.watch import Watch

OUTSIDE = Principal("acme", "none", external=True)
"""The application that embeds the gateway checked its credentials: no database is asked."""

GATEWAY = cast("Gateway", None)
PROGRESS = Message.of("progress", "u1", {"bytes_received": 5, "parts": 1})
CREATED_AT = Position(1, 1)
READY = Message.of("ready", "u1", {"size_bytes": 5}, Position(2, 2))


class Log:
    """Order positions; everything is read already."""

    def order(self, position: Position) -> tuple[int, int]:
        return (position.transaction_id, position.id)


@asynccontextmanager
async def _watching(subscription: Subscription, after: Position = BEGINNING) -> AsyncIterator[Watch]:
    yield Watch(cast("EventLog", Log()), subscription, after=after, joined=after, final=False)


def _queued(*messages: Message) -> Subscription:
    subscription = Subscription()
    for message in messages:
        subscription.put(message)
    return subscription


@dataclass
class Socket:
    """A client that only listens."""

    sent: list[dict[str, Any]] = field(default_factory=list)
    closed: tuple[int, str] | None = None
    heard: list[dict[str, Any]] = field(default_factory=list)
    got: asyncio.Event = field(default_factory=asyncio.Event)

    async def accept(self) -> None:
        pass

    async def send_text(self, text: str) -> None:
        self.sent.append(json.loads(text))
        self.got.set()

    async def receive(self) -> dict[str, Any]:
        if self.heard:
            return self.heard.pop()
        await asyncio.Event().wait()
        raise AssertionError("a client that only listens says nothing")

    async def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = code, reason


async def _over_a_socket(subscription: Subscription, socket: Socket, after: Position = BEGINNING) -> None:
    opening = _watching(subscription, after)
    await asyncio.wait_for(serve_socket(cast("WebSocket", socket), GATEWAY, OUTSIDE, opening, 60.0), 10)


async def test_a_socket_carries_progress_and_events() -> None:
    """Progress has no id, events have theirs; the final one ends the socket."""
    socket = Socket()
    subscription = _queued(PROGRESS)
    serving = asyncio.create_task(_over_a_socket(subscription, socket))
    await asyncio.wait_for(socket.got.wait(), 10)
    assert socket.sent == [
        {"id": None, "event": "progress", "data": {"upload_id": "u1", "bytes_received": 5, "parts": 1}}
    ]
    subscription.put(READY)
    subscription.wake()
    await serving
    assert socket.sent[1] == {"id": str(Position(2, 2)), "event": "ready", "data": {"upload_id": "u1", "size_bytes": 5}}
    assert socket.closed == (1000, "final")


async def test_a_stream_carries_progress_and_events() -> None:
    """The same messages as frames; progress has no id line, so that a browser comes back with an event's."""
    subscription, body = _queued(PROGRESS), b""
    got = asyncio.Event()

    async def send(message: Any) -> None:
        nonlocal body
        body += message.get("body", b"")
        if b"event: progress" in body:
            got.set()

    async def receive() -> Any:
        await asyncio.Event().wait()

    stream = EventStream(GATEWAY, OUTSIDE, _watching(subscription), 60.0)
    serving = asyncio.create_task(stream({}, receive, send))
    await asyncio.wait_for(got.wait(), 10)
    subscription.put(READY)
    subscription.wake()
    await asyncio.wait_for(serving, 10)
    retry, progress, ready, rest = body.decode().split("\n\n")
    assert retry.startswith("retry: ")
    assert progress == 'event: progress\ndata: {"upload_id":"u1","bytes_received":5,"parts":1}'
    assert ready == f'id: {Position(2, 2)}\nevent: ready\ndata: {{"upload_id":"u1","size_bytes":5}}'
    assert rest == ""


async def test_a_watcher_that_starts_late_gets_its_position_first() -> None:
    """A client that is cut off before the first event comes back with it."""
    socket = Socket()
    await _over_a_socket(_queued(READY), socket, after=CREATED_AT)
    assert socket.sent[0] == {"id": str(CREATED_AT), "event": "open", "data": {}}
    assert [message["event"] for message in socket.sent] == ["open", "ready"]


@pytest.mark.parametrize("reason", list(Reason))
async def test_a_socket_ends_with_its_reason(reason: Reason) -> None:
    """Each reason has a code of RFC 6455, and the client reads the reason itself."""
    socket, subscription = Socket(), _queued(PROGRESS)
    subscription.close(reason)
    await _over_a_socket(subscription, socket)
    assert (socket.sent, socket.closed) == ([], (CLOSE_CODES[reason], reason))


async def test_a_client_that_talks_is_sent_away() -> None:
    """The socket only speaks: nobody fills the memory with messages."""
    socket = Socket(heard=[{"type": "websocket.receive", "text": "hello"}])
    await _over_a_socket(Subscription(), socket)
    assert socket.closed == (1008, "this socket only speaks")
