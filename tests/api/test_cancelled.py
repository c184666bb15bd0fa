"""What is cancelled while it waits for the database ends, and the connection it was about to get is lent to others."""

from __future__ import annotations

import asyncio

import pytest

from gateway.database.engine import Database

TURNS = 12
"""Turns of the event loop between a connection that comes back and the one who waits for it: two to four were lost."""


@pytest.mark.parametrize("turns", range(TURNS))
async def test_b10_a_cancellation_in_line_for_a_connection_is_not_lost(database_url: str, turns: int) -> None:
    """A task is cancelled just as it is given a connection; it ends, and both connections are there afterwards."""
    database = Database(database_url, pool_size=2, timeout_seconds=5)
    await database.open()
    held, give_back = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with database.connection():
            held.set()
            await give_back.wait()

    async def work_forever() -> None:
        async with database.connection():
            await asyncio.sleep(600)

    try:
        async with database.connection():
            holding = asyncio.create_task(hold())
            await held.wait()
            working = asyncio.create_task(work_forever())
            await asyncio.sleep(0.02)
            give_back.set()
            for _ in range(turns):
                await asyncio.sleep(0)
            working.cancel()
            ended, _ = await asyncio.wait({working}, timeout=5)
            working.cancel()
            assert ended
            assert working.cancelled()
            await holding
            async with asyncio.timeout(5), database.connection() as second:
                await second.execute("SELECT 1")
    finally:
        await database.close()


async def test_a_deadline_in_line_for_a_connection_is_kept(database_url: str) -> None:
    """Work that has its own time limit hears of it as one, also where it waits for a connection."""
    database = Database(database_url, pool_size=2, timeout_seconds=60)
    await database.open()
    try:
        async with database.connection(), database.connection():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), database.connection():
                    pass
        assert await database.fetch_one("SELECT 1 AS one", {}) == {"one": 1}
    finally:
        await database.close()
