"""A receiver of webhooks on a real socket, in threads: it keeps what it is sent and answers when it is let."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook

WAIT_SECONDS = 120.0


@dataclass(frozen=True)
class Received:
    """One request as it came."""

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
    """Whoever is told."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answering: threading.Event = field(default_factory=threading.Event)
    """Cleared, every answer waits for it."""
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        """Give its address."""
        return f"http://127.0.0.1:{self.port}/hooks"

    def take(self, message: Received) -> None:
        """Keep a message."""
        with self._changed:
            self.received.append(message)
            self._changed.notify_all()

    def wait_for(self, wanted: Callable[[list[Received]], bool]) -> list[Received]:
        """Wait until *wanted* is true of what was received, and give it."""
        with self._changed:
            assert self._changed.wait_for(lambda: wanted(self.received), WAIT_SECONDS), len(self.received)
            return list(self.received)

    def wait(self, count: int) -> list[Received]:
        """Wait for so many requests and give them."""
        return self.wait_for(lambda received: len(received) >= count)


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Listen, on a free port by default."""
    receiver = Receiver()
    receiver.answering.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.take(Received({name.lower(): value for name, value in self.headers.items()}, body))
            receiver.answering.wait(WAIT_SECONDS)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
            """Stay silent."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Whoever sent it was killed."""

    with Server(("127.0.0.1", port), Handler) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.answering.set()
            server.shutdown()
            thread.join()
