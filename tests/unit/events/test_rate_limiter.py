"""The line in which feeds wait to ask the store."""

from __future__ import annotations

import asyncio

from gateway.events.feeds import RateLimiter


async def test_callers_are_let_through_in_order() -> None:
    """Who came first goes first."""
    limiter = RateLimiter(1000)
    through: list[int] = []

    async def caller(number: int) -> None:
        await limiter.wait()
        through.append(number)

    await asyncio.gather(*(caller(number) for number in range(20)))
    assert through == list(range(20))


async def test_who_leaves_the_line_holds_nobody_up() -> None:
    """A thousand watchers that went away took their places with them: the next does not wait 50 s."""
    limiter = RateLimiter(20)
    gone = [asyncio.create_task(limiter.wait()) for _ in range(1000)]
    await asyncio.sleep(0.1)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    async with asyncio.timeout(10):
        await limiter.wait()
