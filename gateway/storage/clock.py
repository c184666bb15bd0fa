"""Tell the store's time, so that a gateway whose clock is off still signs what the store accepts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic

# Date headers have whole seconds and travel for a while: smaller differences are noise.
_NOISE = timedelta(seconds=5)
_LOOK_EVERY_SECONDS = 30.0
# Stores refuse what is more than 15 minutes off; a day more is a broken header, not a clock.
_PLAUSIBLE = timedelta(days=1)


def utc_now() -> datetime:
    """Return this machine's time, aware, in UTC."""
    return datetime.now(UTC)


class StoreClock:
    """Return the given time, corrected by the store's `Date` headers. Share one between calls and presigned URLs."""

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._next_look = 0.0
        self.offset = timedelta()

    def __call__(self) -> datetime:
        """Return the store's time, aware, in UTC."""
        return self._now() + self.offset

    def observe(self, date_header: str | None, *, urgent: bool = False) -> None:
        """Note the store's time, at most twice a minute unless *urgent*; unreadable or absurd dates are ignored."""
        if date_header is None or (not urgent and monotonic() < self._next_look):
            return
        self._next_look = monotonic() + _LOOK_EVERY_SECONDS
        try:
            theirs = parsedate_to_datetime(date_header)
        except ValueError:
            return
        if theirs.tzinfo is None:
            return
        offset = theirs - self._now()
        if abs(offset) > _PLAUSIBLE:
            return
        self.offset = offset if abs(offset) > _NOISE else timedelta()
