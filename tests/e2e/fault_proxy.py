"""Stand between client and store as a bad network does: standing still, cutting connections, or arriving too late."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from urllib.parse import urlsplit

PIECE_BYTES = 32 * 1024
LONGEST_HOLD_SECONDS = 120.0


class FaultProxy:
    """Pass bytes between 127.0.0.1 and *upstream*; every fault is for the next connections or requests only."""

    def __init__(self, upstream: str) -> None:
        address = urlsplit(upstream)
        self._upstream = (address.hostname or "", address.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cut_after_bytes: list[int] = []
        self.expire_requests = 0
        self.requests = 0
        self._lock = threading.Lock()
        self._turn = threading.Condition()
        self._passing: int | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop accepting."""
        self._listener.close()

    def hold_after(self, requests: int) -> None:
        """Let that many more PUTs through; those that follow stand still until `release`."""
        with self._turn:
            self._passing = requests

    def release(self) -> None:
        """Let everything through, what stood still too."""
        with self._turn:
            self._passing = None
            self._turn.notify_all()

    def _take_turn(self) -> None:
        with self._turn:
            if self._passing == 0:
                self._turn.wait_for(lambda: self._passing is None, LONGEST_HOLD_SECONDS)
            elif self._passing is not None:
                self._passing -= 1

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                cut = self.cut_after_bytes.pop(0) if self.cut_after_bytes else None
            threading.Thread(target=self._serve, args=(client, cut), daemon=True).start()

    def _serve(self, client: socket.socket, cut: int | None) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(self._upstream) as store:
            threading.Thread(target=_copy, args=(store, client), daemon=True).start()
            passed = 0
            while data := client.recv(PIECE_BYTES):
                if data.startswith(b"PUT "):
                    self.requests += 1
                    data = self._spoil(data)
                    self._take_turn()
                store.sendall(data)
                passed += len(data)
                if cut is not None and passed >= cut:
                    _reset(client)
                    return

    def _spoil(self, data: bytes) -> bytes:
        with self._lock:
            if not self.expire_requests:
                return data
            self.expire_requests -= 1
        # The store sees an address that ended long ago: as old as one can be while its signature is checked first.
        return re.sub(rb"X-Amz-Date=\d{8}T", b"X-Amz-Date=20200101T", data, count=1)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE_BYTES):
            target.sendall(data)


def _reset(connection: socket.socket) -> None:
    """Close with RST, as a crashed machine or an impatient firewall does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
