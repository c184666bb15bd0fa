"""Check downloaded bytes against the digests that the store keeps of the parts of a file."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.client.models import StoredPart

Checked = Literal["sha256", "md5", "size"]

_MD5 = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(slots=True)
class PartDigests:
    """Check the bytes of a file, part by part, as they come; `end` is where the last correct part ended."""

    parts: Sequence[StoredPart]
    end: int = 0
    _hash: Any = None
    _index: int = 0
    _pending: int = 0

    @property
    def kind(self) -> Checked:
        """Return the digest that the store keeps of every part."""
        if self.parts and all(part.checksum_sha256 for part in self.parts):
            return "sha256"
        if self.parts and all(_MD5.fullmatch(part.etag) for part in self.parts):
            return "md5"
        return "size"

    def add(self, data: bytes) -> bool:
        """Add bytes; return False when a part that they end has another digest than the store's."""
        view = memoryview(data)
        while view and self.kind != "size" and self._index < len(self.parts):
            if self._hash is None:
                self._hash = hashlib.sha256() if self.kind == "sha256" else hashlib.md5(usedforsecurity=False)
            part = self.parts[self._index]
            piece = view[: part.size_bytes - self._pending]
            self._hash.update(piece)
            self._pending += len(piece)
            view = view[len(piece) :]
            if self._pending == part.size_bytes and not self._end_part(part):
                return False
        if self.kind == "size":
            self.end += len(data)
        return True

    def restart(self) -> None:
        """Drop the part that is under way: it is fetched again from `end`."""
        self._hash, self._pending = None, 0

    def _end_part(self, part: StoredPart) -> bool:
        digest = b64encode(self._hash.digest()).decode() if self.kind == "sha256" else self._hash.hexdigest()
        expected = part.checksum_sha256 if self.kind == "sha256" else part.etag.lower()
        self.restart()
        if digest != expected:
            return False
        self._index += 1
        self.end += part.size_bytes
        return True
