"""Track request bodies being read, so that shutdown can abort them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from gateway.domain.errors import Unavailable


class Guest(Protocol):
    """A request body that is being read."""

    def cut(self) -> None:
        """Stop reading the body."""
        ...


class Doors:
    """Track the request bodies being read."""

    def __init__(self) -> None:
        self._guests: set[Guest] = set()
        self._closing = False

    @contextmanager
    def entered(self, guest: Guest) -> Iterator[None]:
        """Track a body while the block runs; raise Unavailable once shutdown has begun."""
        if self._closing:
            raise Unavailable("The gateway is restarting; try again.")
        self._guests.add(guest)
        try:
            yield
        finally:
            self._guests.discard(guest)

    def close(self, grace_seconds: float) -> None:
        """Refuse new bodies, and abort those that are still being read after *grace_seconds*."""
        self._closing = True
        asyncio.get_running_loop().call_later(grace_seconds, self._cut_all)

    def _cut_all(self) -> None:
        for guest in [*self._guests]:
            guest.cut()
