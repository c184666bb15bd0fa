"""Turn the claimed parts into an object. `validate` records the next state."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from gateway.context import Gateway
from gateway.domain.errors import LeaseLost, PartsMismatch
from gateway.domain.parts import StoredPart
from gateway.domain.rejection import Rejection, RejectionCode
from gateway.domain.transition import Transition, rejected
from gateway.domain.upload import State, Upload
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
from gateway.storage.models import Assembled, CompletedPart, lasting

logger = logging.getLogger(__name__)

_PARTS_LOST = Rejection(
    RejectionCode.PARTS_LOST, "The store no longer holds the parts of this upload. Upload the file again."
)


async def assemble(gateway: Gateway, upload: Upload, claimed: Sequence[StoredPart] | None = None) -> Upload:
    """Complete the multipart upload with the claimed parts. Any number of runs makes one object.

    *claimed* are the parts that this process has just claimed; without them they are read from the database. Returns
    the upload with the identity of its object, which is not recorded yet, or the rejected upload.

    Raises PartsMismatch and StoreError after the upload is open again, and Unavailable with the state unchanged.
    """
    parts = await gateway.uploads.find_assembly(upload.id) if claimed is None else list(claimed)
    limit = upload.size_limit(gateway.policy.max_file_size)
    if sum(part.size_bytes for part in parts or ()) > limit:
        detail = f"The parts are together larger than {limit} bytes."
        return await _reject(gateway, upload, Rejection(RejectionCode.FILE_TOO_LARGE, detail))
    if upload.on_disk:
        # The received file is complete, and was safe on the disk before the upload was claimed.
        return upload
    assembled = await _assemble_or_reopen(gateway, upload, parts)
    if assembled is None:
        return await _reject(gateway, upload, _PARTS_LOST)
    return replace(upload, observed_etag=assembled.etag, observed_version_id=assembled.version_id)


async def _assemble_or_reopen(gateway: Gateway, upload: Upload, parts: list[StoredPart] | None) -> Assembled | None:
    try:
        return await _assemble_once(gateway, upload, parts)
    except (InvalidPart, InvalidPartOrder, EntityTooSmall) as exc:
        await _reopen(gateway, upload)
        raise PartsMismatch("The store no longer holds a part as it was listed. Send it again and complete.") from exc
    except StoreError as exc:
        # A refusal does not pass by itself, and a client cannot abort an upload that is completing, so the upload is
        # opened again. If the store made an object after all, the next complete finds it, or clean-up removes it.
        logger.warning(
            "the store refused to assemble an upload; it is open again",
            extra={"upload_id": str(upload.id), "code": exc.code, "error": str(exc)},
        )
        await _reopen(gateway, upload)
        raise


async def _assemble_once(gateway: Gateway, upload: Upload, parts: list[StoredPart] | None) -> Assembled | None:
    """Return the object's identity, or None when the store has neither the parts nor an object made of them."""
    try:
        return await _complete_in_store(gateway, upload, parts)
    except (NoSuchUpload, PreconditionFailed):
        return await _find_assembled(gateway, upload)


async def _complete_in_store(gateway: Gateway, upload: Upload, parts: list[StoredPart] | None) -> Assembled:
    if parts is None or upload.multipart_upload_id is None:
        raise NoSuchUpload
    with_checksums = upload.part_checksums is not None
    completed = [
        CompletedPart(part.part_number, part.etag, part.checksum_sha256 if with_checksums else None) for part in parts
    ]
    # Only the gateway writes to this key. For a POST upload, whose file clients wrote to another key, the store
    # enforces that as well.
    return await gateway.store.complete_multipart_upload(
        upload.object_key, upload.multipart_upload_id, completed, if_none_match=upload.is_post_upload
    )


async def _find_assembled(gateway: Gateway, upload: Upload) -> Assembled | None:
    """Return the object of an earlier completion whose answer was lost, or None when the parts are lost.

    In both cases the store does not know the multipart upload. An object with our upload_id in its metadata proves the
    completion.
    """
    try:
        head = await gateway.store.head_object(upload.object_key)
    except NoSuchKey:
        await require_absent(gateway.store, upload.object_key)
        return None
    if head.metadata.get("upload-id") != str(upload.id):
        return None
    return Assembled(head.etag, lasting(head.version_id))


async def _reject(gateway: Gateway, upload: Upload, rejection: Rejection) -> Upload:
    return await _apply(gateway, upload, rejected(State.COMPLETING, rejection))


async def _reopen(gateway: Gateway, upload: Upload) -> None:
    await _apply(gateway, upload, Transition(State.COMPLETING, State.UPLOADING))


async def _apply(gateway: Gateway, upload: Upload, change: Transition) -> Upload:
    """Apply *change*, which ends the lease; raise LeaseLost when another process took it."""
    applied = await gateway.uploads.apply(upload.id, replace(change, fence=upload.lease_token))
    if applied is None:
        raise LeaseLost
    return applied
