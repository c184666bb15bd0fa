"""Make object keys and upload ids. No client text reaches either of them, except a checked extension."""

from __future__ import annotations

import os
import secrets
import time
from uuid import UUID

KEY_SECRET_BYTES = 16
"""Random bytes in each object key. 128 bits cannot be guessed, so knowing an upload id reveals no object."""


def new_upload_id() -> UUID:
    """Make a UUID version 7 (RFC 9562): 48 bits of milliseconds, then 74 random bits. Rows then sort by age."""
    milliseconds = time.time_ns() // 1_000_000
    value = int.from_bytes(milliseconds.to_bytes(6, "big") + os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def new_object_key(prefix: str, upload_id: UUID, extension: str) -> str:
    """Make `{prefix}/{upload_id}-{32 random hex digits}.{extension}`.

    A store may let the holder of one URL name another object (MinIO and an unsigned `x-amz-copy-source`). Upload ids
    appear in logs, events and addresses, so the key adds a separate secret. The key has no `//` and no trailing `/`,
    and no segment is longer than 255 bytes (MinIO's limit).
    """
    name = f"{upload_id}-{secrets.token_hex(KEY_SECRET_BYTES)}.{extension}"
    return f"{prefix.strip('/')}/{name}" if prefix.strip("/") else name


def new_post_key(prefix: str, upload_id: UUID, extension: str) -> str:
    """Make the key that a POST upload writes to. No client URL may write to the upload's own object key."""
    return new_object_key(f"{prefix}/forms", upload_id, extension)
