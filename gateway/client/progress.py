"""Count the bytes of a transfer, from many threads, and report them as one value."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["starting", "resuming", "sending", "checking", "downloading", "done"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Report how far a transfer is; sizes in bytes.

    `sent_bytes` (of a download: the bytes received) includes `resumed_bytes` and falls when a part is sent again.
    `size_bytes`: None for a stream until its end. `waiting_for`: the address that does not answer.
    """

    phase: Phase
    upload_id: str | None
    sent_bytes: int
    resumed_bytes: int
    size_bytes: int | None
    parts_done: int
    part_count: int
    retries: int
    waiting_for: str | None = None


ProgressCallback = Callable[[Progress], None]


class Meter:
    """Collect counts and pass a `Progress` to the callback, only from `report` and only when something changed."""

    def __init__(self, size_bytes: int | None, callback: ProgressCallback | None) -> None:
        self._callback = callback
        self._lock = threading.Lock()
        self._sent: dict[int, int] = {}
        self._done: set[int] = set()
        self._retries = 0
        self._resumed_bytes = 0
        self._last: Progress | None = None
        self._waiting_for: str | None = None
        self.size_bytes = size_bytes
        self.phase: Phase = "starting"
        self.upload_id: str | None = None
        self.part_count = 0

    def sent(self, part_number: int, sent_bytes: int) -> None:
        """Set the bytes of a part that went to the network; 0 when the part starts again."""
        with self._lock:
            self._sent[part_number] = sent_bytes
            self._done.discard(part_number)
            if sent_bytes:
                self._waiting_for = None

    def done(self, part_number: int, size_bytes: int, *, resumed: bool) -> None:
        """Record that the store holds a part, *resumed* when an earlier process sent it."""
        with self._lock:
            self._sent[part_number] = size_bytes
            self._done.add(part_number)
            self._resumed_bytes += size_bytes if resumed else 0
            self._waiting_for = None

    def retried(self, address: str | None) -> None:
        """Count one more try; *address* is the server that failed or refused."""
        with self._lock:
            self._retries += 1
            self._waiting_for = address

    def enter(self, phase: Phase) -> None:
        """Change the phase and report it."""
        with self._lock:
            self.phase = phase
            self._waiting_for = None
        self.report()

    def report(self) -> None:
        """Call the callback, in the calling thread, if anything changed since the last report."""
        if self._callback is None:
            return
        with self._lock:
            now = Progress(
                self.phase,
                self.upload_id,
                sum(self._sent.values()),
                self._resumed_bytes,
                self.size_bytes,
                len(self._done),
                self.part_count,
                self._retries,
                self._waiting_for,
            )
        if now != self._last:
            self._last = now
            self._callback(now)
