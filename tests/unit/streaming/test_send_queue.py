"""The line before the store, without a store."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.errors import Unavailable
from gateway.streaming.send_queue import SendQueue, StoreNotResponding

TIMEOUT = 0.05


class Store:
    """Store parts or give up on them, and know in which order they came."""

    def __init__(self, queue: SendQueue) -> None:
        self.queue = queue
        self.tried: list[int] = []
        self.at_once = self.most_at_once = 0

    async def send(self, number: int, *, seconds: float = 0.0, works: bool = True) -> int:
        async with self.queue.admit():
            self.tried.append(number)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            await asyncio.sleep(seconds)
            self.at_once -= 1
            if not works:
                raise Unavailable
        return number


@pytest.mark.parametrize("count", [1, 3])
async def test_turns_are_given_in_order_and_bounded(count: int) -> None:
    """As many as are allowed are sent at once, first come first served, and every turn comes back."""
    store = Store(SendQueue(count, timeout_seconds=TIMEOUT))
    assert await asyncio.gather(*[store.send(number) for number in range(20)]) == [*range(20)]
    assert store.tried == [*range(20)]
    assert store.most_at_once == count


@pytest.mark.parametrize("count", [1, 3])
async def test_b2_a_store_that_hangs_ends_the_line(count: int) -> None:
    """However long the line is, two turns find out; the rest goes with them, and the next is tried again."""
    store = Store(SendQueue(count, timeout_seconds=TIMEOUT))
    results = await asyncio.gather(
        *[store.send(number, seconds=TIMEOUT, works=False) for number in range(50)], return_exceptions=True
    )
    assert len(store.tried) <= 2 * count
    assert [type(result) for result in results].count(Unavailable) == len(store.tried)
    assert [type(result) for result in results].count(StoreNotResponding) == 50 - len(store.tried)
    assert await store.send(50) == 50


@pytest.mark.parametrize("seconds", [TIMEOUT / 2, TIMEOUT * 2])
async def test_b2_a_slow_store_keeps_its_line(seconds: float) -> None:
    """While no part is given up nobody is turned away, though the line takes far longer than anybody's patience."""
    store = Store(SendQueue(2, timeout_seconds=TIMEOUT))
    assert await asyncio.gather(*[store.send(number, seconds=seconds) for number in range(12)]) == [*range(12)]


async def test_b2_one_failure_does_not_turn_away_who_just_came() -> None:
    """A part that the store refused at once says nothing of the others."""
    store = Store(SendQueue(1, timeout_seconds=60))
    results = await asyncio.gather(
        *[store.send(number, works=number != 0) for number in range(5)], return_exceptions=True
    )
    assert results[1:] == [1, 2, 3, 4]
    assert isinstance(results[0], Unavailable)


async def test_who_leaves_the_line_takes_no_turn() -> None:
    """Cancelled while it waits, with its turn just given, or turned away: the turn goes to the next."""
    store = Store(SendQueue(1, timeout_seconds=0))
    first = asyncio.create_task(store.send(0, seconds=TIMEOUT, works=False))
    waiting = [asyncio.create_task(store.send(number)) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.gather(first, return_exceptions=True)
    # Turned away by now, and told only after this.
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    holding = asyncio.create_task(store.send(4, seconds=TIMEOUT))
    given = asyncio.create_task(store.send(5))
    await holding
    given.cancel()
    assert await store.send(6) == 6
