"""Name every reason for which a file is rejected."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RejectionCode(StrEnum):
    """Name one reason. Clients switch on the code, so it never changes."""

    EMPTY = "empty"
    FILE_TOO_LARGE = "file_too_large"
    WRONG_SIZE = "wrong_size"
    TYPE_NOT_RECOGNISED = "type_not_recognised"
    EXTENSION_MISMATCH = "extension_mismatch"
    CONTENT_TYPE_MISMATCH = "content_type_mismatch"
    MALWARE_FOUND = "malware_found"
    NOT_SCANNED = "not_scanned"
    NOT_CHECKED = "not_checked"
    OBJECT_CHANGED = "object_changed"
    OBJECT_MISSING = "object_missing"
    PARTS_LOST = "parts_lost"

    @property
    def meaning(self) -> str:
        """Return the sentence that the API's documents say of this code."""
        return _MEANINGS[self]


_MEANINGS = {
    RejectionCode.EMPTY: "The file has no bytes.",
    RejectionCode.FILE_TOO_LARGE: "The file is larger than the gateway's or the token's limit.",
    RejectionCode.WRONG_SIZE: "The file does not have the declared size.",
    RejectionCode.TYPE_NOT_RECOGNISED: "The content is not a kind of file that is accepted.",
    RejectionCode.EXTENSION_MISMATCH: "The content is of another type than the extension.",
    RejectionCode.CONTENT_TYPE_MISMATCH: "The content is of another type than the declared one.",
    RejectionCode.MALWARE_FOUND: "The virus scanner found malware.",
    RejectionCode.NOT_SCANNED: "The virus scanner could not scan the file.",
    RejectionCode.NOT_CHECKED: "Every attempt to check the file failed.",
    RejectionCode.OBJECT_CHANGED: "The object changed while it was checked.",
    RejectionCode.OBJECT_MISSING: "The store lost the object before it was checked.",
    RejectionCode.PARTS_LOST: "The store lost the parts before they were assembled.",
}


@dataclass(frozen=True, slots=True)
class Rejection:
    """Say why a file was rejected: a stable code and a sentence for a person."""

    code: str
    """A RejectionCode. A row may hold the code of a later release."""
    detail: str
