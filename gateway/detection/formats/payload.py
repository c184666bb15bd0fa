"""Look at what a box or chunk that players skip, or only play, begins with."""

from __future__ import annotations

from gateway.detection.beginnings import strong_beginning
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Refused, broken, text

# So much of the sound or pictures is looked at, and must hold together where the format lets it: what an encoder writes
# about itself into its first frame is under a kilobyte.
SPAN = 4096
# Fewer bytes than this may look like anything.
_LEAST = 32
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


def is_text(sample: bytes) -> bool:
    """Say whether the bytes are text: nearly all ASCII, or all UTF-8.

    Quiet sound may stay among the printable bytes too, but then far from blanks and line ends: it has few values.
    """
    # Headers, and what an encoder says about itself, stand in the first half. A character may be cut at either end.
    text = sample[len(sample) // 2 :].lstrip(_INSIDE)
    if len(text) < _LEAST or len(set(text)) < 10 or not any(byte in text for byte in b" \n\t"):
        return False
    # LAME fills silence with U, Microsoft's encoder with N.
    if 2 * max(text.count(byte) for byte in set(text) - set(b" \t")) > len(text):
        return False
    if 16 * len(text.translate(None, _PRINTABLE)) <= len(text):
        return True
    if len(text.translate(None, _CONTROLS)) < len(text):
        return False
    try:
        text.decode()
    except UnicodeDecodeError as exc:
        return exc.start >= len(text) - 3
    return True
