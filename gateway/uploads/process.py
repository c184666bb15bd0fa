"""Process a claimed upload: assemble and validate it under a lease that any process may take over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID, uuid4

from gateway.context import Gateway
from gateway.domain.errors import GatewayError
from gateway.domain.parts import StoredPart
from gateway.domain.upload import State, Upload
from gateway.uploads.assemble import assemble
from gateway.uploads.clean_up import clean_up, remove_object
from gateway.uploads.heartbeat import renewing
from gateway.uploads.validate import validate

PROCESS_TASK = "process_upload"

FORMER_PROCESS_TASK = "finish_upload"
"""The name under which an earlier release queued this task. Its jobs may still be in the queue."""


async def resume(gateway: Gateway, upload_id: UUID) -> Upload | None:
    """Take over an upload whose process did not renew its lease, and process it; None when none can be taken over."""
    taken = await gateway.uploads.take_lease(upload_id, token=uuid4(), seconds=gateway.policy.lease_seconds)
    return await process(gateway, taken) if taken else None


async def process(gateway: Gateway, upload: Upload, claimed: Sequence[StoredPart] | None = None) -> Upload:
    """Assemble and validate an upload whose lease this process holds; *claimed* are the parts that it claimed.

    Raises PartsMismatch when a part was replaced and StoreError when the store refused to assemble; the upload is then
    open again. Raises Unavailable when the store or the database did not respond, and any error that kept the file from
    being checked; the lease is then released, and another call or a worker continues.
    """
    upload = await _process_under_lease(gateway, upload, claimed)
    if upload.state is State.REJECTED:
        # If the store fails now, the sweeper tries again. The same holds below.
        with suppress(GatewayError):
            await clean_up(gateway, upload)
    elif upload.state is State.READY and upload.post_key is not None:
        with suppress(GatewayError):
            await remove_object(gateway.store, upload.post_key)
    return upload


async def _process_under_lease(gateway: Gateway, upload: Upload, claimed: Sequence[StoredPart] | None) -> Upload:
    """Run both steps while the lease is renewed, and release the lease when a step fails or is cancelled.

    A process that lost its lease changes nothing: the database compares the lease token at every transition.
    """
    token, seconds = upload.lease_token, gateway.policy.lease_seconds
    assert token is not None, "a claimed upload has a lease"

    async def renew() -> bool:
        return await gateway.uploads.renew_lease(upload.id, token=token, seconds=seconds)

    try:
        async with renewing(renew, lease_seconds=seconds):
            processed = upload
            if processed.state is State.COMPLETING:
                processed = await assemble(gateway, processed, claimed)
            if not processed.is_final:
                processed = await validate(gateway, processed)
            return processed
    except BaseException:
        with suppress(GatewayError):
            await asyncio.shield(gateway.uploads.renew_lease(upload.id, token=token, seconds=0))
        raise
