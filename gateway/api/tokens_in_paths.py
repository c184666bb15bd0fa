"""Find an upload token in a path: for uploaders that can send no header of their own."""

from __future__ import annotations

PREFIX = "/uppy/"


def token_in_path(path: str) -> str | None:
    """Return the token of `/uppy/{token}/…`, or None for another path."""
    if not path.startswith(PREFIX):
        return None
    token, slash, _ = path.removeprefix(PREFIX).partition("/")
    return token if slash and "." in token else None
