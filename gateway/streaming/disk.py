"""Keep uploads on the gateway's own disk, named by their upload_id only.

A file is `{upload_id}.tmp` while it is received and checked, and `{upload_id}.{extension}` after it was accepted:
other programs may read every file without `.tmp`.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.domain.errors import DiskFull, Unavailable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PIECE = 1024 * 1024


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn a failed write into DiskFull or Unavailable; a file that is not there stays FileNotFoundError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as exc:
        if exc.errno in _FULL:
            raise DiskFull from exc
        raise Unavailable("The gateway's disk does not take the file.") from exc


def temporary(path: Path) -> Path:
    """Return the name of a file that is not accepted yet."""
    return path.with_suffix(".tmp")


def create(path: Path) -> int:
    """Open a new file for writing and return its descriptor; nobody else may read it, and an old one is an error."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)


def put_in_place(path: Path) -> None:
    """Rename an accepted file to its final name. May be called again. Raises FileNotFoundError."""
    with disk_errors():
        try:
            temporary(path).rename(path)
        except FileNotFoundError:
            path.stat()
        sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file under its temporary and its final name, if it exists."""
    with disk_errors():
        for name in (temporary(path), path):
            with suppress(FileNotFoundError):
                name.unlink()


def find(path: Path) -> Path:
    """Return where the file is now; raise FileNotFoundError."""
    received = temporary(path)
    if received.exists():
        return received
    path.stat()
    return path


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with disk_errors(), path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(_PIECE):
            digest.update(piece)
        return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames in *folder* survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
