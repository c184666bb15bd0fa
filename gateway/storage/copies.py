"""Copy inside the store, without the bytes passing the gateway."""

from __future__ import annotations

from gateway.storage.s3 import S3Store, _required
from gateway.storage.sigv4 import encode_path
from gateway.storage.transport import Call

COPY_SECONDS = 120.0
"""Longest wait for one copy. MinIO was seen to copy 1 GiB in 4.6 s on a small machine; a slice is smaller."""


async def upload_part_copy(
    store: S3Store,
    key: str,
    multipart_upload_id: str,
    part_number: int,
    *,
    source_key: str,
    source_if_match: str,
    start: int,
    length: int,
) -> str:
    """Copy a range of one exact content of another object of the bucket into a part, and return the part's etag.

    Raises PreconditionFailed when the source's etag is not *source_if_match* any more, NoSuchKey and NoSuchUpload.
    """
    headers = {
        "x-amz-copy-source": f"/{store._config.bucket}/{encode_path(source_key)}",
        "x-amz-copy-source-if-match": f'"{source_if_match}"',
        "x-amz-copy-source-range": f"bytes={start}-{start + length - 1}",
    }
    pairs = [("partNumber", str(part_number)), ("uploadId", multipart_upload_id)]
    call = Call("UploadPartCopy", "PUT", key, pairs, headers, timeout_seconds=COPY_SECONDS, xml=True)
    answer = await store._transport.call(call)
    return _required(answer, call.operation, "ETag").strip('"')
