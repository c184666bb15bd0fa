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
    NOTHING_TO_PLAY = "nothing_to_play"
    NO_AUDIO = "no_audio"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
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
    RejectionCode.EXTENSION_MISMATCH: "The extension does not fit the content, and the policy is strict.",
    RejectionCode.NOTHING_TO_PLAY: "The file has a header, but none of its sound or pictures.",
    RejectionCode.NO_AUDIO: "The film has no sound, and the policy requires it.",
    RejectionCode.TOO_SHORT: "The recording lasts less than the policy requires.",
    RejectionCode.TOO_LONG: "The recording lasts longer than the policy allows.",
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
