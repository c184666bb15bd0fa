"""Queue the messages of one watcher. The queue is bounded; when it is full, the stream is closed with a reason."""

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
"""Messages queued for one watcher. A slower watcher is disconnected and reads the log from its last event id."""


class Reason(StrEnum):
    """Say why the gateway ended a stream before its upload was final."""

    TOO_SLOW = "too_slow"
    GOING_AWAY = "going_away"
    UNAUTHENTICATED = "unauthenticated"
    UNAVAILABLE = "unavailable"


class StreamClosed(Exception):
    """The gateway ended the stream. The watcher may reconnect with the id of its last event."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.value)


@dataclass(frozen=True, slots=True)
class Message:
    """One message; *data* is JSON, encoded once for all watchers. Progress is not logged, so it has no position."""

    event: str
    upload_id: str
    data: bytes
    position: Position | None = None

    @classmethod
    def of(cls, event: str, upload_id: str, data: Mapping[str, Any], position: Position | None = None) -> Message:
        """Encode *data* as JSON."""
        return cls(event, upload_id, orjson.dumps({"upload_id": upload_id, **data}), position)


class Subscription:
    """Queue messages for one watcher. Only the newest progress of each upload is kept."""

    def __init__(self, max_queued: int = MAX_QUEUED_MESSAGES) -> None:
        self._most = max_queued
        self._events: deque[Message] = deque()
        self._progress: dict[str, Message] = {}
        self._waker = asyncio.Event()
        self._closed: Reason | None = None

    def put(self, message: Message) -> None:
        """Queue a message without waking the watcher; when the queue is full, close the stream instead."""
        if self._closed is not None:
            return
        if message.position is not None:
            # An event makes earlier progress of its upload obsolete.
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
        """Make the next `next_messages` raise StreamClosed, and drop the queued messages."""
        if self._closed is None:
            self._closed = reason
        self._events.clear()
        self._progress.clear()
        self._waker.set()

    async def next_messages(self, seconds: float) -> list[Message]:
        """Return the queued messages, waiting up to *seconds* for the first one; raise StreamClosed."""
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
