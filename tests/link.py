"""A network link of a fixed rate to one server, for benchmarks whose two ends share a machine."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from urllib.parse import urlsplit

PIECE_BYTES = 64 * 1024


class Link:
    """Pass bytes between 127.0.0.1 and *upstream*; all connections together send *bytes_per_second* to it."""

    def __init__(self, upstream: str, bytes_per_second: float = float("inf"), port: int = 0) -> None:
        address = urlsplit(upstream)
        self._upstream = (address.hostname or "", address.port or 80)
        self._rate = bytes_per_second
        self._free_at = 0.0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop accepting."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(self._upstream) as server:
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()
            buffer = memoryview(bytearray(PIECE_BYTES))
            while count := client.recv_into(buffer):
                self._wait_for(count)
                server.sendall(buffer[:count])

    def _wait_for(self, count: int) -> None:
        with self._lock:
            now = time.perf_counter()
            # As much as a switch would hold may go at once after a pause, and no more.
            self._free_at = max(self._free_at, now - 0.005) + count / self._rate
            wait = self._free_at - now
        if wait > 0:
            time.sleep(wait)

    @staticmethod
    def _answer(server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(PIECE_BYTES):
                client.sendall(data)
