"""Renew a lease in the background for as long as its holder works."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.domain.errors import Unavailable

logger = logging.getLogger(__name__)


class Heartbeat:
    """Call *renew* every *interval_seconds* until it returns False; a failed renewal is repeated at the next interval.

    *renew* returns True after it renewed the lease, False when the lease is lost, None when no renewal was due yet.

    The holder asks `lost` (another process has the lease) and `overdue` (no renewal succeeded for *lease_seconds*, so
    that another process may take the lease at any moment).
    """

    def __init__(
        self,
        renew: Callable[[], Awaitable[bool | None]],
        *,
        lease_seconds: float,
        interval_seconds: float | None = None,
    ) -> None:
        self.lost = False
        self._renew = renew
        self._lease_seconds = lease_seconds
        self._interval_seconds = lease_seconds / 4 if interval_seconds is None else interval_seconds
        self._renewed_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def overdue(self) -> bool:
        """Say whether the lease has ended by this process's own clock."""
        return asyncio.get_running_loop().time() - self._renewed_at >= self._lease_seconds

    def start(self) -> None:
        """Start; the lease was taken just now."""
        self._renewed_at = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._heartbeat_loop(), name="heartbeat")

    async def stop(self) -> None:
        """Stop. No error of a renewal is raised here, so the caller's clean-up always follows."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            # Not `await task`: that would swallow a cancellation of the caller together with the task's own.
            await asyncio.wait({task})

    async def renew_now(self) -> bool:
        """Renew once, now; False when the lease is lost. Raises Unavailable."""
        began = asyncio.get_running_loop().time()
        renewed = await self._renew()
        if renewed is False:
            self.lost = True
            return False
        if renewed:
            self._renewed_at = began
        return True

    async def _heartbeat_loop(self) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            try:
                if not await self.renew_now():
                    return
            except Unavailable:
                continue
            except Exception as error:
                logger.exception("could not renew a lease; trying again", extra={"error": type(error).__name__})


@asynccontextmanager
async def renewing(
    renew: Callable[[], Awaitable[bool]], *, lease_seconds: float, interval_seconds: float | None = None
) -> AsyncIterator[Heartbeat]:
    """Keep a lease while the block runs."""
    heartbeat = Heartbeat(renew, lease_seconds=lease_seconds, interval_seconds=interval_seconds)
    heartbeat.start()
    try:
        yield heartbeat
    finally:
        await heartbeat.stop()
