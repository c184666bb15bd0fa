"""Turn the chosen parts into an object: completing → validating."""

from __future__ import annotations

import logging
from dataclasses import replace

from gateway.context import Gateway
from gateway.database import transitions, uploads
from gateway.database.transitions import Transition
from gateway.domain.errors import LeaseLost, PartsMismatch
from gateway.domain.parts import StoredPart
from gateway.domain.upload import Rejection, State, Upload
from gateway.storage.confirm_absent import require_absent
from gateway.storage.errors import (
    EntityTooSmall,
    InvalidPart,
    InvalidPartOrder,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
    StoreError,
)
from gateway.storage.models import Assembled, CompletedPart, ObjectHead, lasting

logger = logging.getLogger(__name__)


async def assemble(gateway: Gateway, upload: Upload) -> Upload:
    """Complete the multipart upload with the parts that were claimed; any number of runs gives one object.

    Raises PartsMismatch and StoreError after moving the upload back to uploading, and Unavailable with nothing moved.
    """
    assembly = await uploads.find_assembly(gateway.database, upload.id)
    limit = upload.size_limit(gateway.policy.max_file_size)
    if sum(part.size_bytes for part in assembly or ()) > limit:
        return await _reject(gateway, upload, "file_too_large", f"The parts are together larger than {limit} bytes.")
    if upload.on_disk:
        # What was received is one file already, and was safe on the disk before it was claimed.
        return await _move(gateway, upload, Transition(State.COMPLETING, State.VALIDATING))
    try:
        made = await _object_of(gateway, upload, assembly)
    except (InvalidPart, InvalidPartOrder, EntityTooSmall) as exc:
        await _reopen(gateway, upload)
        raise PartsMismatch("The store no longer holds a part as it was listed. Send it again and complete.") from exc
    except StoreError as exc:
        # A refusal does not pass by itself, and nobody can abort what completes. What a refused try did all the same
        # is found by the next one, or removed with the upload when it ends.
        logger.warning(
            "the store refused to assemble an upload; it is open again",
            extra={"upload_id": str(upload.id), "code": exc.code, "error": str(exc)},
        )
        await _reopen(gateway, upload)
        raise
    if made is None:
        lost = "The store no longer holds the parts of this upload. Upload the file again."
        return await _reject(gateway, upload, "parts_lost", lost)
    change = Transition(
        State.COMPLETING, State.VALIDATING, observed_etag=made.etag, observed_version_id=made.version_id
    )
    return await _move(gateway, upload, change)


async def _object_of(gateway: Gateway, upload: Upload, assembly: list[StoredPart] | None) -> Assembled | None:
    """Return what names the object, or None when there are neither parts nor an object made of them before."""
    try:
        return await _complete(gateway, upload, assembly)
    except (NoSuchUpload, PreconditionFailed):
        return await _made_earlier(gateway, upload)


async def _complete(gateway: Gateway, upload: Upload, assembly: list[StoredPart] | None) -> Assembled:
    if assembly is None or upload.multipart_upload_id is None:
        raise NoSuchUpload
    with_checksums = upload.part_checksums is not None
    parts = [
        CompletedPart(part.part_number, part.etag, part.checksum_sha256 if with_checksums else None)
        for part in assembly
    ]
    # Nobody else writes to this key. Where the file was first at a key that clients wrote to, the store is to hold it.
    return await gateway.store.complete_multipart_upload(
        upload.object_key, upload.multipart_upload_id, parts, if_none_match=upload.is_post_upload
    )


async def _made_earlier(gateway: Gateway, upload: Upload) -> Assembled | None:
    """Tell a completion whose answer was lost from parts that are gone.

    The store knows no such multipart upload in both cases; an object with our upload_id in its metadata is the first.
    """
    try:
        head = await gateway.store.head_object(upload.object_key)
    except NoSuchKey:
        await require_absent(gateway.store, upload.object_key)
        return None
    return Assembled(head.etag, lasting(head.version_id)) if _is_ours(upload, head) else None


async def _reject(gateway: Gateway, upload: Upload, code: str, detail: str) -> Upload:
    rejection = Rejection(code, detail)
    data = {"code": code, "detail": detail}
    change = Transition(State.COMPLETING, State.REJECTED, rejection=rejection, cleanup_pending=True, data=data)
    return await _move(gateway, upload, change)


def _is_ours(upload: Upload, head: ObjectHead) -> bool:
    return head.metadata.get("upload-id") == str(upload.id)


async def _reopen(gateway: Gateway, upload: Upload) -> None:
    await _move(gateway, upload, Transition(State.COMPLETING, State.UPLOADING))


async def _move(gateway: Gateway, upload: Upload, change: Transition) -> Upload:
    keep = upload.lease_token if change.to_state is State.VALIDATING else None
    fenced = replace(change, fence=upload.lease_token, lease_token=keep, lease_seconds=gateway.policy.lease_seconds)
    async with gateway.database.connection() as connection:
        moved = await transitions.apply(connection, upload.id, fenced)
    if moved is None:
        raise LeaseLost
    return moved
