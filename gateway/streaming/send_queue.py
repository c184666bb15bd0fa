"""Limit the number of concurrently sent parts, and fail waiting uploads when the store hangs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.domain.errors import Unavailable


class StoreNotResponding(Exception):
    """A sender timed out and no part of any upload was stored meanwhile: waiting is useless."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    turn: asyncio.Future[None]
    since: float


class SendQueue:
    """Admit senders in the order of their requests, *count* at a time.

    If the store hangs, every admitted sender waits its full timeout. Waiting senders then fail after at most two
    timeouts, not after one for each sender in the queue. If the store is only slow, they wait.
    """

    def __init__(self, count: int, *, timeout_seconds: float) -> None:
        self._free = count
        self._timeout_seconds = timeout_seconds
        self._waiting: deque[_Waiter] = deque()
        self._stored_at = float("-inf")

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[None]:
        """Admit one sender; raise StoreNotResponding if another one timed out while the store took no part."""
        await self._wait_for_turn()
        try:
            yield
        except Unavailable:
            self._end_waits()
            raise
        else:
            self._stored_at = asyncio.get_running_loop().time()
        finally:
            self._release()

    async def _wait_for_turn(self) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.create_future(), loop.time())
        self._waiting.append(waiter)
        try:
            await waiter.turn
        except BaseException:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft().turn
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _end_waits(self) -> None:
        """Fail every sender that waited a full timeout while no part was stored."""
        long_ago = asyncio.get_running_loop().time() - self._timeout_seconds
        if self._stored_at > long_ago:
            return
        while self._waiting and self._waiting[0].since <= long_ago:
            turn = self._waiting.popleft().turn
            if not turn.done():
                turn.set_exception(StoreNotResponding)
