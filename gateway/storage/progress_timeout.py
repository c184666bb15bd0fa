"""Bound the time that a store may take without progress."""

from __future__ import annotations

import asyncio
import math

TIMER_GRAIN_SECONDS = 0.001
"""A shorter wait than this cannot be timed, so it counts as none."""


class ProgressBudget:
    """Bound the time without progress: each wait, and all waits of a call together, over its tries."""

    def __init__(self, wait_seconds: float, total_seconds: float | None) -> None:
        self._wait = wait_seconds
        self._left = math.inf if total_seconds is None else total_seconds

    @property
    def exhausted(self) -> bool:
        """Say whether no time is left for another wait."""
        return self._left <= TIMER_GRAIN_SECONDS

    @property
    def seconds(self) -> float:
        """Return the longest wait for the next progress."""
        return min(self._wait, self._left)

    def spend(self, seconds: float) -> None:
        """Subtract time that passed without progress."""
        self._left -= seconds


class ProgressTimeout:
    """End a request when the store makes no progress. Time spent on the caller's own stream does not count."""

    def __init__(self, budget: ProgressBudget) -> None:
        self._budget = budget
        self._clock = asyncio.get_running_loop().time
        self._last_progress = self._clock()
        self.timeout = asyncio.timeout(budget.seconds)

    def note_progress(self) -> None:
        """Start the wait again after progress."""
        self._last_progress = self._clock()
        self.timeout.reschedule(self._last_progress + self._budget.seconds)

    def stop(self) -> None:
        """Take the time since the last progress from the budget of the call."""
        self._budget.spend(self._clock() - self._last_progress)

    def pause(self) -> None:
        """Stop waiting for the store until the next progress."""
        self.timeout.reschedule(None)
