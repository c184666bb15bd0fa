"""Hold what one watcher has not taken yet: bounded, and closed with a reason when it is full."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from gateway.domain.events import Position

MAX_QUEUED_MESSAGES = 100
"""Messages that wait for one watcher; one that is further behind reads the log again from its last event id."""


class Reason(StrEnum):
    """Say why a stream was ended before its upload was final."""

    TOO_SLOW = "too_slow"
    GOING_AWAY = "going_away"
    UNAUTHENTICATED = "unauthenticated"
    UNAVAILABLE = "unavailable"


class StreamClosed(Exception):
    """The stream ends here; the watcher may come back with the id of the last event it got."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.value)


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell; *data* is JSON, written once for all watchers. Progress has no position: it is not logged."""

    event: str
    upload_id: str
    data: bytes
    position: Position | None = None

    @classmethod
    def of(cls, event: str, upload_id: str, data: Mapping[str, Any], position: Position | None = None) -> Message:
        """Write *data* as JSON."""
        return cls(event, upload_id, orjson.dumps({"upload_id": upload_id, **data}), position)


class Subscription:
    """Queue messages for one watcher. Of progress, only the newest of each upload waits."""

    def __init__(self, max_queued: int = MAX_QUEUED_MESSAGES) -> None:
        self._most = max_queued
        self._events: deque[Message] = deque()
        self._progress: dict[str, Message] = {}
        self._waker = asyncio.Event()
        self._closed: Reason | None = None

    def put(self, message: Message) -> None:
        """Queue a message without waking the watcher; a full queue closes the stream instead."""
        if self._closed is not None:
            return
        if message.position is not None:
            # What was known of the bytes is old news once the upload moved on.
            self._progress.pop(message.upload_id, None)
            self._events.append(message)
        else:
            self._progress[message.upload_id] = message
        if len(self._events) + len(self._progress) > self._most:
            self.close(Reason.TOO_SLOW)

    def wake(self) -> None:
        """Tell the watcher that messages are waiting."""
        self._waker.set()

    def close(self, reason: Reason) -> None:
        """Let the watcher's next `next_messages` raise StreamClosed; what it has not taken is forgotten."""
        if self._closed is None:
            self._closed = reason
        self._events.clear()
        self._progress.clear()
        self._waker.set()

    async def next_messages(self, seconds: float) -> list[Message]:
        """Return what waits, at least one message, or nothing when *seconds* are over; raise StreamClosed."""
        if not self._waiting:
            self._waker.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._waker.wait()
        if self._closed is not None:
            raise StreamClosed(self._closed)
        messages = [*self._events, *self._progress.values()]
        self._events.clear()
        self._progress.clear()
        return messages

    @property
    def _waiting(self) -> bool:
        return bool(self._events or self._progress or self._closed)
