"""Bound how long a store is waited for."""

from __future__ import annotations

import asyncio
import math


class Patience:
    """Bound how long the store makes no progress: at a time, and over all tries. Time in which it does is free."""

    def __init__(self, wait_seconds: float, in_all_seconds: float | None) -> None:
        self._wait = wait_seconds
        self._left = math.inf if in_all_seconds is None else in_all_seconds

    @property
    def over(self) -> bool:
        """Say whether nothing more is waited for."""
        return self._left <= 0.001  # a timer's grain: nothing comes of a wait that short

    @property
    def seconds(self) -> float:
        """Return the longest wait for the next progress."""
        return min(self._wait, self._left)

    def spend(self, seconds: float) -> None:
        """Take away a time in which nothing moved."""
        self._left -= seconds


class Watchdog:
    """End a request when the store makes no progress; waiting for the caller's own stream does not count."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._clock = asyncio.get_running_loop().time
        self._fed_at = self._clock()
        self.timeout = asyncio.timeout(patience.seconds)

    def feed(self) -> None:
        """Note progress."""
        self._fed_at = self._clock()
        self.timeout.reschedule(self._fed_at + self._patience.seconds)

    def end(self) -> None:
        """Take what was waited in vain from the patience of the call."""
        self._patience.spend(self._clock() - self._fed_at)

    def pause(self) -> None:
        """Stop waiting for the store until the next `feed`."""
        self.timeout.reschedule(None)
