"""Read the event logs that are watched, and measure the progress of watched uploads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from gateway.context import Gateway
from gateway.database import events, progress
from gateway.database.progress import PollClaim, Progress
from gateway.domain.events import BEGINNING, Event, Position
from gateway.domain.progress import smooth_rate
from gateway.domain.upload import Upload
from gateway.events.feeds import LogPage
from gateway.events.subscription import Message
from gateway.storage.errors import NoSuchUpload

PAGE = 100
"""Events in one read."""

POLL_SECONDS = 1.0
"""Shortest time between two polls of the store for one upload, over all processes."""

IDLE_POLL_SECONDS = 5.0
"""Time between two polls to which it grows while no bytes arrive."""

POLL_SHARE = 0.2
"""Share of the time that polls may take: listing 10,000 parts takes ten calls, so it happens less often."""

MAX_POLL_SECONDS = 30.0
"""Longest time between two polls, however slowly the store answers."""


def _message(event: Event) -> Message:
    fields = {**event.data, "at": event.created_at, "metadata": event.metadata}
    return Message.of(event.type, str(event.upload_id), fields, event.position)


def _progress_message(seen: Progress) -> Message:
    fields: dict[str, Any] = {
        "at": seen.observed_at,
        "bytes_received": seen.bytes_received,
        "size_bytes": seen.size_bytes,
        "parts": seen.parts,
        "bytes_per_second": None if seen.bytes_per_second is None else round(seen.bytes_per_second),
        "seconds_left": None,
    }
    if seen.size_bytes is not None and seen.bytes_per_second is not None and seen.bytes_per_second >= 1:
        left = max(0, seen.size_bytes - seen.bytes_received)
        fields["seconds_left"] = round(left / seen.bytes_per_second, 1)
    return Message.of("progress", str(seen.upload_id), fields)


class UploadLog:
    """The log of one upload. The lock of its row orders its events, so they are compared by id alone."""

    of_tenant = False

    def __init__(self, gateway: Gateway, upload: Upload) -> None:
        self.topic = str(upload.id)
        self._gateway = gateway
        self._upload = upload
        self._pause = POLL_SECONDS

    def order(self, position: Position) -> tuple[int, int]:
        """Compare by id."""
        return (0, position.id)

    async def end(self) -> Position:
        """Return the position of the newest event."""
        newest = await events.latest_of_upload(self._gateway.database, self._upload.id)
        return newest.position if newest else BEGINNING

    async def read(self, after: Position, up_to: Position | None = None) -> LogPage:
        """Return a page of events."""
        found = await events.of_upload(self._gateway.database, self._upload.id, after=after, up_to=up_to, limit=PAGE)
        return LogPage([_message(event) for event in found], has_more=len(found) == PAGE)

    async def progress(self) -> Sequence[Message]:
        """Return the newest progress."""
        seen = await progress.of_upload(self._gateway.database, self._upload.id)
        return [_progress_message(seen)] if seen else []

    async def poll(self) -> float | None:
        """Measure the received bytes and notify every process, unless a process did so within the last second."""
        claim = await progress.claim_poll(self._gateway.database, self._upload.id, every_seconds=self._pause)
        if claim is None:
            return None
        if claim.granted:
            began = time.perf_counter()
            counted = await self._count(claim)
            if counted is None:
                return None
            await self._record(claim, *counted)
            seconds = time.perf_counter() - began
            idle = counted[0] == claim.bytes_received
            self._pause = next_pause(self._pause, poll_seconds=seconds, idle=idle)
        return self._pause

    async def _count(self, claim: PollClaim) -> tuple[int, int | None] | None:
        """Return the bytes and, of a direct upload, the parts; None when the store no longer takes its parts."""
        if claim.received_bytes is not None:
            return claim.received_bytes, None
        upload = self._upload
        if upload.multipart_upload_id is None:
            # A file for the gateway's disk that has not begun, or an intent.
            return (0, None) if upload.on_disk else None
        try:
            stored = await self._gateway.store.list_parts(upload.object_key, upload.multipart_upload_id)
        except NoSuchUpload:
            return None
        return sum(part.size_bytes for part in stored), len(stored)

    async def _record(self, claim: PollClaim, bytes_received: int, parts: int | None) -> None:
        rate = smooth_rate(claim.bytes_received, claim.bytes_per_second, claim.age_seconds, bytes_received)
        await progress.record(
            self._gateway.database,
            self._upload.id,
            bytes_received=bytes_received,
            parts=parts,
            bytes_per_second=rate,
            notify_watchers=rate != 0 or bytes_received != claim.bytes_received or claim.bytes_per_second != 0,
        )


def next_pause(pause: float, *, poll_seconds: float, idle: bool) -> float:
    """Return the seconds until the next poll, at most MAX_POLL_SECONDS, after a poll that took *poll_seconds*."""
    wanted = min(IDLE_POLL_SECONDS, pause * 1.5) if idle else POLL_SECONDS
    return min(MAX_POLL_SECONDS, max(wanted, poll_seconds / POLL_SHARE))


class TenantLog:
    """The log of all uploads of a tenant, in the order of transactions."""

    of_tenant = True

    def __init__(self, gateway: Gateway, tenant_id: str) -> None:
        self.topic = tenant_id
        self._gateway = gateway
        self._tenant_id = tenant_id
        self._seen_until = gateway.now() - timedelta(seconds=POLL_SECONDS)

    def order(self, position: Position) -> tuple[int, int]:
        """Compare by transaction, then by id."""
        return (position.transaction_id, position.id)

    async def end(self) -> Position:
        """Return the oldest position that a still-open transaction may produce."""
        return await events.oldest_open_position(self._gateway.database)

    async def read(self, after: Position, up_to: Position | None = None) -> LogPage:
        """Return a page of events that no other event can come before any more."""
        settled = await events.of_tenant(self._gateway.database, self._tenant_id, after=after, up_to=up_to, limit=PAGE)
        has_more = len(settled.events) == PAGE
        return LogPage(
            [_message(event) for event in settled.events], has_more=has_more, has_unsettled=settled.has_unsettled
        )

    async def progress(self) -> Sequence[Message]:
        """Return the progress of uploads that are watched or that the gateway receives."""
        seen = await progress.of_tenant(self._gateway.database, self._tenant_id, since=self._seen_until, limit=PAGE)
        if seen:
            self._seen_until = seen[-1].observed_at
        return [_progress_message(one) for one in seen]

    async def poll(self) -> float | None:
        """Poll nothing: a tenant may have thousands of open uploads."""
        return None
