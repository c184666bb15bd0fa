"""Track request bodies being read, so that shutdown can abort them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from gateway.domain.errors import Unavailable


class AbortableBody(Protocol):
    """A request body that is being read."""

    def abort(self) -> None:
        """Stop reading the body."""
        ...


class ActiveBodies:
    """Track the request bodies being read."""

    def __init__(self) -> None:
        self._bodies: set[AbortableBody] = set()
        self._closing = False

    @contextmanager
    def track(self, body: AbortableBody) -> Iterator[None]:
        """Track a body while the block runs; raise Unavailable once shutdown has begun."""
        if self._closing:
            raise Unavailable("The gateway is restarting; try again.")
        self._bodies.add(body)
        try:
            yield
        finally:
            self._bodies.discard(body)

    def begin_shutdown(self, grace_seconds: float) -> None:
        """Refuse new bodies, and abort those that are still being read after *grace_seconds*."""
        self._closing = True
        asyncio.get_running_loop().call_later(grace_seconds, self._abort_all)

    def _abort_all(self) -> None:
        for body in [*self._bodies]:
            body.abort()
