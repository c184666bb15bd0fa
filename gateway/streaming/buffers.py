"""Bound the memory of all uploads that this process receives at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID

from gateway.domain.errors import Busy, TooManyReceivers
from gateway.domain.fair_share import FairShare

MAX_BUFFERS_PER_UPLOAD = 3
"""Buffers of one upload: one fills while two are sent, so that client and store work at the same time."""


class BufferPool:
    """Share a number of buffers: every running upload holds one, and takes more while some are free.

    The first buffer guarantees progress whatever other uploads do; more buffers make the upload faster.
    """

    def __init__(self, count: int, *, per_tenant: int | None = None, wait_seconds: float = 5.0) -> None:
        self._free = count
        self._share = FairShare(count, per_tenant=per_tenant)
        self._wait_seconds = wait_seconds
        self._waiting: deque[asyncio.Future[None]] = deque()

    @contextmanager
    def counted(self, tenant_id: str, token_id: UUID | None = None) -> Iterator[None]:
        """Count an upload against the shares of its tenant and its token while the block runs; raise TooManyReceivers.

        An upload that waits for its first buffer counts too: one tenant would otherwise fill the waiting line.
        """
        refusal = self._share.refusal(tenant_id, token_id)
        if refusal is not None:
            raise TooManyReceivers(f"{refusal} Send this file when another one is done.")
        with self._share.held(tenant_id, token_id):
            yield

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[Buffers]:
        """Lend the first buffer of an upload; raise Busy when none becomes free in time."""
        if self._free == 0 or self._waiting:
            await self._wait()
        else:
            self._free -= 1
        buffers = Buffers(self)
        try:
            yield buffers
        finally:
            for _ in range(buffers.count):
                self.release()

    async def _wait(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn
        except BaseException as exc:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif turn.done() and not turn.cancelled():
                self.release()
            if isinstance(exc, TimeoutError):
                raise Busy from exc
            raise

    def try_take(self) -> bool:
        """Take a buffer if one is free and nobody waits for a first one."""
        if self._free == 0 or self._waiting:
            return False
        self._free -= 1
        return True

    def release(self) -> None:
        """Return a buffer; the longest waiting upload gets it."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Buffers:
    """The buffers of one upload."""

    def __init__(self, pool: BufferPool) -> None:
        self._pool = pool
        self.count = 1

    def grow(self) -> bool:
        """Take one more buffer if one is free; an upload has at most three."""
        if self.count >= MAX_BUFFERS_PER_UPLOAD or not self._pool.try_take():
            return False
        self.count += 1
        return True

    def shrink(self) -> None:
        """Return one buffer, but never the first one."""
        if self.count > 1:
            self.count -= 1
            self._pool.release()
