"""Copy what a browser form brought to where no form and no URL of a client's can write."""

from __future__ import annotations

from typing import Literal

from gateway.database import uploads
from gateway.database.uploads import Move
from gateway.domain.errors import PartsMismatch
from gateway.domain.upload import Rejection, State, Upload
from gateway.storage.copies import upload_part_copy
from gateway.storage.errors import NoSuchKey, NoSuchUpload, PreconditionFailed
from gateway.storage.models import ObjectHead
from gateway.uploads.gateway import Gateway

SLICE_BYTES = 256 * 1024**2
"""Bytes of one copy: its answer comes within seconds, and 5 GiB are 20 of them."""

EMPTY = Rejection("empty", "The file is empty.")


async def bring_in(gateway: Gateway, upload: Upload) -> int | Literal["absent", "refused"]:
    """Copy the form's file into the parts of its upload, unless its size alone refuses it; return how many they are.

    Run it at will. An earlier run may have left more parts, of a larger file that was sent before.

    Every slice is pinned to one content. Two processes at once may mix two contents when the form is sent again in
    between; the mixture is then what is checked, and nothing is given out that was not. Raises PartsMismatch when the
    file was replaced meanwhile.
    """
    assert upload.form_key is not None
    assert upload.multipart_upload_id is not None
    try:
        head = await gateway.store.head_object(upload.form_key)
    except NoSuchKey:
        return "absent"
    if head.size_bytes == 0:
        await _reject(gateway, upload, EMPTY)
        return "refused"
    limit = upload.size_limit(gateway.policy.max_file_size)
    if head.size_bytes > limit:
        # The form allows no more; a store that does not hold it to that must not make us copy.
        await _reject(gateway, upload, Rejection("file_too_large", f"The file is larger than {limit} bytes."))
        return "refused"
    try:
        await _copy(gateway, upload, upload.form_key, upload.multipart_upload_id, head)
    except PreconditionFailed:
        raise PartsMismatch("The file was sent again while it was looked at.") from None
    except NoSuchKey:
        return "absent"
    except NoSuchUpload:
        # Completed or ended by another process; the claim that follows tells which.
        pass
    return -(-head.size_bytes // SLICE_BYTES)


async def _copy(gateway: Gateway, upload: Upload, source: str, multipart_upload_id: str, head: ObjectHead) -> None:
    for number, start in enumerate(range(0, head.size_bytes, SLICE_BYTES), 1):
        await upload_part_copy(
            gateway.store,
            upload.object_key,
            multipart_upload_id,
            number,
            source_key=source,
            source_if_match=head.etag,
            start=start,
            length=min(SLICE_BYTES, head.size_bytes - start),
        )


async def _reject(gateway: Gateway, upload: Upload, rejection: Rejection) -> None:
    """Refuse what needs no look into it; the sweeper removes what is left of it."""
    data = {"code": rejection.code, "detail": rejection.detail}
    change = Move(State.UPLOADING, State.REJECTED, rejection=rejection, cleanup_pending=True, data=data)
    async with gateway.database.connection() as connection:
        await uploads.move(connection, upload.id, change)
