"""Refuse media that is at the same time something another program would open."""

from __future__ import annotations

import re

from gateway.detection.beginnings import strong_beginning
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Refused, Structure

# Readers of PDF accept the header anywhere in the first 1,024 bytes (PDF Reference 1.7, appendix H, note 13).
_PDF_WINDOW = 1024
_PDF = b"%PDF-"
# The end of a ZIP is found from the end of the file: 22 bytes and a comment that must fill the rest exactly
# (PKWARE APPNOTE 4.3.16). JAR, APK and Office files are ZIPs.
_ZIP_END = b"PK\x05\x06"
_ACTIVE = re.compile(rb"<(?:script[\s>/]|html[\s>]|!doctype\s+html|\?php|iframe\s|svg\s)", re.IGNORECASE)


def refuse(source: Source, structure: Structure, head: bytes, tail: bytes) -> Look[None]:
    """Raise Refused when another format begins in the head, follows the end or ends with the file."""
    if _PDF in head[: _PDF_WINDOW + len(_PDF)]:
        raise _hidden("a PDF document", "its first kilobyte", structure)
    if _ends_as_zip(tail):
        raise _hidden("a ZIP archive", "its end", structure)
    end = structure.end_bytes
    if end is not None and end < source.size:
        behind = yield from source.at(end, 512)
        if what := strong_beginning(behind.lstrip(b"\x00")):
            raise _hidden(what, "behind its end", structure)
    for window in source.windows():
        if _ACTIVE.search(window):
            raise _hidden("a web page or a script", "its data", structure)


def _ends_as_zip(tail: bytes) -> bool:
    at = tail.rfind(_ZIP_END)
    while at >= 0:
        if at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail):
            return True
        at = tail.rfind(_ZIP_END, 0, at)
    return False


def _hidden(what: str, where: str, structure: Structure) -> Refused:
    return Refused(
        "hidden", f"The file plays as {structure.container}, but carries {what} in {where}.", structure.container
    )
