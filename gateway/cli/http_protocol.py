"""Read requests as uvicorn does, with an end to how long and how slow their heads may be, and bodies uncopied."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of request line and headers behind the first read (256 KiB at most); nginx takes 32 KiB by default."""

HEAD_SECONDS = 20.0
"""Time for request line and headers, from the connection or from the request's first byte."""

LINGER_SECONDS = 2.0
"""Time to read on after a refusal: closing with bytes unread would reset the connection and take the answer with it."""

_REFUSALS = {
    408: ("request_timeout", "Request Timeout", "The request's headers came too slowly."),
    431: ("headers_too_large", "Request Header Fields Too Large", "The request's headers are too large."),
}


class GatewayProtocol(HttpToolsProtocol):
    """uvicorn's protocol, in which nobody holds a connection or memory with half a head.

    A head that does not end costs the parser the square of its length, before anybody asked who sends it: it ends in
    431, one that comes too slowly in 408. And a piece of a body that comes while none waits is kept as it is: uvicorn
    gathers pieces in a bytearray and copies that, a tenth of what receiving costs (decision 0011).
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._in_head = True
        self._heads = self._head_bytes = 0
        self._refused = False
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless its sender was refused."""
        if self._refused:
            return
        head = self._heads if self._in_head else None
        super().data_received(data)
        if self._in_head and head == self._heads:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431)

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._timer.cancel()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)
        self._in_head = True
        self._heads += 1
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """End a head."""
        self._in_head = False
        self._timer.cancel()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a piece until the application asks for it; stop reading when enough wait."""
        if (self.parser.should_upgrade() and self._should_upgrade()) or self.cycle.response_complete:
            return
        cycle = self.cycle
        waiting: bytes | bytearray = cycle.body
        if not waiting:
            # `receive` hands this very object out: bytes of bytes are the same bytes.
            cycle.body = body  # type: ignore[assignment]  # uvicorn says bytearray
        else:
            if isinstance(waiting, bytes):
                cycle.body = bytearray(waiting)
            cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def _too_slow(self) -> None:
        # Browsers open connections in advance: one that never sent a byte is closed without a word. So is one whose
        # last answer is still on its way: a second would land in its middle.
        if self._heads and getattr(self.cycle, "response_complete", True):
            self._refuse(408)
        else:
            self.transport.close()

    def _refuse(self, status: int) -> None:
        code, title, detail = _REFUSALS[status]
        body = (
            f'{{"type":"urn:upload-gateway:problem:{code}","title":"{title}","status":{status},'
            f'"detail":"{detail}","code":"{code}"}}'
        )
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self._refused = True
        self._timer.cancel()
        self.transport.write((head + body).encode())
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)
