"""Remember unfinished uploads between processes: one small file each, with an id and no secret."""

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

# An unfinished upload expires after 7 days at the latest by default (GATEWAY_UPLOAD_MAX_SECONDS).
_FORGET_AFTER_SECONDS = 7 * 86_400
_MAX_RECORD_BYTES = 4096
_MAX_PRUNED = 1000


def default_folder() -> Path:
    """Return this user's folder for state: XDG_STATE_HOME, LOCALAPPDATA or the platform's own folder."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "upload-gateway" / "uploads"


def record_name(*identity: Any) -> str:
    """Return the name of the record for a file, gateway, key and options: a digest, which discloses none of them."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()


class ResumeRecord:
    """Hold what another process needs to resume one upload. Without a file, the record ends with this process.

    `mark` is the file's size, modification time, inode and device when the upload began: see `Source.mark`.
    """

    def __init__(self, file: BinaryIO | None = None, path: Path | None = None) -> None:
        self._file = file
        self._path = path
        self.upload_id: str | None = None
        self.idempotency_key = str(uuid.uuid4())
        self.mark: tuple[int, ...] = ()
        if file is not None:
            self._load(file)

    @property
    def is_kept(self) -> bool:
        """Tell whether another process can resume this upload."""
        return self._file is not None

    def keep(self, upload_id: str | None) -> None:
        """Write the record. Before create there is no id: the Idempotency-Key alone finds the upload again."""
        self.upload_id = upload_id
        if self._file is None:
            return
        body = {"upload_id": upload_id, "idempotency_key": self.idempotency_key, "mark": self.mark}
        # Written in place and not by rename, because the lock is on this file. A half-written record is ignored.
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps(body).encode())

    def renew(self) -> None:
        """Drop the upload and the Idempotency-Key: the next create makes a new upload."""
        self.idempotency_key = str(uuid.uuid4())
        self.keep(None)

    def forget(self) -> None:
        """Remove the record."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _load(self, file: BinaryIO) -> None:
        try:
            body = json.loads(file.read(_MAX_RECORD_BYTES))
            upload_id, key = body["upload_id"], body["idempotency_key"]
            mark = tuple(int(number) for number in body.get("mark", ()))
        except (ValueError, KeyError, TypeError):
            return
        if isinstance(key, str) and (upload_id is None or isinstance(upload_id, str)):
            self.upload_id, self.idempotency_key, self.mark = upload_id, key, mark


@contextlib.contextmanager
def open_record(folder: Path, name: str) -> Iterator[ResumeRecord]:
    """Open and lock the record *name*; where the folder cannot be written, return a record without a file.

    Raises AlreadyUploading while another process, or another thread, holds it.
    """
    path = folder / f"{name}.json"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _prune(folder)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        yield ResumeRecord()
        return
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        if not lock_file(file):
            raise AlreadyUploading
        yield ResumeRecord(file, path)


def _prune(folder: Path) -> None:
    """Remove records of uploads that no gateway can still have."""
    oldest = time.time() - _FORGET_AFTER_SECONDS
    for path, _ in zip(folder.glob("*.json"), range(_MAX_PRUNED), strict=False):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def lock_file(file: BinaryIO) -> bool:
    """Take the file's lock without waiting. The system releases it when the process ends, also after a crash."""
    try:
        if sys.platform == "win32":
            # A byte past the end of every record: on Windows a locked byte cannot be read.
            file.seek(1 << 30)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            file.seek(0)
        else:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
