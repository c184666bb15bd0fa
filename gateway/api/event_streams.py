"""Keep event streams and WebSockets open: signs of life, checks that the key still holds, an end with a reason."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from enum import IntEnum

import orjson
from fastapi import WebSocket
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from gateway.context import Gateway
from gateway.domain.errors import Unauthenticated, Unavailable
from gateway.domain.events import BEGINNING, Position
from gateway.domain.principal import Principal
from gateway.events.subscription import Message, Reason, StreamClosed
from gateway.watching.watch import Watch, require_valid_credentials

SEND_SECONDS = 10.0
"""Longest time that a watcher may not read, seconds, after the buffers of kernel and server are full."""

RETRY_MILLISECONDS = (1000, 4000)
"""Time after which a browser comes back; spread, because a restart sends all of them away at once."""

HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # nginx would hold events back until its buffer is full.
    (b"x-accel-buffering", b"no"),
)

Deliver = Callable[[Sequence[Message]], Awaitable[None]]


class CloseCode(IntEnum):
    """Codes of RFC 6455 that say why a WebSocket ends."""

    NORMAL = 1000
    GOING_AWAY = 1001
    POLICY = 1008
    TRY_AGAIN = 1013


CLOSE_CODES = {
    Reason.GOING_AWAY: CloseCode.GOING_AWAY,
    Reason.TOO_SLOW: CloseCode.TRY_AGAIN,
    Reason.UNAUTHENTICATED: CloseCode.POLICY,
    Reason.UNAVAILABLE: CloseCode.TRY_AGAIN,
}


def event_frame(message: Message) -> bytes:
    """Write a message for an event stream; progress has no id, so that a browser comes back with a fact's."""
    identity = f"id: {message.position}\n" if message.position else ""
    return f"{identity}event: {message.event}\ndata: ".encode() + message.data + b"\n\n"


def socket_frame(message: Message) -> str:
    """Write a message for a WebSocket."""
    identity = f'"{message.position}"' if message.position else "null"
    return f'{{"id":{identity},"event":"{message.event}","data":{message.data.decode()}}}'


async def pump(
    gateway: Gateway, principal: Principal, watch: Watch, deliver: Deliver, heartbeat_seconds: float
) -> Reason | None:
    """Deliver until the watch has ended, and return None, or until this side has a reason to end it sooner.

    An empty delivery is a heartbeat. The key is checked at the same interval, also while events arrive.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + heartbeat_seconds * random.uniform(0.5, 1)  # noqa: S311 - spreads checks, guards nothing
    try:
        while not watch.ended:
            messages = await watch.next_messages(max(0.0, due - loop.time()))
            if loop.time() >= due:
                with suppress(Unavailable):
                    await require_valid_credentials(gateway, principal)
                due = loop.time() + heartbeat_seconds
                await deliver(messages)
            elif messages:
                await deliver(messages)
    except StreamClosed as closed:
        return closed.reason
    except Unauthenticated:
        return Reason.UNAUTHENTICATED
    except Unavailable:
        return Reason.UNAVAILABLE
    return None


class EventStream(Response):
    """Answer with server-sent events. An error before the first event is an ordinary error answer."""

    media_type = "text/event-stream"

    def __init__(
        self,
        gateway: Gateway,
        principal: Principal,
        watch: AbstractAsyncContextManager[Watch],
        heartbeat_seconds: float,
    ) -> None:
        super().__init__()
        self._gateway = gateway
        self._principal = principal
        self._watch = watch
        self._heartbeat_seconds = heartbeat_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the upload is final, the client disconnects or the gateway closes the stream."""
        async with self._watch as watch:
            beginning = watch.position
            first = await watch.next_messages(0)
            if watch.ended and not first:
                await Response(status_code=204)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS]})
            stream = asyncio.create_task(self._stream(watch, beginning, first, send))
            await _first_of(stream, _left(receive))

    async def _stream(self, watch: Watch, beginning: Position, first: Sequence[Message], send: Send) -> None:
        async def write(body: bytes, *, more: bool = True) -> None:
            async with asyncio.timeout(SEND_SECONDS):
                await send({"type": "http.response.body", "body": body, "more_body": more})

        async def deliver(messages: Sequence[Message]) -> None:
            await write(b"".join(map(event_frame, messages)) or b":\n\n")

        retry = random.randint(*RETRY_MILLISECONDS)  # noqa: S311 - spreads reconnects, guards nothing
        # A watcher that is cut off before the first event comes back with this id.
        identity = "" if beginning == BEGINNING else f"id: {beginning}\n"
        try:
            await write(f"retry: {retry}\n{identity}\n".encode() + b"".join(map(event_frame, first)))
            reason = await pump(self._gateway, self._principal, watch, deliver, self._heartbeat_seconds)
            if reason is not None:
                await write(b"event: closed\ndata: " + orjson.dumps({"reason": reason}) + b"\n\n")
            await write(b"", more=False)
        except (TimeoutError, OSError):
            # Too slow to be told so, or gone: the server closes the connection of an answer that was not finished.
            return


async def serve_socket(
    websocket: WebSocket,
    gateway: Gateway,
    principal: Principal,
    opening: AbstractAsyncContextManager[Watch],
    heartbeat_seconds: float,
) -> None:
    """Send messages over a WebSocket until the upload is final, the client disconnects or the gateway closes it.

    Raises the errors of opening the watch before the WebSocket is accepted.
    """
    async with opening as watch:
        await websocket.accept()
        stream = asyncio.create_task(_talk(websocket, gateway, principal, watch, heartbeat_seconds))
        await _first_of(stream, _listen(websocket))


async def _talk(
    websocket: WebSocket, gateway: Gateway, principal: Principal, watch: Watch, heartbeat_seconds: float
) -> None:
    async def deliver(messages: Sequence[Message]) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            for message in messages:
                await websocket.send_text(socket_frame(message))

    try:
        if watch.position != BEGINNING:
            await websocket.send_text(f'{{"id":"{watch.position}","event":"open","data":{{}}}}')
        reason = await pump(gateway, principal, watch, deliver, heartbeat_seconds)
        code = CloseCode.NORMAL if reason is None else CLOSE_CODES[reason]
        async with asyncio.timeout(SEND_SECONDS):
            await websocket.close(code, reason or "final")
    except (TimeoutError, OSError, RuntimeError, WebSocketDisconnect):
        # The client is too slow or gone; Starlette raises RuntimeError when the other task noticed it first.
        return


async def _listen(websocket: WebSocket) -> None:
    """Return when the client leaves; one that talks is sent away, so that nobody can fill our memory with messages."""
    message = await websocket.receive()
    if message["type"] == "websocket.receive":
        # The other task may close it at this moment.
        with suppress(RuntimeError, OSError):
            await websocket.close(CloseCode.POLICY, "this socket only speaks")


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first_of(stream: asyncio.Task[None], leaving: Awaitable[None]) -> None:
    """Wait until either side ends it, and leave nothing running."""
    left = asyncio.ensure_future(leaving)
    try:
        await asyncio.wait({stream, left}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (stream, left):
            task.cancel()
        results = await asyncio.gather(stream, left, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
