"""Prove PDF (ISO 32000) and ZIP (PKWARE APPNOTE 6.3.10) for policies that take documents or archives."""

from __future__ import annotations

from gateway.detection.source import Source
from gateway.detection.verdict import Kind, Look, Structure, broken, truncated

# Readers look for %%EOF in the last 1,024 bytes (PDF Reference 1.7, appendix H, note 18).
_PDF_TAIL = 1024
_ZIP_END = b"PK\x05\x06"
_ZIP_TAIL = 4096
KINDS: dict[bytes, Kind] = {b"%PDF-": "document", b"PK\x03\x04": "archive", _ZIP_END: "archive"}


def kind_of(head: bytes) -> Kind | None:
    """Return the kind that these first bytes claim."""
    return next((kind for magic, kind in KINDS.items() if head.startswith(magic)), None)


def look(source: Source) -> Look[Structure]:
    """Check that the end of the file belongs to its beginning."""
    head = yield from source.at(0, 30)
    return (yield from _pdf(source, head) if head.startswith(b"%PDF-") else _zip(source))


def _pdf(source: Source, head: bytes) -> Look[Structure]:
    if not (head[5:6] in (b"1", b"2") and head[6:7] == b"." and head[7:8].isdigit()):
        raise broken("The version is missing", "pdf")
    tail = yield from source.at(max(0, source.size - _PDF_TAIL), _PDF_TAIL)
    if b"startxref" not in tail or b"%%EOF" not in tail:
        raise truncated("the document", "pdf")
    return Structure("pdf", "pdf", "application/pdf", "document")


def _zip(source: Source) -> Look[Structure]:
    """Find the end record, whose directory must stand right before it."""
    tail = yield from source.at(max(0, source.size - _ZIP_TAIL), _ZIP_TAIL)
    at = tail.rfind(_ZIP_END)
    record = tail[at : at + 22]
    if at < 0 or len(record) < 22:
        raise truncated("the archive: its directory is missing", "zip")
    size, offset = int.from_bytes(record[12:16], "little"), int.from_bytes(record[16:20], "little")
    directory = source.size - len(tail) + at - size
    # ZIP64 says FFFFFFFF here and has its own record before this one.
    if 0xFFFFFFFF not in (size, offset) and offset != directory:
        raise broken("The directory is not where the archive says", "zip")
    if size:
        entry = yield from source.at(max(directory, 0), 4)
        if 0xFFFFFFFF not in (size, offset) and entry != b"PK\x01\x02":
            raise broken("The directory is malformed", "zip")
    return Structure("zip", "zip", "application/zip", "archive")
