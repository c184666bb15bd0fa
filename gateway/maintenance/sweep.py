"""Find abandoned uploads in our rows and end them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

from gateway.context import Gateway
from gateway.database import transitions, uploads
from gateway.domain.errors import GatewayError
from gateway.domain.transition import Transition
from gateway.domain.upload import State, Upload
from gateway.maintenance.for_each import for_each_upload
from gateway.maintenance.forget import forget
from gateway.maintenance.post_uploads import remove_late_posts
from gateway.maintenance.temporary_files import remove_temporary_files
from gateway.storage.errors import NoSuchUpload
from gateway.uploads.clean_up import clean_up
from gateway.uploads.process import resume

logger = logging.getLogger(__name__)

BATCH = 100
"""Uploads of one statement; the sweep repeats it until no row is found."""

PER_TENANT = 25
"""Uploads of one tenant in a batch: a tenant with a million abandoned uploads does not delay other tenants."""

ROUNDS = 10_000
"""Batches of each kind in one sweep; the next sweep does the rest."""

AT_ONCE = 16
"""Uploads cleaned at once: a slow answer of the store for one does not delay the others."""

ORPHAN_SECONDS = 300.0
"""Time after which no attempt of CreateMultipartUpload can still reach the store, seconds."""

FindBatch = Callable[[str], Awaitable[list[Upload]]]


async def sweep(gateway: Gateway) -> dict[str, int]:
    """Forget old rows, process dropped uploads, expire late ones, and remove their files; return the counts.

    Any number of processes may sweep at once: each step is a compare-and-set or can be run twice. One upload that
    fails does not stop the others.
    """
    # Forgetting is first: it does not need the store, and the database must not grow during an outage of the store.
    counts = await forget(gateway)
    semaphore = asyncio.Semaphore(AT_ONCE)
    steps = {
        "dropped": _part(_finish_dropped(gateway)),
        "expired": _part(expire_all(gateway, semaphore)),
        "unclean": _part(_clean_all(gateway, semaphore)),
        "orphans": _part(abort_orphans(gateway, semaphore)),
        "forms": _part(remove_late_posts(gateway)),
        "temporary_files": _part(remove_temporary_files(gateway)),
    }
    return counts | dict(zip(steps, await asyncio.gather(*steps.values()), strict=True))


async def expire_all(gateway: Gateway, semaphore: asyncio.Semaphore) -> int:
    """Expire every upload after its time and remove its parts; return the number of expired uploads."""
    expired = 0

    async def find(after_tenant: str) -> list[Upload]:
        nonlocal expired
        batch = await transitions.expire_late(
            gateway.database, after_tenant=after_tenant, per_tenant=PER_TENANT, limit=BATCH
        )
        expired += len(batch)
        return batch

    await _in_turn(gateway, semaphore, find)
    return expired


async def expire(gateway: Gateway, upload_id: UUID) -> bool:
    """Expire one upload if its time has passed and no process completes it, and remove its parts."""
    change = Transition(from_state=State.UPLOADING, to_state=State.EXPIRED, cleanup_pending=True, expired_only=True)
    expired = await gateway.uploads.apply(upload_id, change)
    if expired is None:
        return False
    await clean_up(gateway, expired)
    return True


async def _clean_all(gateway: Gateway, semaphore: asyncio.Semaphore) -> int:
    async def find(after_tenant: str) -> list[Upload]:
        return await uploads.claim_unclean(
            gateway.database,
            after_tenant=after_tenant,
            clean_after_seconds=gateway.policy.lease_seconds,
            per_tenant=PER_TENANT,
            limit=BATCH,
        )

    return await _in_turn(gateway, semaphore, find)


async def _in_turn(gateway: Gateway, semaphore: asyncio.Semaphore, find: FindBatch) -> int:
    """Clean batch after batch, tenants in turn, until there are none; return the number of cleaned uploads.

    If no upload of a batch could be cleaned, the store is not available: the rest stays marked for the next sweep.
    """
    cleaned, after = 0, ""
    for _ in range(ROUNDS):
        batch = {upload.id: upload for upload in await find(after)}
        if not batch and not after:
            break

        async def clean(upload_id: UUID, batch: dict[UUID, Upload] = batch) -> bool:
            await clean_up(gateway, batch[upload_id])
            return True

        done = await for_each_upload(list(batch), clean, semaphore=semaphore, failing="could not sweep an upload")
        cleaned += done
        if batch and not done:
            break
        after = max(upload.tenant_id for upload in batch.values()) if len(batch) == BATCH else ""
    return cleaned


async def _finish_dropped(gateway: Gateway) -> int:
    async def finish(upload_id: UUID) -> bool:
        return await resume(gateway, upload_id) is not None

    finished, semaphore = 0, asyncio.Semaphore(AT_ONCE // 2)
    for _ in range(ROUNDS):
        batch = await uploads.find_dropped(gateway.database, limit=BATCH)
        done = await for_each_upload(batch, finish, semaphore=semaphore, failing="could not sweep an upload")
        finished += done
        if len(batch) < BATCH or not done:
            break
    return finished


async def abort_orphans(gateway: Gateway, semaphore: asyncio.Semaphore) -> int:
    """Abort multipart uploads that exist beside the used one because an answer of the store was lost."""
    batch = {
        upload.id: upload
        for upload in await uploads.claim_orphans(gateway.database, after_seconds=ORPHAN_SECONDS, limit=BATCH)
    }

    async def abort(upload_id: UUID) -> bool:
        upload = batch[upload_id]
        try:
            found = await gateway.find_multipart_uploads(upload.object_key)
            for orphan in set(found) - {upload.multipart_upload_id}:
                with suppress(NoSuchUpload):
                    await gateway.store.abort_multipart_upload(upload.object_key, orphan)
        except GatewayError:
            await uploads.mark_orphans(gateway.database, upload_id)
            raise
        return True

    return await for_each_upload(list(batch), abort, semaphore=semaphore, failing="could not look for orphans")


async def _part(removing: Awaitable[int]) -> int:
    try:
        return await removing
    except GatewayError as exc:
        logger.warning("could not sweep everything", extra={"code": exc.code})
    except Exception:
        logger.exception("could not sweep everything")
    return 0
