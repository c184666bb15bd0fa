"""Find what was abandoned by our own rows and bring it to an end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from uuid import UUID

from gateway.context import Gateway
from gateway.database import uploads
from gateway.domain.errors import GatewayError
from gateway.domain.transition import Transition
from gateway.domain.upload import State
from gateway.maintenance.for_each import for_each_upload
from gateway.maintenance.forget import forget
from gateway.maintenance.post_uploads import remove_late_posts
from gateway.maintenance.temporary_files import remove_temporary_files
from gateway.uploads.clean_up import CLEANABLE, clean_up
from gateway.uploads.process import resume

logger = logging.getLogger(__name__)

BATCH = 100
"""Uploads of each kind in one sweep; the rest waits for the next."""

AT_ONCE = 8
"""Uploads swept side by side: a store that is slow with one does not hold up the others."""

Step = Callable[[Gateway, UUID], Awaitable[bool]]


async def sweep(gateway: Gateway) -> dict[str, int]:
    """Forget what is old, finish what was dropped, expire what is late, remove what is left; return how many of each.

    Any number of processes may sweep at once: each step is a compare-and-set or can be run twice. One upload that
    fails does not stop the others.
    """
    # First: it asks nothing of the store, and a store that is away must not let the database grow.
    counts = await forget(gateway)
    clean_after = gateway.policy.lease_seconds
    found = await uploads.to_sweep(gateway.database, clean_after_seconds=clean_after, limit=BATCH)
    at_once = asyncio.Semaphore(AT_ONCE)
    # In the order in which they come to their turn: somebody waits for what was dropped.
    parts = {
        "dropped": _each(gateway, at_once, _finish, found["dropped"]),
        "expired": _each(gateway, at_once, expire, found["expired"]),
        "unclean": _each(gateway, at_once, _clean, found["unclean"]),
        "forms": _part(remove_late_posts(gateway)),
        "leftovers": _part(remove_temporary_files(gateway)),
    }
    return counts | dict(zip(parts, await asyncio.gather(*parts.values()), strict=True))


async def expire(gateway: Gateway, upload_id: UUID) -> bool:
    """Expire one upload if its time is over and nobody completes it, and remove its parts."""
    change = Transition(from_state=State.UPLOADING, to_state=State.EXPIRED, cleanup_pending=True, expired_only=True)
    expired = await gateway.uploads.apply(upload_id, change)
    if expired is None:
        return False
    await clean_up(gateway, expired)
    return True


async def _each(gateway: Gateway, at_once: asyncio.Semaphore, step: Step, upload_ids: Sequence[UUID]) -> int:
    return await for_each_upload(
        upload_ids, partial(step, gateway), semaphore=at_once, failing="could not sweep an upload"
    )


async def _part(removing: Awaitable[int]) -> int:
    try:
        return await removing
    except GatewayError as exc:
        logger.warning("could not sweep everything", extra={"code": exc.code})
    except Exception:
        logger.exception("could not sweep everything")
    return 0


async def _finish(gateway: Gateway, upload_id: UUID) -> bool:
    return await resume(gateway, upload_id) is not None


async def _clean(gateway: Gateway, upload_id: UUID) -> bool:
    upload = await uploads.find_unscoped(gateway.database, upload_id)
    if upload is None or upload.state not in CLEANABLE:
        return False
    await uploads.postpone_cleaning(gateway.database, upload_id)
    await clean_up(gateway, upload)
    return True
