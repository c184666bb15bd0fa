"""Look at what a box or chunk that players skip, or only play, begins with."""

from __future__ import annotations

from gateway.detection.beginnings import strong_beginning
from gateway.detection.source import Source
from gateway.detection.verdict import Look, Refused, text


def refuse_hidden(source: Source, name: bytes, body: int, container: str, *, skip: int = 0) -> Look[None]:
    """Raise Refused when the payload at `body`, or `skip` bytes into it, begins like something that runs or unpacks."""
    payload = yield from source.at(body, 64 + skip)
    what = strong_beginning(payload) or (strong_beginning(payload[skip:]) if skip else None)
    if what:
        raise Refused("hidden", f"The file carries {what} in its {text(name)} part.", container)
