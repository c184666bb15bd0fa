"""Announce changes to the watchers of this process at once, and to other processes by PostgreSQL notifications.

PostgreSQL holds one lock for the whole database while a transaction that called pg_notify commits. Therefore no change
notifies in its own transaction: each process sends one notification for many changes, outside of their transactions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from uuid import uuid4

from gateway.domain.errors import Unavailable

NOTIFY_CHANNEL = "gateway_uploads"
"""A payload is a list of topics, separated by spaces: `tenant_id upload_id`. It says which topics to read again."""

WEBHOOKS_TOPIC = "webhooks"
"""The topic of the webhook sender: a message is due."""

POST_UPLOADS_TOPIC = "post_uploads"
"""`post_uploads:{upload_id}` asks the workers to look for the file of one POST upload."""

SENDER_PREFIX = "by:"
"""The first topic of a payload names the process that sent it: that process has woken its own watchers already."""

PAUSE_SECONDS = 0.01
"""Time between two notifications of one process. The first one after a silence is sent at once."""

MAX_TOPICS = 10_000
"""Topics that wait for the next notification. Watchers look at the log every second, so a topic more is only late."""

PAYLOAD_BYTES = 7_900
"""Bytes of one payload; PostgreSQL refuses 8,000 (docs, NOTIFY)."""

CLOSE_SECONDS = 1.0
"""Time for the last notification of a process that stops, seconds."""


def ignore(payload: str) -> None:
    """Wake nobody: the process has no watchers."""


class Announcements:
    """Collect topics and send them in one notification every PAUSE_SECONDS.

    A topic is lost when the database is away or the process dies. Watchers then see the change at their next look at
    the log.
    """

    def __init__(self, send: Callable[[Sequence[str]], Awaitable[object]]) -> None:
        self.sender = SENDER_PREFIX + uuid4().hex[:12]
        self.wake: Callable[[str], None] = ignore
        """Wake the watchers of this process."""
        self._send = send
        self._topics: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, *topics: str) -> None:
        """Wake this process's watchers of *topics* now, and other processes' soon."""
        self.wake(" ".join(topics))
        if len(self._topics) < MAX_TOPICS:
            self._topics.update(dict.fromkeys(topics))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="announcements")

    async def close(self) -> None:
        """Send what waits, for at most CLOSE_SECONDS."""
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while self._topics:
            topics, self._topics = self._topics, {}
            with suppress(Unavailable):
                await self._send(self._payloads(topics))
            await asyncio.sleep(PAUSE_SECONDS)

    def _payloads(self, topics: dict[str, None]) -> list[str]:
        payloads, payload, size = [], [self.sender], len(self.sender)
        for topic in topics:
            length = len(topic.encode()) + 1
            if size + length > PAYLOAD_BYTES:
                payloads.append(" ".join(payload))
                payload, size = [self.sender], len(self.sender)
            payload.append(topic)
            size += length
        return [*payloads, " ".join(payload)]
