"""Let callers run in turn: one at a time of each name, a few in all, and names served round-robin."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class Turns:
    """A fair gate for one event loop: however many callers of one name wait, another name waits for one of them."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._running: set[Hashable] = set()
        # Names in the order in which they are served next; dicts keep their order.
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def held(self, name: Hashable) -> AsyncIterator[None]:
        """Wait for the turn of *name* and hold it while the block runs."""
        if self._free and name not in self._running and name not in self._waiting:
            self._free -= 1
            self._running.add(name)
        else:
            await self._wait(name)
        try:
            yield
        finally:
            self._release(name)

    async def _wait(self, name: Hashable) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(name)
            else:
                self._forget(name, turn)
            raise

    def _forget(self, name: Hashable, turn: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(name)
        if waiting is not None and turn in waiting:
            waiting.remove(turn)
            if not waiting:
                del self._waiting[name]

    def _release(self, name: Hashable) -> None:
        self._running.discard(name)
        self._free += 1
        self._start_next()

    def _start_next(self) -> None:
        for name in self._waiting:
            if name not in self._running:
                waiting = self._waiting.pop(name)
                turn = waiting.popleft()
                if waiting:
                    # To the end of the line: the next turn is another name's.
                    self._waiting[name] = waiting
                self._free -= 1
                self._running.add(name)
                turn.set_result(None)
                return
