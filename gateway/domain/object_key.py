"""Make object keys and upload ids; no text of a client ever reaches either, but for a checked extension."""

from __future__ import annotations

import os
import time
from uuid import UUID


def new_upload_id() -> UUID:
    """Make a UUID version 7 (RFC 9562): 48 bits of milliseconds, then 74 random bits, so that rows sort by age."""
    milliseconds = time.time_ns() // 1_000_000
    value = int.from_bytes(milliseconds.to_bytes(6, "big") + os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def form_key(prefix: str, upload_id: UUID, extension: str) -> str:
    """Return the key a browser form writes to: never the upload's own, which no URL of a client's may write to."""
    return object_key(f"{prefix}/forms", upload_id, extension)


def object_key(prefix: str, upload_id: UUID, extension: str) -> str:
    """Return `{prefix}/{upload_id}.{extension}`; no `//`, no trailing `/`, at most 255 bytes in a segment."""
    return f"{prefix.strip('/')}/{upload_id}.{extension}" if prefix.strip("/") else f"{upload_id}.{extension}"
