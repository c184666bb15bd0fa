"""List the parts of an upload as the store holds them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from gateway.context import Gateway
from gateway.domain.errors import Gone, PartsMismatch, TooLarge, WrongState
from gateway.domain.parts import S3_MIN_PART_SIZE, StoredPart
from gateway.domain.principal import Principal
from gateway.domain.upload import State, Upload
from gateway.storage.errors import NoSuchUpload
from gateway.uploads.access import load
from gateway.uploads.complete import complete


async def list_parts(gateway: Gateway, principal: Principal, upload_id: UUID) -> Sequence[StoredPart]:
    """Return every part, the newest of each number, in order; once completed, the parts that were assembled.

    A client that lost the answer to complete lists before it tries again, so the answer must outlive the parts.
    Raises NotFound, Gone once expired, WrongState once aborted, TooLarge when the parts are more than is accepted,
    Unavailable.
    """
    upload = await load(gateway, principal, upload_id)
    if upload.state is State.EXPIRED:
        raise Gone(state=upload.state.value)
    if upload.state is State.ABORTED:
        raise WrongState("The upload was aborted.", state=upload.state.value)
    if upload.on_disk:
        raise WrongState("The gateway keeps this file on its own disk; it has no parts.", state=upload.state.value)
    if upload.state is State.UPLOADING:
        try:
            return await measure(gateway, principal, upload)
        except NoSuchUpload:
            pass
    return await gateway.uploads.find_assembly(upload.id) or []


async def measure(gateway: Gateway, principal: Principal, upload: Upload) -> Sequence[StoredPart]:
    """Return the parts the store holds; reject the upload and raise TooLarge when they are more than is accepted."""
    assert upload.multipart_upload_id is not None, "only what is open is measured"
    stored = await gateway.store.list_parts(upload.object_key, upload.multipart_upload_id)
    limit = upload.size_limit(gateway.policy.max_file_size)
    if sum(part.size_bytes for part in stored) > limit:
        # Completing finds the same sum and rejects, under the lease that outlives this process.
        await complete(gateway, principal, upload.id)
        raise TooLarge(f"The file is larger than {limit} bytes.", max_size_bytes=limit)
    return stored


async def check_room(gateway: Gateway, principal: Principal, upload: Upload, part_numbers: Sequence[int]) -> None:
    """Raise TooLarge when one of the parts does not fit, by the stored bytes and by its number.

    Every part but the last has 5 MiB or more, so a number says how much must come before it.
    """
    limit = upload.size_limit(gateway.policy.max_file_size)
    highest = max(part_numbers, default=1)
    if highest == 1:
        return
    try:
        await measure(gateway, principal, upload)
    except NoSuchUpload:
        raise PartsMismatch("The store no longer holds the parts of this upload.") from None
    if (highest - 1) * S3_MIN_PART_SIZE >= limit:
        raise TooLarge(f"Part {highest} lies past the limit of {limit} bytes.", max_size_bytes=limit)
