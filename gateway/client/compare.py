"""Compare parts in the store with the bytes of the file."""

from __future__ import annotations

import re
from collections.abc import Callable

from gateway.client.errors import FileChanged
from gateway.client.models import StoredPart, Upload
from gateway.client.source import Source
from gateway.client.transfer import SentPart

Check = Callable[[], None]

_MD5 = re.compile(r"[0-9a-fA-F]{32}")


class PartComparison:
    """Compare parts of one upload with its file by SHA-256, or by MD5 where the store knows no SHA-256."""

    def __init__(self, source: Source, upload: Upload) -> None:
        self._source = source
        self._upload = upload

    def is_same(self, stored: StoredPart, check: Check) -> bool:
        """Tell whether a stored part has the file's bytes; False where neither SHA-256 nor MD5 is known."""
        try:
            offset, size_bytes = self._upload.range_of_part(stored.part_number)
        except ValueError:
            return False
        if stored.size_bytes != size_bytes:
            return False
        return self._agrees(offset, size_bytes, stored.etag, stored.checksum_sha256, check) is True

    def check_sent(self, part_number: int, sent: SentPart, check: Check) -> None:
        """Raise FileChanged, naming the bytes, unless the file still has the bytes of this part."""
        offset, size_bytes = self._upload.range_of_part(part_number)
        agrees = self._agrees(offset, size_bytes, sent.etag, sent.sha256, check)
        where = f"part {part_number}, bytes {offset} to {offset + size_bytes - 1}"
        if agrees is None:
            raise FileChanged(f"its modification time is new, and {where}, was sent without a checksum to compare with")
        if not agrees:
            raise FileChanged(f"{where}, is no longer what was sent")

    def _agrees(self, offset: int, size_bytes: int, etag: str | None, sha256: str | None, check: Check) -> bool | None:
        """Compare by SHA-256 or MD5; return None without either (a store that encrypts shows no MD5)."""
        if sha256 is not None:
            return self._source.sha256(offset, size_bytes, check) == sha256
        if etag is not None and _MD5.fullmatch(etag):
            return self._source.md5(offset, size_bytes, check) == etag.lower()
        return None
