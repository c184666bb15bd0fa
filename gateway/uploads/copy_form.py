"""Copy what a browser form brought to where no form and no URL of a client's can write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4

from gateway.context import Gateway
from gateway.database import receiving, transitions, uploads
from gateway.database.transitions import Transition
from gateway.domain.errors import GatewayError, PartsMismatch, Unavailable, WrongState
from gateway.domain.upload import Rejection, State, Upload
from gateway.storage.errors import NoSuchKey, NoSuchUpload, PreconditionFailed
from gateway.storage.models import ObjectHead

COPY_PART_BYTES = 256 * 1024**2
"""Bytes of one copy: its answer comes within seconds, and 5 GiB are 20 of them."""

EMPTY = Rejection("empty", "The file is empty.")


class CopyClaim:
    """The right to copy one form, which one process has at a time, and how far it is."""

    def __init__(self, gateway: Gateway, upload_id: UUID) -> None:
        self.token = uuid4()
        self.copied_bytes = 0
        self._gateway = gateway
        self._upload_id = upload_id

    async def claim(self) -> bool:
        """Become the one that copies; False when another one does, or the upload is not open."""
        seconds = self._gateway.policy.lease_seconds
        return await receiving.claim(
            self._gateway.database, self._upload_id, token=self.token, seconds=seconds, ends_with_request=False
        )

    async def save_progress(self) -> bool:
        """Give a sign of life and notify watchers how far it is; False when the copy is another's by now."""
        return await receiving.save_progress(
            self._gateway.database,
            self._upload_id,
            token=self.token,
            seconds=self._gateway.policy.lease_seconds,
            received_bytes=self.copied_bytes,
            ends_with_request=False,
            notify_watchers=True,
        )

    async def heartbeat(self) -> None:
        """Give signs of life until the copy is another's."""
        while True:
            await asyncio.sleep(self._gateway.policy.lease_seconds / 4)
            with suppress(Unavailable):
                if not await self.save_progress():
                    return


async def find_posted_file(gateway: Gateway, upload: Upload) -> ObjectHead | None:
    """Return what the form brought, or None after its size alone refused it; raise PartsMismatch before it came."""
    assert upload.post_key is not None
    try:
        head = await gateway.store.head_object(upload.post_key)
    except NoSuchKey:
        raise PartsMismatch("The form of this upload has not been sent yet.") from None
    if head.size_bytes == 0:
        await _reject(gateway, upload, EMPTY)
        return None
    limit = upload.size_limit(gateway.policy.max_file_size)
    if head.size_bytes > limit:
        # The form allows no more; a store that does not hold it to that must not make us copy.
        await _reject(gateway, upload, Rejection("file_too_large", f"The file is larger than {limit} bytes."))
        return None
    return head


@asynccontextmanager
async def claim_copy(gateway: Gateway, upload: Upload) -> AsyncIterator[CopyClaim | None]:
    """Be the only one that copies this form and completes it, until the block ends; None when it is not open any more.

    A copy is as large as the file, and as many might ask for it at once as there are watchers. A holder that gives no
    sign of life for a lease is taken over. Raises WrongState while another one copies it.
    """
    copy = CopyClaim(gateway, upload.id)
    if not await copy.claim():
        now = await uploads.find_unscoped(gateway.database, upload.id)
        if now is None or now.state is not State.UPLOADING:
            yield None
            return
        raise WrongState("The form of this upload is being copied already.", state=now.state.value)
    heart = asyncio.create_task(copy.heartbeat())
    try:
        yield copy
    finally:
        heart.cancel()
        with suppress(asyncio.CancelledError):
            await heart
        with suppress(GatewayError):
            await asyncio.shield(receiving.release(gateway.database, upload.id, token=copy.token))


async def copy_form(gateway: Gateway, upload: Upload, head: ObjectHead, copy: CopyClaim) -> int:
    """Copy the form's file into the parts of its upload and return how many they are.

    Run it at will. An earlier run may have left more parts, of a larger file that was sent before.

    Every slice is pinned to one content. A holder that was taken over may mix two contents when the form is sent again
    in between; the mixture is then what is checked, and nothing is given out that was not. Raises PartsMismatch when
    the file was replaced meanwhile, and WrongState once another process copies it.
    """
    assert upload.post_key is not None
    assert upload.multipart_upload_id is not None
    try:
        for number, start in enumerate(range(0, head.size_bytes, COPY_PART_BYTES), 1):
            length = min(COPY_PART_BYTES, head.size_bytes - start)
            await gateway.store.upload_part_copy(
                upload.object_key,
                upload.multipart_upload_id,
                number,
                source_key=upload.post_key,
                source_if_match=head.etag,
                start=start,
                length=length,
            )
            copy.copied_bytes += length
            with suppress(Unavailable):
                if not await copy.save_progress():
                    raise WrongState("The form of this upload is being copied elsewhere.", state=upload.state.value)
    except PreconditionFailed:
        raise PartsMismatch("The file was sent again while it was looked at.") from None
    except NoSuchKey:
        raise PartsMismatch("The form of this upload has not been sent yet.") from None
    except NoSuchUpload:
        # Completed or ended by another process; the claim that follows tells which.
        pass
    return -(-head.size_bytes // COPY_PART_BYTES)


async def _reject(gateway: Gateway, upload: Upload, rejection: Rejection) -> None:
    """Refuse what needs no look into it; the sweeper removes what is left of it."""
    data = {"code": rejection.code, "detail": rejection.detail}
    change = Transition(State.UPLOADING, State.REJECTED, rejection=rejection, cleanup_pending=True, data=data)
    async with gateway.database.connection() as connection:
        await transitions.apply(connection, upload.id, change)
