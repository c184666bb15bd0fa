"""Refuse media that is at the same time something another program would open.

Looked at are the places where such programs look (the first kilobyte, the end) and every byte that was read anyway.
What stands elsewhere in a well-formed file is not seen: docs/security.md names it.
"""

from __future__ import annotations

import re

from gateway.detection import zip_end
from gateway.detection.beginnings import strong_beginning
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Refused, Structure

# Readers of PDF accept the header anywhere in the first 1,024 bytes (PDF Reference 1.7, appendix H, note 13).
_PDF_WINDOW = 1024
_PDF = b"%PDF-"
_MARKUP = re.compile(rb"<(?:script[\s>/]|html[\s>]|!doctype\s+html|\?php|svg\s)", re.IGNORECASE)
# Long enough that media holds them by chance once in many million files.
_SIGNATURES: tuple[tuple[bytes, re.Pattern[bytes], str], ...] = (
    (b"%PDF-", re.compile(rb"%PDF-[12]\.\d"), "a PDF document"),
    (
        b"PK\x03\x04",
        re.compile(rb"PK\x03\x04[\n-?]\x00[\x00-\xff]{2}[\x00\x08\x09\x0c\x0e\x5d-\x63]\x00"),
        "a ZIP archive",
    ),
    (b"Rar!", re.compile(rb"Rar!\x1a\x07[\x00\x01]"), "a RAR archive"),
    (b"7z\xbc\xaf", re.compile(rb"7z\xbc\xaf'\x1c\x00"), "a 7-Zip archive"),
    (b"\x7fELF", re.compile(rb"\x7fELF[\x01\x02][\x01\x02]\x01"), "a Linux program"),
    (b"#!/", re.compile(rb"#!/(?:bin|usr/bin|usr/local/bin)/\w"), "a shell script"),
)


def refuse(source: Source, structure: Structure, head: bytes, tail: bytes) -> Look[None]:
    """Raise Refused when another format begins in the head, follows the end or ends with the file."""
    if _PDF in head[: _PDF_WINDOW + len(_PDF)]:
        raise _hidden("a PDF document", "its first kilobyte", structure)
    if (yield from zip_end.opens(source, tail)):
        raise _hidden("a ZIP archive", "its end", structure)
    end = structure.end_bytes
    if end is not None and end < source.size:
        behind = yield from source.at(end, 512)
        if what := strong_beginning(behind.lstrip(b"\x00")):
            raise _hidden(what, "what follows its end", structure)
    for window in source.windows():
        if _MARKUP.search(window):
            raise _hidden("a web page or a script", "its data", structure)
        if _holds_windows_program(window):
            raise _hidden("a Windows program", "its data", structure)
        for literal, pattern, what in _SIGNATURES:
            if literal in window and pattern.search(window):
                raise _hidden(what, "its data", structure)


def _holds_windows_program(window: bytes) -> bool:
    """Find a PE header to which the offset in an MZ header before it leads (Microsoft PE format)."""
    at = window.find(b"PE\x00\x00")
    for _ in range(8):
        if at < 0:
            return False
        start = window.rfind(b"MZ", 0, at)
        for _ in range(8):
            if start < 0:
                break
            if int.from_bytes(window[start + 60 : start + 64], "little") == at - start:
                return True
            start = window.rfind(b"MZ", 0, start)
        at = window.find(b"PE\x00\x00", at + 4)
    return False


def _hidden(what: str, where: str, structure: Structure) -> Refused:
    detail = f"The file plays as {structure.container}, but carries {what} in {where}."
    return Refused("hidden", detail, structure.container)
