"""Remember unfinished uploads between processes: one small file each, holding an id and nothing that opens a door."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from gateway.client.errors import AlreadyUploading

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# The gateway forgets an unfinished upload after a day by default; a week covers every sensible setting.
_FORGET_AFTER_SECONDS = 7 * 86_400
_MAX_NOTE_BYTES = 4096
_MAX_PRUNED = 1000


def default_folder() -> Path:
    """Return the folder for state of this user: XDG_STATE_HOME, LOCALAPPDATA or the platform's own place."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "upload-gateway" / "uploads"


def note_name(*identity: Any) -> str:
    """Return the name of the note for this identity (file, gateway, key, options): a digest that tells nothing."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()


class Note:
    """Hold what is needed to go on with one upload; without a file behind it, it forgets with the process."""

    def __init__(self, file: BinaryIO | None = None, path: Path | None = None) -> None:
        self._file = file
        self._path = path
        self.upload_id: str | None = None
        self.idempotency_key = str(uuid.uuid4())
        if file is not None:
            self._load(file)

    @property
    def is_kept(self) -> bool:
        """Tell whether another process can go on with this upload."""
        return self._file is not None

    def keep(self, upload_id: str | None) -> None:
        """Write the note; before create there is no id, and the Idempotency-Key alone finds the upload again."""
        self.upload_id = upload_id
        if self._file is None:
            return
        body = {"upload_id": upload_id, "idempotency_key": self.idempotency_key}
        # In place, not by rename: the lock is on this very file. A torn note reads as none.
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps(body).encode())

    def renew(self) -> None:
        """Forget the upload and the Idempotency-Key, so that the next create makes a new upload."""
        self.idempotency_key = str(uuid.uuid4())
        self.keep(None)

    def forget(self) -> None:
        """Remove the note."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _load(self, file: BinaryIO) -> None:
        try:
            body = json.loads(file.read(_MAX_NOTE_BYTES))
            upload_id, key = body["upload_id"], body["idempotency_key"]
        except (ValueError, KeyError, TypeError):
            return
        if isinstance(key, str) and (upload_id is None or isinstance(upload_id, str)):
            self.upload_id, self.idempotency_key = upload_id, key


@contextlib.contextmanager
def open_note(folder: Path, name: str) -> Iterator[Note]:
    """Open and lock the note *name*; a folder that cannot be written gives one that forgets.

    Raises AlreadyUploading while another process, or another thread, holds it.
    """
    path = folder / f"{name}.json"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _prune(folder)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        yield Note()
        return
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        if not _lock(file):
            raise AlreadyUploading
        yield Note(file, path)


def _prune(folder: Path) -> None:
    """Remove notes no gateway can still know."""
    oldest = time.time() - _FORGET_AFTER_SECONDS
    for path, _ in zip(folder.glob("*.json"), range(_MAX_PRUNED), strict=False):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _lock(file: BinaryIO) -> bool:
    """Take the file's lock without waiting; it goes with the process, however that ends."""
    try:
        if sys.platform == "win32":
            # A byte past every note: on Windows a locked byte cannot be read, and this one never is.
            file.seek(1 << 30)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            file.seek(0)
        else:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
