"""End an upload of which the store holds more than it may: signed URLs can be sent again and again."""

from __future__ import annotations

import logging

from gateway.context import Gateway
from gateway.domain.parts import S3_MIN_PART_SIZE
from gateway.domain.principal import Principal
from gateway.domain.transition import Transition
from gateway.domain.upload import State, Upload
from gateway.storage.errors import NoSuchUpload
from gateway.uploads.clean_up import clean_up
from gateway.uploads.complete import complete

logger = logging.getLogger(__name__)

COPIES = 2
"""Some stores keep a part that is sent again beside its first copy. Every part may be sent twice."""


async def end_oversized(gateway: Gateway, upload: Upload) -> bool:
    """Reject or abort an open upload that exceeds its limit in the store; return whether it was."""
    if upload.multipart_upload_id is None:
        return False
    try:
        newest, total = await gateway.store.held_bytes(upload.object_key, upload.multipart_upload_id)
    except NoSuchUpload:
        return False
    limit = upload.declared_size_bytes or upload.size_limit(gateway.policy.max_file_size)
    if newest > upload.size_limit(gateway.policy.max_file_size):
        # Completing finds the same sum and rejects the upload, under a lease that outlives this process.
        await complete(gateway, Principal(upload.tenant_id, "gateway"), upload.id)
        return True
    if newest <= limit + S3_MIN_PART_SIZE and total <= COPIES * limit + S3_MIN_PART_SIZE:
        return False
    data = {"code": "too_much_sent", "detail": f"The store was sent {total} bytes for a file of at most {limit}."}
    change = Transition(from_state=State.UPLOADING, to_state=State.ABORTED, cleanup_pending=True, data=data)
    aborted = await gateway.uploads.apply(upload.id, change)
    if aborted is None:
        return False
    logger.warning("an upload was aborted: far more than its size was sent", extra={"upload_id": str(upload.id)})
    await clean_up(gateway, aborted)
    return True
