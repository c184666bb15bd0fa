"""Check the bytes that players skip or decode: they must not be text, and must not begin like a program or archive."""

from __future__ import annotations

import re
from itertools import pairwise

from gateway.detection.beginnings import strong_beginning
from gateway.detection.source import MAX_READ, Source
from gateway.detection.verdict import Look, Refused, broken, text

# So much of the sound or pictures is looked at, and must hold together where the format lets it: what an encoder writes
# about itself into its first frame is under a kilobyte.
SPAN = 4096
# Fewer bytes than this may look like anything.
_LEAST = 32
# A run of ASCII as long as this, with a blank, a line end or a bracket in it, stands in random bytes once in millions.
_TEXT_RUN = re.compile(rb"[\t\n\r\x20-\x7e]{16,}")
_LINES = re.compile(rb"[\t\n\r\x20-\x7e]{24,}")
_LEAST_WORDS = 12
# LAME writes its name and a run of one letter into silent frames.
_FILLING = re.compile(rb"LAME[0-9.]*|([\x20-\x7e])\1{3,}")
_WORDS = re.compile(rb"[\s=:/;(<{]")
# Padding up to this size is read whole; of more, the middle is read. Its beginning and end are near other reads.
_WHOLE_PADDING = 96 * 1024
_MIDDLE_OF_PADDING = 32 * 1024
_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t\n\r"
_INSIDE = bytes(range(0x80, 0xC0))
_CONTROLS = bytes(byte for byte in range(0x20) if byte not in b"\t\n\r") + b"\x7f"


def refuse_hidden(source: Source, name: bytes, body: int, container: str, *, skip: int = 0) -> Look[None]:
    """Raise Refused when the payload at `body`, or `skip` bytes into it, begins like something that runs or unpacks."""
    payload = yield from source.at(body, 64 + skip)
    what = strong_beginning(payload) or (strong_beginning(payload[skip:]) if skip else None)
    if what:
        raise Refused("hidden", f"The file carries {what} in its {text(name)} part.", container)


def refuse_text(source: Source, body: int, container: str, length: int = SPAN) -> Look[None]:
    """Raise Refused when what should be sound or pictures at `body` is text: a header in front of it plays nothing."""
    if is_text((yield from source.at(body, min(length, SPAN)))):
        raise broken("What should be sound or pictures is text", container)


def refuse_lines(source: Source, start: int, end: int, container: str) -> Look[None]:
    """Raise Refused when the first sound at `start` holds lines of text: FFmpeg 4 to 7 obey some of them."""
    sample = yield from source.at(start, min(SPAN, end - start))
    if any(b"\n" in run and _is_words(run) for run in _LINES.findall(sample)):
        raise broken("The first sound holds lines of text", container)


def holds_text(gap: bytes) -> bool:
    """Say whether bytes that players skip before the first sound hold words."""
    return any(_is_words(run) for run in _TEXT_RUN.findall(gap))


def _is_words(run: bytes) -> bool:
    """Say whether printable bytes are words: an encoder's name with its filling, or a rising seek table, are not."""
    run = _FILLING.sub(b"", run)
    if len(run) < _LEAST_WORDS or len(set(run)) < 6 or not _WORDS.search(run):
        return False
    return any(one > other for one, other in pairwise(run))


def read_padding(source: Source, start: int, end: int, container: str) -> Look[None]:
    """Read padding, or its middle if it is large, and raise Refused when it is text; other checks reuse the bytes.

    Reads nothing where the budget has no room: the padding of real files is short.
    """
    end = min(end, source.size)
    if end - start > _WHOLE_PADDING:
        middle = (start + end - _MIDDLE_OF_PADDING) // 2
        start, end = middle, middle + _MIDDLE_OF_PADDING
    while start < end and source.can_read(min(end - start, MAX_READ)):
        data = yield from source.at(start, end - start, ahead=min(end - start, MAX_READ))
        if is_text(data.strip(b"\x00")):
            raise Refused("hidden", "The padding of the file holds text. Export the recording again.", container)
        start += len(data) or MAX_READ


def is_text(sample: bytes) -> bool:
    """Say whether the bytes are text: nearly all ASCII, or all UTF-8.

    Quiet sound may stay among the printable bytes too, but then far from blanks and line ends: it has few values.
    """
    # Headers, and what an encoder says about itself, stand in the first half. A character may be cut at either end.
    text = sample[len(sample) // 2 :].lstrip(_INSIDE)
    if len(text) < _LEAST or len(set(text)) < 10:
        return False
    if not any(byte in text for byte in b" \n\t"):
        return _is_dense_text(text)
    if 16 * len(text.translate(None, _PRINTABLE)) > len(text) and not _is_utf8(text):
        return False
    # LAME fills silence with U, Microsoft's encoder with N.
    return 2 * max(text.count(byte) for byte in set(text) - set(b" \t")) <= len(text)


def _is_utf8(text: bytes) -> bool:
    """Say whether the bytes are UTF-8 without control characters; the last character may be cut."""
    if len(text.translate(None, _CONTROLS)) < len(text):
        return False
    try:
        text.decode()
    except UnicodeDecodeError as exc:
        return exc.start >= len(text) - 3
    return True


def _is_dense_text(text: bytes) -> bool:
    """Recognise ASCII without blanks, such as minified JSON: its neighbours differ more than those of quiet sound."""
    if len(text) < 512 or len(set(text)) < 20 or text.translate(None, _PRINTABLE):
        return False
    sample = text[:512]
    steps = sum(abs(one - other) for one, other in pairwise(sample))
    return steps > 8 * len(sample) and any(byte in sample for byte in b'"{}[]<>;,')
