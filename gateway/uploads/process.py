"""See a claimed upload through to its final state, under a lease that any process may take over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4

from gateway.context import Gateway
from gateway.database import uploads
from gateway.domain.errors import GatewayError, Unavailable
from gateway.domain.upload import State, Upload
from gateway.uploads.assemble import assemble
from gateway.uploads.clean_up import clean_up, remove_object
from gateway.uploads.validate import validate

PROCESS_TASK = "process_upload"

FORMER_PROCESS_TASK = "finish_upload"
"""The name under which an earlier release queued this task. Its jobs may still be in the queue."""


async def resume(gateway: Gateway, upload_id: UUID) -> Upload | None:
    """Take over an upload whose process gave no sign of life and finish it; None when there is nothing to take."""
    taken = await uploads.take_lease(gateway.database, upload_id, token=uuid4(), seconds=gateway.policy.lease_seconds)
    return await process(gateway, taken) if taken else None


async def process(gateway: Gateway, upload: Upload) -> Upload:
    """Assemble and validate an upload that this process holds the lease of.

    Raises PartsMismatch when a part was replaced and StoreError when the store refused to assemble: the upload is open
    again. Raises Unavailable when the store or the database stayed away, and whatever keeps it from being checked: the
    lease is then handed on, and another call or the worker goes on from there.
    """
    async with _lease(gateway, upload):
        if upload.state is State.COMPLETING:
            upload = await assemble(gateway, upload)
        if upload.state is State.VALIDATING:
            upload = await validate(gateway, upload)
    if upload.state is State.REJECTED:
        await _clean_up_now(gateway, upload)
    elif upload.state is State.READY and upload.post_key is not None:
        with suppress(GatewayError):
            await remove_object(gateway.store, upload.post_key)
    return upload


async def _clean_up_now(gateway: Gateway, upload: Upload) -> None:
    """Delete at once what was rejected; what the store does not do now the sweeper asks again."""
    with suppress(GatewayError):
        await clean_up(gateway, upload)


@asynccontextmanager
async def _lease(gateway: Gateway, upload: Upload) -> AsyncIterator[None]:
    """Renew the lease while the block runs, and hand it on when the block fails or is cancelled."""
    token = upload.lease_token
    if token is None:
        yield
        return
    heart = asyncio.create_task(_beat(gateway, upload.id, token))
    try:
        yield
    except BaseException:
        with suppress(GatewayError):
            await asyncio.shield(uploads.renew_lease(gateway.database, upload.id, token=token, seconds=0))
        raise
    finally:
        heart.cancel()
        with suppress(asyncio.CancelledError):
            await heart


async def _beat(gateway: Gateway, upload_id: UUID, token: UUID) -> None:
    """Give signs of life until the lease is lost; whatever its loser writes is fenced off by the token."""
    seconds = gateway.policy.lease_seconds
    while True:
        await asyncio.sleep(seconds / 3)
        with suppress(Unavailable):
            if not await uploads.renew_lease(gateway.database, upload_id, token=token, seconds=seconds):
                return
