"""Hand bodies from the socket to the application without copying them on the way."""

from __future__ import annotations

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BodyProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but a piece of a body that comes while none waits is kept as it is.

    uvicorn gathers pieces in a bytearray and copies that for the application: two copies of every byte are a tenth of
    what receiving 1 GiB costs (docs/decisions/0011-direct-writes.md).
    """

    def on_body(self, body: bytes) -> None:
        """Keep a piece until the application asks for it; stop reading when enough wait."""
        if (self.parser.should_upgrade() and self._should_upgrade()) or self.cycle.response_complete:
            return
        cycle = self.cycle
        waiting: bytes | bytearray = cycle.body
        if not waiting:
            # `receive` hands this very object out: bytes of bytes are the same bytes.
            cycle.body = body  # type: ignore[assignment]
        else:
            if isinstance(waiting, bytes):
                cycle.body = bytearray(waiting)
            cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()
