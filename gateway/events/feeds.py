"""Deliver the event log to watchers. Each topic has one reader per process, for any number of watchers.

A wake-up only means "read the log again". A watcher gets the events that follow its position in the log, each exactly
once, even when connections were lost meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from gateway.domain.errors import GatewayError, TooManyWatchers, Unavailable
from gateway.domain.events import Position
from gateway.domain.fair_share import FairShare
from gateway.events.subscription import Message, Reason, Subscription
from gateway.events.wakeups import Wakeups, wait_for

logger = logging.getLogger(__name__)

MAX_CONCURRENT_READS = 3
"""Concurrent reads of the log. After a lost connection every topic reads again, and requests need the pool too."""

MAX_CONCURRENT_POLLS = 4
"""Concurrent polls of the store, whose connections requests need too."""

LOOK_SECONDS = 1.0
"""Time between two looks at the ends of all watched logs: a process that dies after a commit announces nothing."""

LOOK_TOPICS = 1000
"""Logs of one look's query."""

FALLBACK_READ_SECONDS = 30.0
"""Seconds between two reads without a wake-up."""

RETRY_DELAYS_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Pauses while events wait for older transactions. PostgreSQL does not notify when those end."""

WAKE_BATCH_SIZE = 8
"""Watchers woken in one step. Waking a thousand would block the event loop, and every request, for 0.1 s."""

WAKE_BATCH_PAUSE_SECONDS = 0.002
"""Pause between two steps, for requests. The last of a thousand watchers is woken 0.25 s after the first."""


@dataclass(frozen=True, slots=True)
class LogPage:
    """One page of the log. *has_more*: read on now. *has_unsettled*: later events exist; read again soon."""

    messages: Sequence[Message]
    has_more: bool = False
    has_unsettled: bool = False


class EventLog(Protocol):
    """The event log of one upload or of one tenant."""

    topic: str
    of_tenant: bool

    def order(self, position: Position) -> tuple[int, int]:
        """Return the key by which positions of this log are compared."""

    async def end(self) -> Position:
        """Return the present end of the log."""

    async def read(self, after: Position, up_to: Position | None = None) -> LogPage:
        """Return a bounded number of messages, oldest first."""

    async def progress(self) -> Sequence[Message]:
        """Return new progress messages."""

    async def poll(self) -> float | None:
        """Measure progress, if it is this process's turn, and return the seconds until the next poll.

        None when there is nothing to measure. The next event of the log starts polling again.
        """


class RateLimiter:
    """Let callers continue one by one, in order, at most *per_second* of them."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1.0 / per_second
        self._next = 0.0
        self._lock = asyncio.Lock()

    async def wait(self) -> None:
        """Return when it is the caller's turn. A cancelled caller gives its turn to the next one."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            await asyncio.sleep(self._next - loop.time())
            self._next = loop.time() + self._gap


class LogEnds(Protocol):
    """Ask for the positions of the newest events of many logs."""

    async def __call__(self, *, uploads: Sequence[str], tenants: Sequence[str]) -> Mapping[tuple[bool, str], Position]:
        """Return the newest position by (log of a tenant, topic); logs without events are left out."""


class Feed:
    """Read one log and deliver every message to all of its watchers."""

    def __init__(self, log: EventLog, feeds: Feeds) -> None:
        self._log = log
        self._feeds = feeds
        self._subscriptions: set[Subscription] = set()
        self._stack = ExitStack()
        self._log_advanced = False
        self._broken = False
        self._latest_progress: Sequence[Message] = ()
        self._tasks: list[asyncio.Task[None]] = []
        self.users = 0
        # Subscribe before reading the end of the log, so that an event meanwhile wakes the reader.
        self._waker = self._stack.enter_context(feeds.wakeups.subscribe(log.topic))
        self._progress_waker = self._stack.enter_context(feeds.wakeups.subscribe(f"progress:{log.topic}"))
        self._started = asyncio.create_task(self._start())
        self.position = Position(0, 0)

    async def add_watcher(self, subscription: Subscription) -> Position:
        """Add a watcher and return its start position: it receives every event after that. Raises Unavailable."""
        await asyncio.shield(self._started)
        if self._broken:
            raise Unavailable
        self._subscriptions.add(subscription)
        for message in self._latest_progress:
            subscription.put(message)
        return self.position

    def remove_watcher(self, subscription: Subscription) -> None:
        """Remove a watcher."""
        self._subscriptions.discard(subscription)

    def compare_end(self, end: Position) -> None:
        """Read the log again if it has an event after this feed's position."""
        if self._log.order(end) > self._log.order(self.position):
            self._waker.set()

    async def stop(self) -> None:
        """Stop reading."""
        self._stack.close()
        tasks: list[asyncio.Task[None]] = [self._started, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _start(self) -> None:
        async with self._feeds.reads:
            self.position = await self._log.end()
        self._tasks = [asyncio.create_task(self._run(work)) for work in (self._follow, self._measure)]

    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run an endless loop. If it fails, close all subscriptions: a silent open stream would mislead clients."""
        try:
            await work()
        except Exception as error:
            logger.exception("a feed broke", extra={"error": type(error).__name__})
            self._broken = True
            self._feeds.drop(self._log, self)
            for subscription in self._subscriptions:
                subscription.close(Reason.UNAVAILABLE)

    async def _follow(self) -> None:
        retries = 0
        while True:
            pause = FALLBACK_READ_SECONDS * random.uniform(0.75, 1.25)  # noqa: S311 - spreads reads, guards nothing
            if retries:
                pause = RETRY_DELAYS_SECONDS[min(retries, len(RETRY_DELAYS_SECONDS)) - 1]
            await wait_for(self._waker, pause)
            self._waker.clear()
            try:
                async with self._feeds.reads:
                    page = await self._log.read(self.position)
            except Unavailable:
                retries += 1
                continue
            retries = retries + 1 if page.has_unsettled else 0
            if page.has_more:
                self._waker.set()
            await self._deliver(page.messages)

    async def _deliver(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        # No await before all queues have the message: a watcher that is added later starts after it.
        for message in messages:
            if message.position is None:
                self._latest_progress = messages
            else:
                self._latest_progress = ()
                self.position = message.position
                self._log_advanced = True
                self._progress_waker.set()
            for subscription in self._subscriptions:
                subscription.put(message)
        await self._wake()

    async def _wake(self) -> None:
        for number, subscription in enumerate([*self._subscriptions]):
            if number and number % WAKE_BATCH_SIZE == 0:
                await asyncio.sleep(WAKE_BATCH_PAUSE_SECONDS)
            subscription.wake()

    async def _measure(self) -> None:
        """Keep progress up to date while there are watchers. Every process reads it from the database."""
        loop = asyncio.get_running_loop()
        due: float | None = loop.time()
        pause: float | None = 0.0
        while True:
            await wait_for(
                self._progress_waker, max(0.0, due - loop.time()) if due is not None else FALLBACK_READ_SECONDS
            )
            try:
                if self._progress_waker.is_set():
                    self._progress_waker.clear()
                    async with self._feeds.reads:
                        messages = await self._log.progress()
                    await self._deliver(messages)
                    if messages and pause is not None:
                        # A process has just polled.
                        due = loop.time() + pause
                if self._log_advanced:
                    self._log_advanced = False
                    due = loop.time()
                if due is not None and loop.time() >= due:
                    pause = await self._poll()
                    due = None if pause is None else loop.time() + pause
            except GatewayError as error:
                logger.info("could not measure progress; trying again", extra={"code": error.code})
                due = loop.time() + RETRY_DELAYS_SECONDS[-1] * random.uniform(1, 5)  # noqa: S311 - see above

    async def _poll(self) -> float | None:
        await self._feeds.poll_limiter.wait()
        async with self._feeds.polls:
            return await self._log.poll()


class Feeds:
    """Hold the feeds of one process and count their watchers."""

    def __init__(
        self,
        wakeups: Wakeups,
        log_ends: LogEnds,
        *,
        max_per_tenant: int,
        max_total: int,
        polls_per_second: float,
    ) -> None:
        self.wakeups = wakeups
        self._log_ends = log_ends
        self._looking: asyncio.Task[None] | None = None
        self.reads = asyncio.Semaphore(MAX_CONCURRENT_READS)
        self.polls = asyncio.Semaphore(MAX_CONCURRENT_POLLS)
        self.poll_limiter = RateLimiter(polls_per_second)
        self._places = max_total
        self._share = FairShare(max_total, per_tenant=max_per_tenant)
        self._feeds: dict[tuple[bool, str], Feed] = {}
        self._subscriptions: set[Subscription] = set()
        self._closing = False
        self._empty: asyncio.Event | None = None

    @property
    def watchers(self) -> int:
        """Return the number of watchers."""
        return len(self._subscriptions)

    @asynccontextmanager
    async def watch(
        self, tenant_id: str, log: EventLog, token_id: UUID | None = None
    ) -> AsyncIterator[tuple[Subscription, Position]]:
        """Yield a watcher's subscription and its start position: it receives every event after that.

        Raises TooManyWatchers over the token's, the tenant's or the process's limit, and Unavailable.
        """
        share = self._admit(tenant_id, token_id)
        subscription = Subscription()
        self._subscriptions.add(subscription)
        feed = self._feeds.get((log.of_tenant, log.topic))
        if feed is None:
            feed = self._feeds[log.of_tenant, log.topic] = Feed(log, self)
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look_forever(), name="look at logs")
        feed.users += 1
        try:
            with share:
                yield subscription, await feed.add_watcher(subscription)
        finally:
            feed.remove_watcher(subscription)
            self._subscriptions.discard(subscription)
            if self._empty is not None and not self._subscriptions:
                self._empty.set()
            feed.users -= 1
            if feed.users == 0:
                self.drop(log, feed)
                await feed.stop()

    def drop(self, log: EventLog, feed: Feed) -> None:
        """Make the next watcher of the log start a new feed."""
        if self._feeds.get((log.of_tenant, log.topic)) is feed:
            del self._feeds[log.of_tenant, log.topic]

    async def _look_forever(self) -> None:
        """Compare the ends of all watched logs with what was read, while there are watchers."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            topics = list(self._feeds)
            if not topics:
                return
            for start in range(0, len(topics), LOOK_TOPICS):
                try:
                    async with self.reads:
                        await self._look(topics[start : start + LOOK_TOPICS])
                except GatewayError as error:
                    logger.info("could not look at the log; trying again", extra={"code": error.code})
                except Exception as error:
                    # Notifications still arrive; without this task only a lost one would be seen late.
                    logger.exception("could not look at the log", extra={"error": type(error).__name__})

    async def _look(self, topics: Sequence[tuple[bool, str]]) -> None:
        ends = await self._log_ends(
            uploads=[topic for of_tenant, topic in topics if not of_tenant],
            tenants=[topic for of_tenant, topic in topics if of_tenant],
        )
        for key, end in ends.items():
            feed = self._feeds.get(key)
            if feed is not None:
                feed.compare_end(end)

    async def close(self, seconds: float) -> None:
        """Close all streams, refuse new ones, and wait up to *seconds* for their ends, so that the process can stop."""
        self._closing = True
        for subscription in self._subscriptions:
            subscription.close(Reason.GOING_AWAY)
        if self._subscriptions:
            self._empty = asyncio.Event()
            await wait_for(self._empty, seconds)
        if self._looking is not None:
            self._looking.cancel()

    def _admit(self, tenant_id: str, token_id: UUID | None) -> AbstractContextManager[None]:
        if self._closing:
            raise Unavailable("This process is shutting down. Connect again.")
        if self.watchers >= self._places:
            raise TooManyWatchers("Too many event streams are open here; try again later.")
        refusal = self._share.refusal(tenant_id, token_id)
        if refusal is not None:
            raise TooManyWatchers(f"{refusal} Close an event stream, or try again later.")
        return self._share.held(tenant_id, token_id)
