"""Estimate the store's time. A gateway with a wrong clock then still makes signatures that the store accepts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic

# Date headers have whole seconds and some age, so smaller differences are noise.
_NOISE = timedelta(seconds=5)
_OBSERVE_EVERY_SECONDS = 30.0
# Stores refuse requests that are more than 15 minutes off. A difference of a day is a broken header, not a clock.
_PLAUSIBLE = timedelta(days=1)


def utc_now() -> datetime:
    """Return this machine's time, aware, in UTC."""
    return datetime.now(UTC)


class StoreClock:
    """Return the given time, corrected by the store's `Date` headers. Calls and presigned URLs share one clock."""

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._next_observation = 0.0
        self.offset = timedelta()

    def __call__(self) -> datetime:
        """Return the store's time, aware, in UTC."""
        return self._now() + self.offset

    def observe(self, date_header: str | None, *, urgent: bool = False) -> None:
        """Note the store's time, at most twice a minute unless *urgent*. Ignores unreadable and implausible dates."""
        if date_header is None or (not urgent and monotonic() < self._next_observation):
            return
        self._next_observation = monotonic() + _OBSERVE_EVERY_SECONDS
        try:
            store_time = parsedate_to_datetime(date_header)
        except ValueError:
            return
        if store_time.tzinfo is None:
            return
        offset = store_time - self._now()
        if abs(offset) > _PLAUSIBLE:
            return
        self.offset = offset if abs(offset) > _NOISE else timedelta()
