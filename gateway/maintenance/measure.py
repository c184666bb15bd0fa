"""Ask the store how much open uploads hold, and end those that hold too much."""

from __future__ import annotations

import asyncio
from uuid import UUID

from gateway.context import Gateway
from gateway.database import measuring
from gateway.maintenance.for_each import for_each_upload
from gateway.uploads.measure import end_oversized

BATCH = 50
"""Uploads of one round; a round is every two seconds, so that a worker asks the store 25 times a second at most."""

AT_ONCE = 4


async def measure_open_uploads(gateway: Gateway) -> int:
    """Measure the uploads that are due; return how many were ended."""
    due = {upload.id: upload for upload in await measuring.claim_due(gateway.database, limit=BATCH)}

    async def measure(upload_id: UUID) -> bool:
        return await end_oversized(gateway, due[upload_id])

    return await for_each_upload(
        list(due), measure, semaphore=asyncio.Semaphore(AT_ONCE), failing="could not measure an upload"
    )
