"""Hand bodies from the socket to the application without copying them on the way."""

from __future__ import annotations

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BodyProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but a piece of a body that comes while none waits is kept as it is.

    uvicorn gathers pieces in a bytearray and copies that for the application: two copies of every byte, and a new
    buffer for every piece, are a third of what receiving 1 GiB costs (docs/streaming.md has the figures).
    """

    def on_body(self, body: bytes) -> None:
        """Keep a piece until the application asks for it; stop reading when enough wait."""
        if (self.parser.should_upgrade() and self._should_upgrade()) or self.cycle.response_complete:
            return
        cycle = self.cycle
        if not cycle.body:
            # `receive` hands this very object out: bytes of bytes are the same bytes.
            cycle.body = body  # type: ignore[assignment]
        else:
            if not isinstance(cycle.body, bytearray):
                cycle.body = bytearray(cycle.body)
            cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()
