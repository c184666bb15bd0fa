"""Find uploads whose POST upload has arrived, and remove objects that POST uploads left."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from uuid import UUID

from gateway.context import Gateway
from gateway.database import post_uploads, uploads
from gateway.domain.upload import State
from gateway.maintenance.for_each import for_each_upload
from gateway.uploads.clean_up import remove_object
from gateway.uploads.post_uploads import complete_arrived

AT_ONCE = 8
"""POST uploads checked at once: most need one HEAD; an arrived file needs a copy and a check."""

BATCH = 100
"""POST uploads of one round; the next round, a second later, does the rest."""


async def complete_arrived_posts(gateway: Gateway, requested: Collection[UUID] = ()) -> int:
    """Complete every due or *requested* POST upload whose file has arrived, and return how many were completed.

    An upload that fails is logged and does not stop the others.
    """

    async def check(upload_id: UUID) -> bool:
        upload = await complete_arrived(gateway, upload_id)
        return upload is not None and upload.state is not State.UPLOADING

    due = await post_uploads.claim_due_checks(gateway.database, limit=BATCH)
    checked = [*due, *(set(requested) - set(due))]
    return await for_each_upload(
        checked, check, semaphore=asyncio.Semaphore(AT_ONCE), failing="could not check a POST upload"
    )


async def remove_late_posts(gateway: Gateway) -> int:
    """Remove files that arrived at POST keys after their uploads ended, once the store accepts no form for them."""

    async def remove(upload_id: UUID) -> bool:
        upload = await uploads.find_unscoped(gateway.database, upload_id)
        if upload is None or upload.post_key is None:
            return False
        await remove_object(gateway.store, upload.post_key)
        await post_uploads.removed(gateway.database, upload_id)
        return True

    ended = await post_uploads.to_remove(gateway.database, limit=BATCH)
    return await for_each_upload(ended, remove, semaphore=asyncio.Semaphore(AT_ONCE), failing="could not remove a form")
