"""Queue the uploads whose process died while it completed them."""

from __future__ import annotations

from gateway.context import Gateway
from gateway.database import uploads
from gateway.uploads.process import PROCESS_TASK

BATCH = 100
"""Uploads of one round; the next round follows soon."""


async def queue_dropped_uploads(gateway: Gateway) -> int:
    """Queue one job for each upload whose lease ran out, and return the number of new jobs.

    Any number of workers may do so at once: while a job of an upload waits, there is no second one. A job takes the
    lease first, so a job that comes too late changes nothing. Raises Unavailable.
    """
    queued = 0
    for upload_id in await uploads.find_dropped(gateway.database, limit=BATCH):
        queued += await gateway.queue.defer_once(
            gateway.database, PROCESS_TASK, name=f"{PROCESS_TASK}:{upload_id}", upload_id=str(upload_id)
        )
    return queued
