"""Count what an upload has sent, from many threads, and show it as one value."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["starting", "sending", "checking", "done"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Show how far an upload is; sizes in bytes, `sent_bytes` includes `resumed_bytes` and falls when a part fails."""

    phase: Phase
    upload_id: str | None
    sent_bytes: int
    resumed_bytes: int
    size_bytes: int
    parts_done: int
    part_count: int
    retries: int


ProgressCallback = Callable[[Progress], None]


class Meter:
    """Collect counts and hand a `Progress` to the callback, only from `report` and only when something changed."""

    def __init__(self, size_bytes: int, callback: ProgressCallback | None) -> None:
        self._callback = callback
        self._lock = threading.Lock()
        self._size_bytes = size_bytes
        self._sent: dict[int, int] = {}
        self._done: set[int] = set()
        self._retries = 0
        self._resumed_bytes = 0
        self._last: Progress | None = None
        self.phase: Phase = "starting"
        self.upload_id: str | None = None
        self.part_count = 0

    def sent(self, part_number: int, sent_bytes: int) -> None:
        """Set the bytes of a part handed to the network; 0 when it starts again."""
        with self._lock:
            self._sent[part_number] = sent_bytes
            self._done.discard(part_number)

    def done(self, part_number: int, size_bytes: int, *, resumed: bool) -> None:
        """Note that the store holds a part, *resumed* when it already did."""
        with self._lock:
            self._sent[part_number] = size_bytes
            self._done.add(part_number)
            self._resumed_bytes += size_bytes if resumed else 0

    def retried(self) -> None:
        """Note one more try of a part."""
        with self._lock:
            self._retries += 1

    def report(self) -> None:
        """Call the callback, in the calling thread, if anything changed since the last time."""
        if self._callback is None:
            return
        with self._lock:
            now = Progress(
                self.phase,
                self.upload_id,
                sum(self._sent.values()),
                self._resumed_bytes,
                self._size_bytes,
                len(self._done),
                self.part_count,
                self._retries,
            )
        if now != self._last:
            self._last = now
            self._callback(now)
