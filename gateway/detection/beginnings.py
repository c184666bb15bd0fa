"""Refuse files that a browser, a shell or a loader would run, by their first bytes."""

from __future__ import annotations

import re

from gateway.detection.verdict import Refused

# Enough for the white space that the WHATWG MIME Sniffing standard, section 7.1, lets a browser skip.
LOOKED_AT = 1024
_BLANK = b"\t\n\x0b\x0c\r "
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")

_PAGE = "a web page or another markup document"
_SCRIPT = "a script"
_PROGRAM = "a program"
ARCHIVE = "an archive"
_PLAYLIST = "a playlist, which points at media but holds none"
DOCUMENT = "a document"

# Exact beginnings: (bytes, name). Text ones are compared in lower case after white space and a BOM.
_BINARY = (
    (b"\x7fELF", _PROGRAM),
    (b"\xca\xfe\xba\xbe", _PROGRAM),  # Java class, Mach-O fat
    (b"\xfe\xed\xfa\xce", _PROGRAM),
    (b"\xfe\xed\xfa\xcf", _PROGRAM),
    (b"\xce\xfa\xed\xfe", _PROGRAM),
    (b"\xcf\xfa\xed\xfe", _PROGRAM),
    (b"\x00asm", _PROGRAM),  # WebAssembly
    (b"dex\n", _PROGRAM),
    (b"!<arch>\n", ARCHIVE),
    (b"PK\x03\x04", ARCHIVE),
    (b"PK\x05\x06", ARCHIVE),
    (b"PK\x07\x08", ARCHIVE),
    (b"Rar!\x1a\x07", ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", ARCHIVE),
    (b"\x1f\x8b\x08", ARCHIVE),
    (b"BZh", ARCHIVE),
    (b"\xfd7zXZ\x00", ARCHIVE),
    (b"\x28\xb5\x2f\xfd", ARCHIVE),
    (b"MSCF", ARCHIVE),
    (b"\x04\x22\x4d\x18", ARCHIVE),  # LZ4
    (b"hsqs", ARCHIVE),  # SquashFS
    (b"xar!", ARCHIVE),
    (b"070701", ARCHIVE),  # cpio
    (b"\xed\xab\xee\xdb", ARCHIVE),  # RPM
    (b"SQLite format 3\x00", "a database"),
    (b"%PDF-", DOCUMENT),
    (b"%!PS", DOCUMENT),
    (b"{\\rtf", DOCUMENT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", DOCUMENT),  # OLE2: old Office, MSI
    (b"ITSF\x03\x00\x00\x00", DOCUMENT),  # compiled HTML help
    (b"L\x00\x00\x00\x01\x14\x02\x00", _PROGRAM),  # Windows shortcut
    (b"FWS", "a Flash film"),
    (b"CWS", "a Flash film"),
    (b"ZWS", "a Flash film"),
)
_TEXT = (
    (b"#!", _SCRIPT),
    (b"<?php", _SCRIPT),
    (b"@echo", _SCRIPT),
    (b"/*", _SCRIPT),
    (b"//", _SCRIPT),
    (b"#extm3u", _PLAYLIST),
    (b"[playlist]", _PLAYLIST),
    (b"[reference]", _PLAYLIST),
    (b"<", _PAGE),
    (b"%pdf-", DOCUMENT),
)
# XML alone is no page: recorders keep iXML, Adobe's programs XMP and Apple's property lists in their files.
_ACTIVE = re.compile(rb"(<\?xml[^>]*>\s*)?<(!doctype\s+(html|svg)|html[\s>]|script[\s>/]|svg[\s>])")
# Not scripts although they begin like one: RFC 4867, section 5.
_AMR = re.compile(rb"#!AMR(-WB)?(_MC1\.0)?\n")
_MARKUP = re.compile(rb"<[a-zA-Z!?/]")
# gzip (RFC 1952) with a flag byte that has no reserved bits, bzip2 with its first block, LHA with its method.
_PACKED = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]|BZh[1-9]1AY&SY|[\x00-\xff]{2}-l[hz][0-7ds]-")
# Tags by which a browser recognises a page: WHATWG MIME Sniffing, section 7.1, and SVG. Needed behind NULs, where an
# ISO media file whose first box has 60 bytes reads "<ftyp".
_TAG = re.compile(
    rb"<(!doctype|!-|\?xml|\?php|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|svg)[\s>/:-]",
    re.IGNORECASE,
)


def beginning(head: bytes) -> str | None:
    """Name what these first bytes begin like when it is something that runs, unpacks or points elsewhere."""
    for prefix, what in _BINARY:
        if head.startswith(prefix):
            return what
    if _is_dos_program(head):
        return _PROGRAM
    if _AMR.match(head):
        return None
    text = _plain(head[:LOOKED_AT])
    lowered = text[:16].lower()
    for prefix, what in _TEXT:
        if lowered.startswith(prefix) and (prefix != b"<" or _MARKUP.match(text)):
            return what
    return _PAGE if _TAG.match(text.lstrip(_BLANK + b"\x00")) else None


def strong_beginning(data: bytes) -> str | None:
    """Like `beginning`, but only by signatures of four bytes or more: for places where media bytes may stand.

    Two bytes such as MZ or #! turn up by chance once in 65,536 places.
    """
    for prefix, what in _BINARY:
        if len(prefix) >= 4 and data.startswith(prefix):
            return what
    if _is_windows_program(data):
        return _PROGRAM
    if _PACKED.match(data) or _is_tar(data):
        return ARCHIVE
    lowered = _plain(data[:512]).lower()
    if _ACTIVE.match(lowered):
        return _PAGE
    return _SCRIPT if lowered.startswith((b"<?php", b"#!/")) else None


def refuse_beginning(head: bytes) -> None:
    """Raise Refused when the bytes begin like something that runs, unpacks or points elsewhere."""
    if what := beginning(head):
        raise Refused("beginning", f"The file begins like {what}, not like audio or video.")


def _plain(head: bytes) -> bytes:
    """Drop BOM, UTF-16 zeros and leading white space."""
    for bom in _BOMS:
        head = head.removeprefix(bom)
    # ASCII in UTF-16 has a zero in every second byte, with or without a BOM.
    if len(head) >= 8 and (not any(head[0:8:2]) or not any(head[1:8:2])):
        head = head.replace(b"\x00", b"")
    return head.lstrip(_BLANK)


def _is_tar(data: bytes) -> bool:
    """Check the mark of a tar header (POSIX pax), which stands at byte 257."""
    return data[257:262] == b"ustar"


def _is_dos_program(head: bytes) -> bool:
    return head[:2] in (b"MZ", b"ZM")


def _is_windows_program(data: bytes) -> bool:
    """MZ whose offset at 60 leads to a PE, NE or LE header (Microsoft PE format, "MS-DOS Stub")."""
    if data[:2] != b"MZ" or len(data) < 64:
        return False
    offset = int.from_bytes(data[60:64], "little")
    return data[offset : offset + 4] == b"PE\x00\x00" or data[offset : offset + 2] in (b"NE", b"LE")
