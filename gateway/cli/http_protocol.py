"""Read requests as uvicorn does, with an end to how long and how slow their heads may be, and bodies uncopied."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.cli.connections import Connections, Waiting

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of request line and headers behind the first read (256 KiB at most); nginx takes 32 KiB by default."""

HEAD_SECONDS = 10.0
"""Time for request line and headers, from the connection or from the request's first byte."""

LINGER_SECONDS = 2.0
"""Time to read on after a refusal: closing with bytes unread would reset the connection and take the answer with it."""

MAX_UNREAD_BYTES = 64 * 1024
"""Bytes of a body that nobody reads, after the answer was sent: a client that sends more loses its connection."""

_REFUSALS = {
    408: ("request_timeout", "Request Timeout", "The request's headers came too slowly."),
    503: ("busy", "Service Unavailable", "This process has as many connections as it can hold."),
    431: ("headers_too_large", "Request Header Fields Too Large", "The request's headers are too large."),
}


class GatewayProtocol(HttpToolsProtocol):
    """Extend uvicorn's protocol with limits for request heads.

    The parser needs time in the square of a head's length, and all of that before authentication. Therefore a head that
    is too long is answered with 431, and one that arrives too slowly with 408. A piece of a body is passed on without a
    copy: uvicorn collects pieces in a bytearray and copies it, a tenth of the cost of receiving (decision 0011).
    """

    def __init__(self, *args: Any, connections: Connections | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._counted = connections
        self._in_head = True
        self._in_body = False
        self._heads = self._head_bytes = 0
        self._refused = False
        self._upgraded = False
        self._fed = self._unparsed = b""
        self._repeating_head = False
        self._unread_bytes: int | None = None

    @property
    def waiting_for_client(self) -> Waiting | None:
        """Say what this connection waits for; None while it works on a request or receives a file."""
        if self._upgraded:
            return None
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            return "idle"
        # Files have their own places and their own least rate.
        return "small_body" if self._in_body and "body" not in self.scope.get("state", {}) else None

    @property
    def closed(self) -> bool:
        """Say whether the connection is closed or about to be; an upgraded one is known by its transport."""
        return self.transport.is_closing()

    def close_for_room(self) -> None:
        """Close the connection now."""
        self._refused = True
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)
        host = self.client[0] if self.client else ""
        if self._counted is not None and not self._counted.admit(self, host):
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._timer.cancel()
        if self._counted is not None:
            self._counted.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the received bytes, unless the request was refused."""
        if self._refused:
            return
        if self._unread_bytes is not None:
            self._unread_bytes += len(data)
            if self._unread_bytes > MAX_UNREAD_BYTES:
                self.close_for_room()
                return
        head = self._heads if self._in_head else None
        rest = data
        while rest:
            self._fed, self._unparsed = rest, b""
            super().data_received(rest)
            rest = self._unparsed
        if self._in_head and head == self._heads:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection to the WebSocket protocol; it stays counted until its transport is closed."""
        self._upgraded = True
        super().handle_websocket_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Read the request as if it had not asked for another protocol, as RFC 9110 allows (section 7.8).

        Java's HttpClient asks for h2c and Apache's for TLS, in requests with a body too. The parser takes all bytes
        after such a head for the other protocol: the body was lost, and its bytes were read as the next request.
        Therefore a new parser reads on, after a head that states the same length.
        """
        upgrade = sys.exception()
        assert isinstance(upgrade, httptools.HttpParserUpgrade), "uvicorn calls this where it handles that error"
        self._unparsed = self._fed[upgrade.args[0] :]
        lengths = [pair for pair in self.headers if pair[0] in (b"content-length", b"transfer-encoding")]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._repeating_head = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % b"".join(b"%s: %s\r\n" % pair for pair in lengths))

    def on_url(self, url: bytes) -> None:
        """Read a piece of the request's target."""
        if not self._repeating_head:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a header."""
        if not self._repeating_head:
            super().on_header(name, value)

    def on_message_begin(self) -> None:
        """Begin a head."""
        if self._repeating_head:
            return
        super().on_message_begin()
        self._timer.cancel()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)
        self._in_head = True
        self._unread_bytes = None
        self._heads += 1
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """End a head."""
        if self._repeating_head:
            self._repeating_head = False
            return
        self._in_head = False
        self._in_body = True
        self._timer.cancel()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a body."""
        if self.parser.should_upgrade() and not self._should_upgrade():
            # The parser skipped the body of a request that asks for another protocol; the next parser reads it.
            return
        self._in_body = False
        if self._unread_bytes is not None:
            # The rest of a refused body came in time: the connection can carry the next request.
            self._unread_bytes = None
            self._timer.cancel()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Close the connection soon when the body of its request is not fully received: nothing reads it."""
        super().on_response_complete()
        # With pipelined requests the body on its way may belong to a later one, which is still to be answered.
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._unread_bytes = 0
            self._timer.cancel()
            self._timer = self.loop.call_later(LINGER_SECONDS, self.close_for_room)

    def on_body(self, body: bytes) -> None:
        """Keep a piece until the application reads it; stop reading when the buffer is full."""
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
