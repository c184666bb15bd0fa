"""Read a request's body piece by piece from a sender that may be slow, silent or gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.types import Message

from gateway.domain.errors import LengthRequired, Malformed, RequestTimeout, Unavailable
from gateway.streaming.limits import Receiving

SMALL_BYTES = 16 * 1024
COALESCE_SECONDS = 0.01
"""After a small piece the sender gets this long to send more before it is read on: a sender of single bytes is read a
hundred times a second at most, a fast one fills 64 KiB meanwhile and is not slowed."""


class ClientGone(Exception):
    """The client closed the connection before the end of its body, so no answer can be sent."""


class RequestBody:
    """Iterate over a request body. Raises RequestTimeout for a slow client and ClientGone for a lost connection."""

    def __init__(self, request: Request, receiving: Receiving) -> None:
        self.received_bytes = 0
        self.ended = False
        request.state.body = self
        self._receive = request.receive
        self._limits = receiving.body_limits
        self._active_bodies = receiving.active_bodies
        self._waiting: asyncio.Timeout | None = None
        self._aborted = False

    def abort(self) -> None:
        """Stop reading this body: the process is about to end."""
        self._aborted = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield pieces of at most the size of the server's buffer, usually 64 to 300 KiB."""
        with self._active_bodies.track(self):
            async for piece in self._pieces():
                yield piece

    async def _pieces(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.deadline_seconds
        waited = 0.0
        while not self.ended:
            began = loop.time()
            message = await self._next(min(self._limits.stall_seconds, deadline - began))
            waited += loop.time() - began
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece: bytes = message.get("body", b"")
            self.received_bytes += len(piece)
            self.ended = not message.get("more_body", False)
            if piece:
                yield piece
            if self._limits.too_slow(self.received_bytes, waited):
                raise RequestTimeout(f"The body comes at less than {self._limits.min_bytes_per_second} bytes a second.")
            if len(piece) < SMALL_BYTES and not self.ended:
                await asyncio.sleep(COALESCE_SECONDS)
                waited += COALESCE_SECONDS

    async def _next(self, seconds: float) -> Message:
        # Asked first: where bytes always wait, `receive` never suspends, and a timeout alone would never be seen.
        if not self._aborted and seconds > 0:
            try:
                async with asyncio.timeout(seconds) as self._waiting:
                    return await self._receive()
            except TimeoutError:
                pass
            finally:
                self._waiting = None
        if self._aborted:
            raise Unavailable("The gateway is restarting; send the file again.")
        raise RequestTimeout


def length_of(request: Request) -> int | None:
    """Return Content-Length, or None for a chunked body; raise LengthRequired for neither and Malformed for both.

    A server in front may believe the one header and this one the other: that is how requests are smuggled.
    """
    lengths = request.headers.getlist("content-length")
    encodings = request.headers.getlist("transfer-encoding")
    if encodings:
        if lengths:
            raise Malformed("Content-Length and Transfer-Encoding exclude each other.")
        return None
    if not lengths:
        raise LengthRequired
    if len(lengths) > 1 or not lengths[0].isascii() or not lengths[0].isdecimal():
        raise Malformed("Content-Length is not one whole number.")
    return int(lengths[0])
