"""Say what bounds a file that the gateway itself receives; sizes in bytes, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.streaming.buffers import Slots
from gateway.streaming.send_queue import Senders
from gateway.streaming.shutdown import Doors

GRACE_SECONDS = 30.0
"""Waiting that costs a sender nothing: a phone that changes networks is silent for as long."""


MOST_SENDERS = 6
"""Parts sent at once: fewer fill a link or a disk, more make each so slow that a busy store seems to be gone."""

WAIT_SHARE = 2 / 3
"""Of the time a store may be silent about one part, what one try may wait: the rest is for another."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How slowly a body may come; the time in which the gateway itself keeps the sender waiting does not count."""

    deadline_seconds: float
    stall_seconds: float
    least_bytes_per_second: int

    def too_slow(self, received_bytes: int, waited_seconds: float) -> bool:
        """Say whether less has come than must have in the time that was spent waiting for the sender."""
        return received_bytes < self.least_bytes_per_second * (waited_seconds - GRACE_SECONDS)


@dataclass(frozen=True, slots=True)
class Streams:
    """Where received files go, in which pieces, and how many at once."""

    destination: Literal["store", "disk"]
    directory: Path
    chunk_size: int
    part_size: int
    slots: Slots
    doors: Doors
    senders: Senders
    """Parts on their way to the store at once, of all uploads together."""
    pace: Pace
    store_seconds: float
    """Longest silence of the store about one part, over all tries."""
