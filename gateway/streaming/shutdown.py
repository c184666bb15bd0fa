"""Let bodies in until the process is about to end, and show those out that would hold it up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from gateway.domain.errors import Unavailable


class Guest(Protocol):
    """A body that is being read."""

    def cut(self) -> None:
        """Read no more of it."""
        ...


class Doors:
    """Know every body that is being read."""

    def __init__(self) -> None:
        self._guests: set[Guest] = set()
        self._closing = False

    @contextmanager
    def entered(self, guest: Guest) -> Iterator[None]:
        """Know a body while the block runs; raise Unavailable when the process is about to end."""
        if self._closing:
            raise Unavailable("The gateway is restarting; try again.")
        self._guests.add(guest)
        try:
            yield
        finally:
            self._guests.discard(guest)

    def close(self, grace_seconds: float) -> None:
        """Let nobody in any more, and cut off after *grace_seconds* whoever is not done by then."""
        self._closing = True
        asyncio.get_running_loop().call_later(grace_seconds, self._cut_all)

    def _cut_all(self) -> None:
        for guest in [*self._guests]:
            guest.cut()
