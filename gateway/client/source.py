"""Read the bytes of an upload from a file or a file object, from many threads, and notice when they change."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from gateway.client.errors import FileChanged, SourceError

# Small enough that a stop is noticed at once and memory stays flat, large enough that Python costs little per byte:
# at 1 MiB a core sends about 2 GiB a second over loopback.
CHUNK_SIZE = 1024 * 1024

StrPath = str | os.PathLike[str]


class Source:
    """Serve ranges of one file; every method may be called from any thread."""

    def __init__(self, file: BinaryIO, filename: str, path: Path | None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._owned = path is not None
        self.filename = filename
        self.path = path
        self.size_bytes = file.seek(0, os.SEEK_END)
        self._mark = self._stat()

    @classmethod
    def open(cls, source: StrPath | BinaryIO, filename: str | None) -> Source:
        """Open a path or take a seekable binary file object; raise SourceError where that is impossible."""
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            try:
                return cls(path.open("rb", buffering=0), filename or path.name, path)
            except OSError as exc:
                raise SourceError(f"{path.name}: {exc.strerror or type(exc).__name__}") from exc
        name = filename or getattr(source, "name", None)
        if not isinstance(name, str):
            raise SourceError("a file object without a name needs `filename`")
        try:
            return cls(source, Path(name).name, None)
        except (OSError, ValueError) as exc:
            raise SourceError("the file object cannot seek; parts are sent at once and again, so it must") from exc

    def close(self) -> None:
        """Close the file if this opened it."""
        if self._owned:
            self._file.close()

    @property
    def fingerprint(self) -> tuple[int, ...]:
        """Return what tells this content from another without reading it: size, mtime, inode, device."""
        return (self.size_bytes, *self._mark)

    def check_unchanged(self) -> None:
        """Raise FileChanged when size or modification time are no longer those of the start."""
        if self._stat() != self._mark:
            raise FileChanged

    def chunks(self, offset: int, size_bytes: int, check: Callable[[], None]) -> Iterator[bytes]:
        """Yield *size_bytes* bytes from *offset*, calling *check* before each chunk; a short file is FileChanged."""
        left = size_bytes
        while left:
            check()
            data = self._read(offset + size_bytes - left, min(CHUNK_SIZE, left))
            if not data:
                raise FileChanged
            left -= len(data)
            yield data

    def sha256(self, offset: int, size_bytes: int, check: Callable[[], None]) -> str:
        """Return the base64 SHA-256 of a range."""
        digest = hashlib.sha256()
        for data in self.chunks(offset, size_bytes, check):
            digest.update(data)
        return base64.b64encode(digest.digest()).decode()

    def md5(self, offset: int, size_bytes: int, check: Callable[[], None]) -> str:
        """Return the hex MD5 of a range: what most stores use as a part's etag."""
        digest = hashlib.md5(usedforsecurity=False)
        for data in self.chunks(offset, size_bytes, check):
            digest.update(data)
        return digest.hexdigest()

    def _read(self, offset: int, size_bytes: int) -> bytes:
        try:
            if self._owned and hasattr(os, "pread"):
                return os.pread(self._file.fileno(), size_bytes, offset)
            with self._lock:
                self._file.seek(offset)
                return self._file.read(size_bytes)
        except OSError as exc:
            raise SourceError(f"{self.filename}: {exc.strerror or type(exc).__name__}") from exc

    def _stat(self) -> tuple[int, ...]:
        try:
            stat = os.fstat(self._file.fileno())
        except (OSError, AttributeError):
            # No file behind it (BytesIO): its size is all there is to watch, and reads notice that.
            return ()
        return (stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_dev)
