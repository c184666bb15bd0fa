"""Waiting for a wake-up ends when it must, also when both ends come at once."""

from __future__ import annotations

import asyncio

import pytest

from gateway.events.wakeups import wait_for


@pytest.mark.parametrize("turns", range(5))
async def test_b10_a_loop_that_was_just_woken_is_cancelled(turns: int) -> None:
    """However many turns of the event loop lie between wake-up and cancellation, the cancellation is not lost."""
    waker = asyncio.Event()

    async def forever() -> None:
        while True:
            waker.clear()
            await wait_for(waker, 60)

    task = asyncio.create_task(forever())
    await asyncio.sleep(0.01)
    waker.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    ended, _ = await asyncio.wait({task}, timeout=5)
    task.cancel()
    assert ended == {task}
    assert task.cancelled()


async def test_waiting_ends_with_the_time_or_the_wake_up() -> None:
    """Time that is over is no error, and a waker that is set already is not waited for."""
    waker = asyncio.Event()
    await wait_for(waker, 0.01)
    await wait_for(waker, 0)
    waker.set()
    async with asyncio.timeout(5):
        await wait_for(waker, 60)
