"""Map rows of the `uploads` table to `Upload` and back. A few columns keep the names of earlier releases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.domain.upload import State, Upload

COLUMNS = """id, tenant_id, state, filename, extension, declared_size_bytes, declared_content_type, part_size_bytes,
    part_checksums, checksums, metadata, bucket, object_key, multipart_upload_id, observed_size_bytes, observed_etag,
    content_type, detection, rejection_code, rejection_detail, lease_token, lease_until, created_at, updated_at,
    expires_at, token_id, max_size_bytes, form_key AS post_key, path, stream_token AS receiver_token,
    stream_until AS receiver_until, streamed_bytes AS received_bytes, observed_version_id"""
"""What `upload_of` needs. In the database a POST upload is a `form`, and a receiver a `stream`."""


def upload_of(row: Mapping[str, Any]) -> Upload:
    """Build an Upload from a row with COLUMNS."""
    values = dict(row)
    values["state"] = State(values["state"])
    values["checksums"] = tuple(values["checksums"]) if values["checksums"] is not None else None
    return Upload(**values)
