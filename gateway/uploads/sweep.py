"""Find what was abandoned by our own rows and bring it to an end."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from gateway.database import idempotency, uploads
from gateway.database.uploads import Move
from gateway.domain.errors import GatewayError
from gateway.domain.upload import State
from gateway.uploads.clean_up import CLEANABLE, clean_up
from gateway.uploads.finish import resume
from gateway.uploads.finish_form import remove_forms
from gateway.uploads.gateway import Gateway
from gateway.uploads.leftovers import remove_leftovers

logger = logging.getLogger(__name__)

BATCH = 100
"""Uploads of each kind in one sweep; the rest waits for the next."""


async def sweep(gateway: Gateway) -> dict[str, int]:
    """Expire what ran out of time, finish what was dropped, remove what is left; return how many of each.

    Any number of processes may sweep at once: each step is a compare-and-set or can be run twice. One upload that
    fails does not stop the others.
    """
    clean_after = gateway.policy.lease_seconds
    found = await uploads.to_sweep(gateway.database, clean_after_seconds=clean_after, limit=BATCH)
    steps = {"expired": expire, "dropped": _finish, "unclean": _clean}
    counts = dict.fromkeys(steps, 0)
    for what, step in steps.items():
        for upload_id in found[what]:
            try:
                counts[what] += await step(gateway, upload_id)
            except GatewayError as exc:
                logger.warning("could not sweep an upload", extra={"upload_id": str(upload_id), "code": exc.code})
            except Exception:
                # One row that nobody foresaw must not keep the sweeper from all others.
                logger.exception("could not sweep an upload", extra={"upload_id": str(upload_id)})
    before = gateway.now() - timedelta(seconds=gateway.policy.idempotency_seconds)
    counts["forgotten"] = await idempotency.forget(gateway.database, before=before, limit=BATCH * 10)
    counts["forms"] = await remove_forms(gateway)
    counts["leftovers"] = await remove_leftovers(gateway)
    return counts


async def expire(gateway: Gateway, upload_id: UUID) -> bool:
    """Expire one upload if its time is over and nobody completes it, and remove its parts."""
    change = Move(after=State.UPLOADING, to=State.EXPIRED, cleanup_pending=True, expired_only=True)
    async with gateway.database.connection() as connection:
        expired = await uploads.move(connection, upload_id, change)
    if expired is None:
        return False
    await clean_up(gateway, expired)
    return True


async def _finish(gateway: Gateway, upload_id: UUID) -> bool:
    return await resume(gateway, upload_id) is not None


async def _clean(gateway: Gateway, upload_id: UUID) -> bool:
    upload = await uploads.find_for_job(gateway.database, upload_id)
    if upload is None or upload.state not in CLEANABLE:
        return False
    await uploads.postpone_cleaning(gateway.database, upload_id)
    await clean_up(gateway, upload)
    return True
