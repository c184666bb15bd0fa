"""Copy a POST upload's file to the upload's own object key, which no client can write to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4

from gateway.context import Gateway
from gateway.domain.errors import DatabaseUnavailable, GatewayError, PartsMismatch, Unavailable, WrongState
from gateway.domain.rejection import Rejection, RejectionCode
from gateway.domain.transition import rejected
from gateway.domain.upload import State, Upload
from gateway.storage.errors import NoSuchKey, NoSuchUpload, PreconditionFailed
from gateway.storage.models import ObjectHead
from gateway.uploads.heartbeat import Heartbeat

COPY_PART_BYTES = 256 * 1024**2
"""Bytes of one copied part. The store answers within seconds, and 5 GiB are 20 parts."""

_NOT_SENT = "The form of this upload has not been sent yet."


class CopyClaim:
    """The right to copy one POST upload: held by one process at a time, renewed by its heartbeat."""

    def __init__(self, gateway: Gateway, upload_id: UUID) -> None:
        self.token = uuid4()
        self.copied_bytes = 0
        self._gateway = gateway
        self._upload_id = upload_id
        self.heartbeat = Heartbeat(self._save_progress, lease_seconds=gateway.policy.lease_seconds)

    async def acquire(self) -> bool:
        """Claim the copy for this process; False if another process has it or the upload is not open."""
        seconds = self._gateway.policy.lease_seconds
        return await self._gateway.uploads.claim_receiver(self._upload_id, token=self.token, seconds=seconds)

    async def release(self) -> None:
        """Let another process copy at once."""
        await self._gateway.uploads.release_receiver(self._upload_id, token=self.token)

    async def advance(self, copied_bytes: int) -> None:
        """Record one more copied part; raise WrongState or DatabaseUnavailable when the claim has ended."""
        self.copied_bytes += copied_bytes
        with suppress(Unavailable):
            await self.heartbeat.renew_now()
        if self.heartbeat.lost:
            raise WrongState("Another process is copying the form of this upload.", state=State.UPLOADING.value)
        if self.heartbeat.overdue:
            raise DatabaseUnavailable("The claim on this copy could not be renewed.")

    async def _save_progress(self) -> bool:
        return await self._gateway.uploads.save_received(
            self._upload_id,
            token=self.token,
            seconds=self._gateway.policy.lease_seconds,
            received_bytes=self.copied_bytes,
        )


async def find_posted_file(gateway: Gateway, upload: Upload) -> ObjectHead | None:
    """Return the posted file, or None after rejecting one of a wrong size; raise PartsMismatch before it arrives."""
    assert upload.post_key is not None, "a POST upload has a key for its form"
    try:
        head = await gateway.store.head_object(upload.post_key)
    except NoSuchKey:
        raise PartsMismatch(_NOT_SENT) from None
    limit = upload.size_limit(gateway.policy.max_file_size)
    if head.size_bytes == 0:
        rejection = Rejection(RejectionCode.EMPTY, "The file is empty.")
    elif head.size_bytes > limit:
        # The form's policy allows no more, but a store might not enforce it. The gateway must not copy such a file.
        rejection = Rejection(RejectionCode.FILE_TOO_LARGE, f"The file is larger than {limit} bytes.")
    else:
        return head
    # The sweeper removes the file.
    await gateway.uploads.apply(upload.id, rejected(State.UPLOADING, rejection))
    return None


@asynccontextmanager
async def claim_copy(gateway: Gateway, upload: Upload) -> AsyncIterator[CopyClaim | None]:
    """Be the only process that copies this form and completes it, until the block ends; None when it is not open.

    A copy is as large as the file, and many calls may start it at once. Another process may take over a claim that is
    not renewed for the length of a lease. Raises WrongState while another process copies.
    """
    claim = CopyClaim(gateway, upload.id)
    if not await claim.acquire():
        current = await gateway.uploads.find_unscoped(upload.id)
        if current is None or current.state is not State.UPLOADING:
            yield None
            return
        raise WrongState("Another process is copying the form of this upload.", state=current.state.value)
    claim.heartbeat.start()
    try:
        yield claim
    finally:
        try:
            await claim.heartbeat.stop()
        finally:
            with suppress(GatewayError):
                await asyncio.shield(claim.release())


async def copy_form(gateway: Gateway, upload: Upload, posted: ObjectHead, claim: CopyClaim) -> int:
    """Copy the posted file into the parts of its upload and return the number of parts.

    May be run again: an earlier run, of a larger file, may have left more parts than this number.

    Every part is pinned to one content of the form's key. If the form is sent again while two processes copy, the parts
    may mix both contents; the mixture is then checked, and only checked bytes become ready. Raises PartsMismatch when
    the file was replaced meanwhile, WrongState once another process copies it, and DatabaseUnavailable.
    """
    assert upload.post_key is not None, "a POST upload has a key for its form"
    assert upload.multipart_upload_id is not None, "an open upload has parts"
    try:
        for part_number, start in enumerate(range(0, posted.size_bytes, COPY_PART_BYTES), 1):
            length = min(COPY_PART_BYTES, posted.size_bytes - start)
            await gateway.store.upload_part_copy(
                upload.object_key,
                upload.multipart_upload_id,
                part_number,
                source_key=upload.post_key,
                source_if_match=posted.etag,
                start=start,
                length=length,
            )
            await claim.advance(length)
    except PreconditionFailed:
        raise PartsMismatch("The form was sent again while its file was copied.") from None
    except NoSuchKey:
        raise PartsMismatch(_NOT_SENT) from None
    except NoSuchUpload:
        # Another process completed or ended the upload. The claim that follows finds out.
        pass
    return -(-posted.size_bytes // COPY_PART_BYTES)
