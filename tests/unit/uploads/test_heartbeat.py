"""A heartbeat renews a lease, survives every error, and says when the lease is lost or overdue."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.errors import Unavailable
from gateway.uploads.heartbeat import Heartbeat, renewing


class Renewals:
    """Answer each renewal with the next result; the last one is repeated."""

    def __init__(self, *results: bool | Exception) -> None:
        self.results = list(results)
        self.enough = asyncio.Event()
        self.count = 0

    async def __call__(self) -> bool:
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        self.count += 1
        if not self.results[1:]:
            self.enough.set()
        if isinstance(result, Exception):
            raise result
        return result


@pytest.mark.parametrize("error", [Unavailable(), RuntimeError("not foreseen")])
async def test_a_failed_renewal_is_tried_again(error: Exception) -> None:
    """After an outage or an unexpected error the next beat renews, and stopping raises nothing."""
    renewals = Renewals(error, error, True)
    async with renewing(renewals, lease_seconds=10, interval_seconds=0.001) as heartbeat:
        await asyncio.wait_for(renewals.enough.wait(), 10)
        while renewals.count < 3:
            await asyncio.sleep(0)
    assert (heartbeat.lost, heartbeat.overdue) == (False, False)


async def test_a_lost_lease_ends_the_renewals() -> None:
    """After False nothing is renewed any more."""
    renewals = Renewals(True, False)
    heartbeat = Heartbeat(renewals, lease_seconds=10, interval_seconds=0.001)
    heartbeat.start()
    while not heartbeat.lost:
        await asyncio.sleep(0.001)
    count = renewals.count
    await asyncio.sleep(0.02)
    await heartbeat.stop()
    assert renewals.count == count == 2


async def test_a_lease_that_is_not_renewed_becomes_overdue() -> None:
    """Its holder must expect another process by then."""
    heartbeat = Heartbeat(Renewals(Unavailable()), lease_seconds=0.02, interval_seconds=0.001)
    heartbeat.start()
    assert not heartbeat.overdue
    while not heartbeat.overdue:
        await asyncio.sleep(0.001)
    await heartbeat.stop()
    assert not heartbeat.lost


async def test_stopping_does_not_swallow_the_callers_cancellation() -> None:
    """A task that is cancelled while it stops its heartbeat ends as cancelled."""
    reached, slow = asyncio.Event(), asyncio.Event()

    async def renew() -> bool:
        reached.set()
        try:
            await slow.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            raise
        return True

    async def holder() -> None:
        async with renewing(renew, lease_seconds=10, interval_seconds=0):
            await reached.wait()

    task = asyncio.create_task(holder())
    await reached.wait()
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
