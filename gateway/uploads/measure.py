"""Measure what came of an upload whose parts are cut by the client, while it comes."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.errors import PartsMismatch, TooLarge
from gateway.domain.parts import S3_MIN_PART_SIZE
from gateway.domain.principal import Principal
from gateway.domain.upload import Upload
from gateway.storage.errors import NoSuchUpload
from gateway.storage.models import StoredPart
from gateway.uploads.complete import complete
from gateway.uploads.gateway import Gateway


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
    """Raise TooLarge when there is no room for one of the parts, by what the store holds and by the number itself.

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
