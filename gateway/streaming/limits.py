"""Hold the limits for files that the gateway receives; sizes in bytes, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.streaming.buffers import BufferPool
from gateway.streaming.send_queue import SendQueue
from gateway.streaming.shutdown import ActiveBodies

GRACE_SECONDS = 30.0
"""Silence of a sender that is not counted: a phone that changes networks is silent for this long."""


MAX_CONCURRENT_SENDS = 6
"""Parts sent at once. More make each part so slow that a busy store seems to hang."""

WAIT_SHARE = 2 / 3
"""Share of the allowed silence of a store that one attempt may wait; the rest is for a second attempt."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Slowest accepted request body. Time in which the gateway makes the sender wait does not count."""

    deadline_seconds: float
    stall_seconds: float
    min_bytes_per_second: int

    def too_slow(self, received_bytes: int, waited_seconds: float) -> bool:
        """Return whether too few bytes arrived in the time spent waiting for the sender."""
        return received_bytes < self.min_bytes_per_second * (waited_seconds - GRACE_SECONDS)


@dataclass(frozen=True, slots=True)
class Receiving:
    """Destination, piece sizes and limits of received files."""

    destination: Literal["store", "disk"]
    directory: Path
    chunk_size: int
    part_size: int
    buffer_pool: BufferPool
    active_bodies: ActiveBodies
    send_queue: SendQueue
    """Limit of concurrently sent parts, of all uploads together."""
    body_limits: BodyLimits
    store_seconds: float
    """Longest silence of the store about one part over all attempts, seconds."""
