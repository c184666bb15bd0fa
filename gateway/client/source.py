"""Read the bytes of an upload from a file, a file object or memory, from many threads, and notice changes."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from gateway.client.errors import FileChanged, SourceError

# Small enough to notice a stop at once and to keep memory flat, large enough to cost Python little per byte:
# at 1 MiB a core sends about 2 GiB a second over loopback.
CHUNK_SIZE = 1024 * 1024
# Python's stand-in for a byte of a file name that is not UTF-8.
_SURROGATE = re.compile("[\ud800-\udfff]")

StrPath = str | os.PathLike[str]
Bytes = bytes | bytearray | memoryview
Readable = StrPath | Bytes | BinaryIO | Iterable[bytes]


def plain_name(name: StrPath) -> str:
    """Return a file name as text that JSON can carry: bytes of the name that are not UTF-8 become U+FFFD."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", os.fspath(name))


def explain(exc: OSError) -> str:
    """Return the reason of an operating system error without the path that it names."""
    return exc.strerror or type(exc).__name__


class Source:
    """Read ranges of one file; every method may be called from any thread.

    A file object is read from its current position to its end.
    """

    def __init__(self, file: BinaryIO, filename: str, path: Path | None, *, owned: bool) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._owned = owned
        self.filename = filename
        self.path = path
        self._start = 0 if owned else file.tell()
        self.size_bytes = file.seek(0, os.SEEK_END) - self._start
        self._mark = self._stat()

    @classmethod
    def open(cls, source: StrPath | Bytes | BinaryIO, filename: str | None) -> Source:
        """Open a path, or take bytes or a seekable binary file object; raise SourceError where that is impossible."""
        name = filename and plain_name(filename)
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            try:
                return cls(path.open("rb", buffering=0), name or plain_name(path.name), path, owned=True)
            except (OSError, ValueError) as exc:
                reason = explain(exc) if isinstance(exc, OSError) else str(exc)
                raise SourceError(f"{plain_name(path.name)}: {reason}", advice="Check the path.") from exc
        if isinstance(source, Bytes):
            if name is None:
                raise SourceError("bytes have no name", advice="Pass `filename`.")
            return cls(io.BytesIO(source), name, None, owned=True)
        return cls(source, name or name_of(source), None, owned=False)

    def close(self) -> None:
        """Close the file if this object opened it. A caller's file object is left at its end."""
        if self._owned:
            self._file.close()
        else:
            self._file.seek(self._start + self.size_bytes)

    def rewind(self) -> None:
        """Close the file if this object opened it. A caller's file object stands where it stood before."""
        if self._owned:
            self._file.close()
        else:
            self._file.seek(self._start)

    def changed(self) -> bool:
        """Tell whether size, modification time or identity of the file differ from those at the start."""
        return self._stat() != self._mark

    def check_size(self) -> None:
        """Raise FileChanged if the size is no longer that of the start."""
        now = self._stat()
        if now and now[0] != self._mark[0]:
            raise FileChanged(f"its size went from {self._mark[0]} to {now[0]} bytes")

    def accept_change(self) -> None:
        """Take the file's present modification time and identity as those to compare with."""
        self._mark = self._stat()

    @property
    def mark(self) -> tuple[int, ...]:
        """Return size, modification time, inode and device; empty for an object without a file."""
        return self._mark

    def chunks(self, offset: int, size_bytes: int, check: Callable[[], None]) -> Iterator[bytes]:
        """Yield *size_bytes* bytes from *offset*, calling *check* before each chunk; a short file is FileChanged."""
        left = size_bytes
        while left:
            check()
            data = self._read(self._start + offset + size_bytes - left, min(CHUNK_SIZE, left))
            if not data:
                self.check_size()
                raise FileChanged("it ended early")
            left -= len(data)
            yield data

    def read_range(self, offset: int, size_bytes: int) -> bytes:
        """Return the bytes of a range; raise FileChanged where the file ended before."""
        return b"".join(self.chunks(offset, size_bytes, lambda: None))

    def sha256(self, offset: int, size_bytes: int, check: Callable[[], None]) -> str:
        """Return the base64 SHA-256 of a range."""
        digest = hashlib.sha256()
        for data in self.chunks(offset, size_bytes, check):
            digest.update(data)
        return base64.b64encode(digest.digest()).decode()

    def md5(self, offset: int, size_bytes: int, check: Callable[[], None]) -> str:
        """Return the hex MD5 of a range: most stores use it as a part's etag."""
        digest = hashlib.md5(usedforsecurity=False)
        for data in self.chunks(offset, size_bytes, check):
            digest.update(data)
        return digest.hexdigest()

    def _read(self, offset: int, size_bytes: int) -> bytes:
        try:
            if self.path is not None and hasattr(os, "pread"):
                return os.pread(self._file.fileno(), size_bytes, offset)
            with self._lock:
                self._file.seek(offset)
                return self._file.read(size_bytes)
        except OSError as exc:
            raise SourceError(f"{self.filename}: {explain(exc)}", advice="Check the file.") from exc

    def _stat(self) -> tuple[int, ...]:
        try:
            stat = os.fstat(self._file.fileno())
        except (OSError, AttributeError):
            # Bytes in memory: a change of their size is noticed when they are read.
            return ()
        return (stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_dev)


def name_of(source: object) -> str:
    """Return the name of a file object; raise SourceError for one without a name."""
    name = getattr(source, "name", None)
    if not isinstance(name, (str, os.PathLike)):
        raise SourceError("a file object without a name cannot be declared", advice="Pass `filename`.")
    return plain_name(Path(name).name)


def is_seekable(source: object) -> bool:
    """Tell whether *source* is read by ranges (a path, bytes, a seekable file) and not as a stream.

    Raises SourceError for a file in text mode and for an object without bytes.
    """
    if isinstance(source, (str, os.PathLike)):
        return is_regular(Path(source))
    if isinstance(source, Bytes):
        return True
    if isinstance(source, io.TextIOBase):
        raise SourceError("the file is open in text mode", advice='Open it with mode "rb".')
    if not hasattr(source, "read"):
        if isinstance(source, Iterable):
            return False
        raise SourceError(
            f"{type(source).__name__} cannot be sent", advice="Pass a path, bytes, a file or an iterator."
        )
    try:
        return bool(cast("BinaryIO", source).seekable())
    except (AttributeError, ValueError):
        return False


def is_regular(path: Path) -> bool:
    """Tell whether a path can be read by ranges. A named pipe cannot; a missing file is left to fail when opened."""
    try:
        return not (path.is_fifo() or path.is_char_device() or path.is_socket())
    except (OSError, ValueError):
        return True
