"""Wake waiting tasks when any process changed an upload.

A PostgreSQL notification only means "read again". A lost, repeated or late notification costs time, but no data.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)

QUIET_SECONDS = 10.0
"""Seconds without a notification after which the connection is tested: a broken network reports no error."""

ANSWER_SECONDS = 5.0
"""Seconds that this test may take."""

MAX_COLLECTED = 1000
"""Ids kept for one reader. Their work is also found without notifications, only later."""


class Collected:
    """Hold the ids of notifications until they are taken; of more than MAX_COLLECTED the rest is dropped."""

    def __init__(self) -> None:
        self.waker = asyncio.Event()
        self._ids: set[str] = set()

    def add(self, identity: str) -> None:
        """Keep one id and wake the reader."""
        if len(self._ids) < MAX_COLLECTED:
            self._ids.add(identity)
        self.waker.set()

    def pop_all(self) -> set[str]:
        """Return the ids that came since the last call."""
        self.waker.clear()
        taken, self._ids = self._ids, set()
        return taken


class Wakeups:
    """Listen on one connection for the whole process and wake subscribers by topic (tenant id or upload id)."""

    def __init__(self, url: str, channel: str, *, own_sender: str | None = None) -> None:
        """Ignore notifications that begin with *own_sender*: this process woke its subscribers already."""
        self._url = url
        self._channel = channel
        self._own_sender = own_sender
        self._subscribers: dict[str, set[asyncio.Event]] = {}
        self._collectors: dict[str, set[Collected]] = {}
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start listening; a database that is away is tried again until `close`."""
        self._task = asyncio.create_task(self._run(), name="wakeups")

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    @contextmanager
    def subscribe(self, topic: str) -> Iterator[asyncio.Event]:
        """Yield an asyncio.Event that is set whenever *topic* may have changed. Clear it before you read."""
        waker = asyncio.Event()
        self._subscribers.setdefault(topic, set()).add(waker)
        try:
            yield waker
        finally:
            wakers = self._subscribers[topic]
            wakers.discard(waker)
            if not wakers:
                del self._subscribers[topic]

    @contextmanager
    def collect(self, kind: str) -> Iterator[Collected]:
        """Lend the ids of all notifications `kind:id` until the block ends."""
        collected = Collected()
        self._collectors.setdefault(kind, set()).add(collected)
        try:
            yield collected
        finally:
            self._collectors[kind].discard(collected)

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, connect_timeout=5
                ) as connection:
                    await connection.execute(f"LISTEN {self._channel}".encode())
                    failures = 0
                    # Notifications during the interruption are lost, so every subscriber reads again.
                    self._wake_all()
                    await self._listen(connection)
            except (psycopg.Error, OSError, TimeoutError):
                logger.warning("lost the connection for notifications; reconnecting", extra={"failures": failures})
            await asyncio.sleep(RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)])
            failures += 1

    async def _listen(self, connection: psycopg.AsyncConnection[Any]) -> None:
        while True:
            async for notice in connection.notifies(timeout=QUIET_SECONDS):
                self.receive(notice.payload)
            async with asyncio.timeout(ANSWER_SECONDS):
                await connection.execute("SELECT 1")

    def receive(self, payload: str) -> None:
        """Wake the subscribers of a notification's topics, unless this process sent it."""
        if payload.partition(" ")[0] != self._own_sender:
            self.wake(payload)

    def wake(self, payload: str) -> None:
        """Wake the subscribers of each topic in *payload*."""
        for topic in payload.split(" "):
            for waker in self._subscribers.get(topic, ()):
                waker.set()
            kind, _, identity = topic.partition(":")
            for collected in self._collectors.get(kind, ()):
                collected.add(identity)

    def _wake_all(self) -> None:
        for wakers in self._subscribers.values():
            for waker in wakers:
                waker.set()


async def wait_for(waker: asyncio.Event, seconds: float) -> None:
    """Return when *waker* is set, or after *seconds*."""
    # Not asyncio.wait_for: on Python 3.11 it swallows a cancellation that comes just after the event was set.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await waker.wait()
