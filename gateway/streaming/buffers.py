"""Bound the memory of all uploads that this process receives at once."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from gateway.domain.errors import Busy, TooManyReceivers

MOST_BUFFERS = 3
"""Of one upload: one fills while two are on their way, which keeps client and store busy at the same time."""


class Slots:
    """Share a number of buffers: every upload holds one while it runs, and takes more while there are any.

    The one that is its own keeps an upload going whatever the others do; the rest makes it faster.
    """

    def __init__(self, count: int, *, per_tenant: int | None = None, wait_seconds: float = 5.0) -> None:
        self._free = count
        self._per_tenant = max(1, count * 3 // 4) if per_tenant is None else per_tenant
        self._wait_seconds = wait_seconds
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._tenants: Counter[str] = Counter()

    @contextmanager
    def counted(self, tenant_id: str) -> Iterator[None]:
        """Count an upload against its tenant's share while the block runs; raise TooManyReceivers when that is used up.

        Whoever waits for a buffer counts too: one tenant would else fill the line that the others stand in.
        """
        if self._tenants[tenant_id] >= self._per_tenant:
            raise TooManyReceivers(f"A tenant may send {self._per_tenant} files at once here.")
        self._tenants[tenant_id] += 1
        try:
            yield
        finally:
            # Subtracting a Counter drops what is at zero: tenants that are done take no memory.
            self._tenants -= Counter({tenant_id: 1})

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[Lease]:
        """Lend the first buffer of an upload; raise Busy when none becomes free in time."""
        if self._free == 0 or self._waiting:
            await self._wait()
        else:
            self._free -= 1
        lease = Lease(self)
        try:
            yield lease
        finally:
            for _ in range(lease.count):
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

    def take(self) -> bool:
        """Take a buffer if one is free and nobody waits for a first one."""
        if self._free == 0 or self._waiting:
            return False
        self._free -= 1
        return True

    def release(self) -> None:
        """Give a buffer back, to whoever waits longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Lease:
    """The buffers of one upload."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.count = 1

    def grow(self) -> bool:
        """Take one more if that needs no waiting; an upload has three at most."""
        if self.count >= MOST_BUFFERS or not self._slots.take():
            return False
        self.count += 1
        return True

    def shrink(self) -> None:
        """Give one back, but never the own one."""
        if self.count > 1:
            self.count -= 1
            self._slots.release()
