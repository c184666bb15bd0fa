"""Write the synchronous client from the asynchronous one: `make sync-client`.

Both clients have the same methods, arguments and texts. Only the words that make Python code asynchronous differ, so
that the synchronous text is made by replacing them. A test fails when the files are not those that this makes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parents[1] / "gateway" / "client"
# Written by hand on both sides: they do the I/O.
BY_HAND = {"__init__.py", "driver.py"}
NOTICE = "# Generated from gateway/client/aio by `make sync-client`: change that file.\n"
REPLACEMENTS = (
    (r".*# async only\n", ""),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAbstractAsyncContextManager\b", "AbstractContextManager"),
    (r" \| AsyncIterable\[bytes\]", ""),
    (r"\bAsyncIterable, ", ""),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b__a(enter|exit|iter)__", r"__\1__"),
    (r"\ba(close|read|iter_bytes|iter_raw)\b", r"\1"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\bgateway\.client\.aio\b", "gateway.client.sync"),
    (r", an iterator or an async iterator of bytes", " or an iterator of bytes"),
    (r"in the calling thread or event loop", "in the calling thread"),
)


def sync_text(text: str) -> str:
    """Return the synchronous text for an asynchronous module."""
    for pattern, replacement in REPLACEMENTS:
        text = re.sub(pattern, replacement, text)
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--quiet", "--fix-only", "--select", "I"], ["format", "--quiet"]):
        done = subprocess.run(
            [*ruff, *command, "--stdin-filename", str(CLIENT / "sync" / "client.py"), "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        )
        text = done.stdout
    return NOTICE + text


def modules() -> list[Path]:
    """Return the modules that the synchronous client is made of."""
    return sorted(path for path in (CLIENT / "aio").glob("*.py") if path.name not in BY_HAND)


if __name__ == "__main__":
    for path in modules():
        (CLIENT / "sync" / path.name).write_text(sync_text(path.read_text()))
