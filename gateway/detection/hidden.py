"""Refuse media that is at the same time something another program would open.

The check covers the places where such programs look (the first kilobytes, the end) and every byte that was read for
another reason. Text in a known tag field is no attack, except for code that a web server runs wherever it stands.
docs/security.md names the places that are not read.
"""

from __future__ import annotations

import re

from gateway.detection import zip_end
from gateway.detection.beginnings import strong_beginning
from gateway.detection.formats.payload import is_text
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Refused, Structure

# Readers of PDF accept the header anywhere in the first 1,024 bytes (PDF Reference 1.7, appendix H, note 13).
_PDF_WINDOW = 1024
_PDF = b"%PDF-"
_SERVER_CODE = "code that a web server runs"
# Each pattern begins with one literal byte, so that the search jumps from one such byte to the next: a literal of
# several bytes is searched five times slower. Media holds them by chance once in many million files.
_SIGNATURES: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"%(?=PDF-[12]\.\d)"), "a PDF document"),
    (
        re.compile(rb"P(?=K\x03\x04[\n-?]\x00[\x00-\xff]{2}[\x00\x08\x09\x0c\x0e\x5d-\x63]\x00)"),
        "a ZIP archive",
    ),
    (re.compile(rb"R(?=ar!\x1a\x07[\x00\x01])"), "a RAR archive"),
    (re.compile(rb"7(?=z\xbc\xaf'\x1c\x00)"), "a 7-Zip archive"),
    # The checksum of the header, the kind of entry and the linked name stand before the mark (POSIX pax).
    (
        re.compile(rb"u(?=star[\x00 ][0 ][0 \x00])(?<=[0-7]{6}[\x00 ]{2}[0-7LKxg\x00][\x00-\x7f]{100}u)"),
        "a tar archive",
    ),
    (re.compile(rb"C(?=D001\x01\x00)"), "a disc image (ISO 9660)"),
    (re.compile(rb"\x7f(?=ELF[\x01\x02][\x01\x02]\x01)"), "a Linux program"),
    (re.compile(rb"\xcf(?=\xfa\xed\xfe[\x07\x0c\x12]\x00\x00[\x00\x01])"), "a macOS program"),
    (re.compile(rb"\xca(?=\xfe\xba\xbe\x00\x00\x00[\x02-\x04\x2d-\x50])"), "a Java or macOS program"),
    # A web server runs these wherever they stand in a file that it takes for a script: PHP, JSP, ASP.
    (re.compile(rb"_(?=_halt_compiler\s*\(\s*\))", re.IGNORECASE), _SERVER_CODE),
    (
        re.compile(
            rb"<(?=\?php\s|\?=[\x20-\x7e\s]{6}|%(?:[@!=]|\s)[\x20-\x7e\s]{12}|%[a-z]{3}[\x20-\x7e\s]{12}(?<!UUU))",
            re.IGNORECASE,
        ),
        _SERVER_CODE,
    ),
)
# Text that a browser or a shell runs, or that leads FFmpeg and players to other files or hosts. In a tag it is text.
_TEXTS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (
        re.compile(
            rb"<(?:script[\s>/]|html[\s>/]|!doctype\s+(?:html|svg)|(?:svg|body)[\s>/][\x20-\x7e\s]{4}|iframe[\s>/]"
            rb"|(?:object|embed)\s[\x20-\x7e\s]{8}|hta:[a-z]{4})",
            re.IGNORECASE,
        ),
        "a web page or a script",
    ),
    (
        re.compile(rb"#(?:EXTM3U[\s\x00]|!/(?:bin|usr/bin|usr/local/bin)/\w)"),
        "a shell script or a playlist",
    ),
    (re.compile(rb"f(?=fconcat version \d)"), "a list of other files (ffconcat)"),
    (re.compile(rb"\n(?=c=IN IP[46] )"), "a session description (SDP), which opens network addresses"),
)
# Attributes that run a script, and how far before them their tag may begin.
_ATTRIBUTES = (
    re.compile(rb"o(?=n(?:error|load|click|focus|toggle|start|begin|mouseover)\s{0,4}=)", re.IGNORECASE),
    re.compile(rb"j(?=avascript:[\x20-\x7e]{4})", re.IGNORECASE),
)
_TAG_BYTES = 256
_TAG = re.compile(rb"<[a-z]{1,16}[\s/]", re.IGNORECASE)
MAX_ATTRIBUTES = 16
_PE = re.compile(rb"P(?=E\x00\x00)")
# The four bytes of a PE header turn up by chance; each of them costs a search for what leads to it.
MAX_PE = 8
# A trailer of unknown bytes shorter than this is left by taggers and recorders and is no file of its own.
_SMALL_TRAILER = 64


def refuse(source: Source, structure: Structure, head: bytes, tail: bytes) -> Look[None]:
    """Raise Refused when another format begins in the head, follows the end or ends with the file."""
    if _PDF in head[: _PDF_WINDOW + len(_PDF)]:
        raise _hidden("a PDF document", "its first kilobyte", structure)
    if (yield from zip_end.opens(source, tail)):
        raise _hidden("a ZIP archive", "its end", structure)
    yield from _after_the_end(source, structure)
    for offset, window in source.windows():
        _refuse_binary(window, structure)
        for pattern, what in _TEXTS:
            for match in pattern.finditer(window):
                if not source.is_tag(offset + match.start()):
                    raise _hidden(what, "its data", structure)
        if _holds_attribute(source, offset, window):
            raise _hidden("a web page or a script", "its data", structure)


def _holds_attribute(source: Source, offset: int, window: bytes) -> bool:
    """Find an attribute that runs a script in a tag of markup."""
    for pattern in _ATTRIBUTES:
        for number, match in enumerate(pattern.finditer(window)):
            if number == MAX_ATTRIBUTES:
                break
            before = window[max(0, match.start() - _TAG_BYTES) : match.start()]
            if _TAG.match(before, max(0, before.rfind(b"<"))) and not source.is_tag(offset + match.start()):
                return True
    return False


def _after_the_end(source: Source, structure: Structure) -> Look[None]:
    """Check the bytes after the end that the format states."""
    end = structure.end_bytes
    if end is None or end >= source.size:
        return
    after = (yield from source.at(end, 512)).lstrip(b"\x00")
    if what := strong_beginning(after):
        raise _hidden(what, "the bytes after its end", structure)
    if len(after) > _SMALL_TRAILER and is_text(after):
        raise _hidden("text", "the bytes after its end", structure)


def _refuse_binary(window: bytes, structure: Structure) -> None:
    if _holds_windows_program(window):
        raise _hidden("a Windows program", "its data", structure)
    for pattern, what in _SIGNATURES:
        if pattern.search(window):
            raise _hidden(what, "its data", structure)


def _holds_windows_program(window: bytes) -> bool:
    """Find a PE header to which the offset in an MZ header before it leads (Microsoft PE format)."""
    for number, match in enumerate(_PE.finditer(window)):
        if number == MAX_PE:
            return False
        at = match.start()
        start = window.rfind(b"MZ", 0, at)
        for _ in range(MAX_PE):
            if start < 0:
                break
            if int.from_bytes(window[start + 60 : start + 64], "little") == at - start:
                return True
            start = window.rfind(b"MZ", 0, start)
    return False


def _hidden(what: str, where: str, structure: Structure) -> Refused:
    detail = (
        f"The file plays as {structure.container}, but it also holds {what} in {where}. Export the recording again."
    )
    return Refused("hidden", detail, structure.container)
