"""What waits for one watcher is bounded, in order, and free of old news."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.events import Position
from gateway.events.subscription import MAX_QUEUED_MESSAGES, Message, Reason, StreamClosed, Subscription


def _fact(number: int, upload_id: str = "a", event: str = "completing") -> Message:
    return Message.of(event, upload_id, {}, Position(1, number))


def _progress(count: int, upload_id: str = "a") -> Message:
    return Message.of("progress", upload_id, {"bytes_received": count})


async def test_facts_wait_in_order() -> None:
    """All that was put is taken, once, oldest first."""
    waiting = Subscription()
    facts = [_fact(number) for number in range(5)]
    for fact in facts:
        waiting.put(fact)
    assert await waiting.next_messages(1) == facts
    assert await waiting.next_messages(0) == []


async def test_of_progress_the_newest_waits() -> None:
    """A watcher that is behind gets the last word on each upload, not the history."""
    waiting = Subscription(2)
    for count in range(100):
        waiting.put(_progress(count, "a"))
        waiting.put(_progress(count, "b"))
    assert await waiting.next_messages(1) == [_progress(99, "a"), _progress(99, "b")]


async def test_a_fact_makes_progress_old_news() -> None:
    """Bytes under way are not told after the state that ended them."""
    waiting = Subscription()
    waiting.put(_progress(1, "a"))
    waiting.put(_progress(1, "b"))
    waiting.put(_fact(1, "a"))
    assert await waiting.next_messages(1) == [_fact(1, "a"), _progress(1, "b")]


async def test_g7_a_full_queue_closes_the_stream() -> None:
    """One message more than the bound ends the stream with the reason and frees the memory."""
    waiting = Subscription()
    for number in range(MAX_QUEUED_MESSAGES):
        waiting.put(_fact(number))
    waiting.put(_fact(MAX_QUEUED_MESSAGES))
    waiting.put(_fact(MAX_QUEUED_MESSAGES + 1))
    assert not waiting._events
    with pytest.raises(StreamClosed) as closed:
        await waiting.next_messages(1)
    assert closed.value.reason is Reason.TOO_SLOW


async def test_closing_wakes_who_waits() -> None:
    """A watcher without news learns at once that its stream ends; the first reason counts."""
    waiting = Subscription()
    taking = asyncio.create_task(waiting.next_messages(60))
    await asyncio.sleep(0)
    waiting.close(Reason.GOING_AWAY)
    waiting.close(Reason.TOO_SLOW)
    with pytest.raises(StreamClosed) as closed:
        await taking
    assert closed.value.reason is Reason.GOING_AWAY
