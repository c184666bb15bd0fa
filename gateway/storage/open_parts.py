"""Sign parts whose size nobody told: for clients whose protocol leaves it out."""

from __future__ import annotations

from gateway.storage.presign import MAX_PART_NUMBER, Presigner, SignedRequest


def open_part_url(
    presigner: Presigner, key: str, multipart_upload_id: str, part_number: int, expires_in_seconds: int
) -> SignedRequest:
    """Sign one UploadPart of any size: the store takes up to 5 GiB, so the caller must measure what came.

    Raises ValueError for a part number outside 1 to 10,000.
    """
    if not 1 <= part_number <= MAX_PART_NUMBER:
        raise ValueError("a part number is 1 to 10,000")
    pairs = [("partNumber", str(part_number)), ("uploadId", multipart_upload_id)]
    return presigner._presign("PUT", key, pairs, {}, expires_in_seconds)
