"""Open an upload in the store, under a short lease that this process renews."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from gateway.context import Gateway
from gateway.domain.errors import IdempotencyInProgress, Unavailable
from gateway.domain.upload import Upload
from gateway.uploads.expiry import expiry_of

INTENT_LEASE_SECONDS = 6.0
"""Time after which a repeated request may take over an intent whose process died; a living process renews it."""

RENEW_SECONDS = 2.0
"""Time between two renewals."""


async def open_intent(gateway: Gateway, intent: Upload) -> Upload:
    """Open the upload in the store and record its answer.

    The upload_id is also in the object's metadata: when the store's answer to complete is lost, it identifies the
    object. Raises IdempotencyInProgress when another process took over meanwhile.
    """
    assert intent.lease_token is not None, "an intent is leased to its writer"
    async with _leased(gateway, intent.id, intent.lease_token):
        multipart_upload_id, retried = (None, False) if intent.on_disk else await _open_in_store(gateway, intent)
        opened = await gateway.uploads.open_upload(
            intent.id,
            multipart_upload_id=multipart_upload_id,
            fence=intent.lease_token,
            expires_at=expiry_of(gateway, intent),
            # The try whose answer was lost may have opened another multipart upload, or will in a moment.
            orphans_possible=retried,
        )
    if opened is None:
        raise IdempotencyInProgress
    return opened


async def _open_in_store(gateway: Gateway, upload: Upload) -> tuple[str, bool]:
    return await gateway.store.open_multipart_upload(
        upload.object_key,
        content_type=upload.content_type or "application/octet-stream",
        metadata={"upload-id": str(upload.id)},
        checksum_algorithm="SHA256" if upload.part_checksums else None,
    )


@asynccontextmanager
async def _leased(gateway: Gateway, upload_id: UUID, token: UUID) -> AsyncIterator[None]:
    """Renew the lease while the block runs, and end it when the block fails: a repeated request then starts at once."""
    renewing = asyncio.create_task(_renew(gateway, upload_id, token))
    try:
        yield
    except BaseException:
        with suppress(Unavailable):
            await asyncio.shield(gateway.uploads.renew_lease(upload_id, token=token, seconds=0))
        raise
    finally:
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing


async def _renew(gateway: Gateway, upload_id: UUID, token: UUID) -> None:
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        with suppress(Unavailable):
            await gateway.uploads.renew_lease(upload_id, token=token, seconds=INTENT_LEASE_SECONDS)
