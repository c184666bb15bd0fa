"""Say whether a program that reads ZIPs would open a file: PKWARE APPNOTE 6.3.10. JAR, APK and Office files are ZIPs.

A ZIP is read from its end, and bytes before and after it do not matter: Python's zipfile, Info-ZIP, Java, Go
and others look for the record that ends the directory in the last 64 KiB, and few of them reject bytes after it.
"""

from __future__ import annotations

from gateway.detection.source import Source
from gateway.detection.verdict import Look

_END, _ENTRY = b"PK\x05\x06", b"PK\x01\x02"
# ZIP64 has an additional record before the one that ends the directory, and this locator between the two (4.3.15).
_LOCATOR, _LOCATOR_BYTES = b"PK\x06\x07", 20
_END_BYTES = 22
# The four bytes stand in the tail of one file in 65,536 by chance, twice in one of eight thousand million: more than
# this many are decoys, each of which would cost a read.
MAX_RECORDS = 4


def opens(source: Source, tail: bytes) -> Look[bool]:
    """Find a record in the tail that ends the file, or to which an entry of a directory belongs."""
    at = tail.rfind(_END)
    for _ in range(MAX_RECORDS):
        if at < 0:
            return False
        if (yield from _is_record(source, tail, at)):
            return True
        at = tail.rfind(_END, 0, at)
    return at >= 0


def _is_record(source: Source, tail: bytes, at: int) -> Look[bool]:
    record = tail[at : at + _END_BYTES]
    if len(record) < _END_BYTES:
        return False
    if at + _END_BYTES + int.from_bytes(record[20:22], "little") == len(tail):
        return True
    position = source.size - len(tail) + at
    if (yield from _stands(source, _LOCATOR, position - _LOCATOR_BYTES)):
        return True
    size, offset = int.from_bytes(record[12:16], "little"), int.from_bytes(record[16:20], "little")
    # Most readers assume that the directory ends where the record begins; others trust the offset.
    return (yield from _stands(source, _ENTRY, position - size)) or (yield from _stands(source, _ENTRY, offset))


def _stands(source: Source, magic: bytes, position: int) -> Look[bool]:
    return 0 <= position < source.size and (yield from source.at(position, len(magic))) == magic
