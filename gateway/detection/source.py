"""Read a file by ranges within a budget: bytes, a local file, or anything with `size_bytes` and `read`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from gateway.detection.verdict import Look, Refused

KIB = 1024
# Limits of one verdict, for every file; two reads are usual.
MAX_READS = 24
MAX_BYTES = 256 * KIB
# One answer of a store carries this at nearly the cost of one byte.
READ_AHEAD = 4 * KIB
# An ISO 9660 image has its first descriptor at byte 32,768 (ECMA-119, 6.2.1): one read shows whether the file is one.
HEAD = 34 * KIB
MAX_READ = 66 * KIB
# The last bytes of a file show its last frames, its tags and a ZIP directory. A ZIP comment may have 65,535 bytes
# (PKWARE APPNOTE 4.3.16); Python searches 65,558 bytes, Info-ZIP 66,000. A read that begins in the tail takes all of
# it: a movie header at the end and the tail are one read.
TAIL = MAX_READ


class RangeReader(Protocol):
    """Anything that can be read by ranges, such as one pinned version of an object in a store."""

    @property
    def size_bytes(self) -> int:
        """Size of the whole object, bytes."""
        ...

    async def read(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer at the end."""
        ...


class BytesReader:
    """Read from bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size_bytes = len(data)

    async def read(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer at the end."""
        return self.data[start : start + length]


class FileReader:
    """Read from a local file, off the event loop; an async context manager."""

    def __init__(self, path: Path | str) -> None:
        # Closed by `close`, which `async with` calls.
        self._file: BinaryIO = Path(path).open("rb")  # noqa: SIM115 - the reader owns it
        self.size_bytes = os.fstat(self._file.fileno()).st_size

    def read_now(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer at the end, blocking."""
        self._file.seek(start)
        return self._file.read(length)

    async def read(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer at the end."""
        return await asyncio.to_thread(self.read_now, start, length)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


class Source:
    """Hold the bytes already read from one file and ask for more, without doing any I/O.

    Offsets and sizes come from the file and are not trusted: every request is cut to the file and to the budget.
    All offsets count from `base`, where the format begins: after an ID3 tag or other known bytes in front of it.
    """

    __slots__ = ("_windows", "base", "bytes_read", "reads", "tags", "total")

    def __init__(self, size: int) -> None:
        self.total = size
        self.base = 0
        self.reads = 0
        self.bytes_read = 0
        self.tags: list[tuple[int, int]] = []
        self._windows: list[tuple[int, bytes]] = []

    @property
    def size(self) -> int:
        """Size from the base to the end, bytes."""
        return self.total - self.base

    def rebase(self, position: int) -> None:
        """Let all offsets count from here: the format begins after a tag or padding."""
        self.base += position

    def mark_tag(self, start: int, end: int) -> None:
        """Note a range that holds the text of tags: a script in a title is text, and no program runs it."""
        if start < end:
            self.tags.append((self.base + start, self.base + end))

    def cached(self, start: int, length: int) -> bytes | None:
        """Return the bytes if they were read already, None if not."""
        start += self.base
        end = min(start + length, self.total)
        if start >= end:
            return b""
        for offset, data in self._windows:
            if offset <= start and end <= offset + len(data):
                return data[start - offset : end - offset]
        return None

    def at(self, start: int, length: int, ahead: int = READ_AHEAD) -> Look[bytes]:
        """Give `length` bytes from `start`, fewer at the end of the file.

        Raises Refused("budget") when the file has cost all that a file may cost.
        """
        length = min(length, MAX_READ)
        found = self.cached(start, length)
        if found is not None:
            return found
        start += self.base
        first, wanted = self._widen(start, max(length, ahead))
        wanted = min(wanted, MAX_BYTES - self.bytes_read)
        if self.reads >= MAX_READS or first + wanted < min(start + length, self.total):
            raise Refused("budget", "The file is laid out so that its type cannot be proven from a few kilobytes.")
        data = (yield first, wanted)[:wanted]
        self.reads += 1
        self.bytes_read += len(data)
        self._keep(first, data)
        return data[start - first : start - first + length]

    def _widen(self, start: int, length: int) -> tuple[int, int]:
        """Return start and length of the read that serves these bytes, the whole tail where they begin in it."""
        if start and self.total - start <= TAIL:
            start = min(start, self._tail_start())
            return start, self.total - start
        return start, min(length, self.total - start)

    def tail(self) -> Look[bytes]:
        """Give the last TAIL bytes of the file, or everything after the base."""
        start = max(0, self.size - TAIL)
        unread = max(self._tail_start() - self.base, start)
        rest = yield from self.at(unread, self.size - unread)
        whole = self.cached(start, self.size - start)
        return rest if whole is None else whole

    def _tail_start(self) -> int:
        """Return the absolute offset at which the part of the tail begins that was not read with the head."""
        head = next((len(data) for offset, data in self._windows if offset == 0), 0)
        return max(head, self.total - TAIL)

    def _keep(self, first: int, data: bytes) -> None:
        """Join two reads that touch: nothing may hide across the seam between them."""
        for number, (offset, before) in enumerate(self._windows):
            if offset + len(before) == first:
                self._windows[number] = (offset, before + data)
                return
        self._windows.append((first, data))

    def can_read(self, length: int) -> bool:
        """Say whether the budget holds one more read of this length and the tail."""
        return self.reads + 3 < MAX_READS and self.bytes_read + length + TAIL <= MAX_BYTES

    def windows(self) -> tuple[tuple[int, bytes], ...]:
        """Return all bytes read: the offset in the file and the bytes of each range."""
        return tuple(self._windows)

    def is_tag(self, position: int) -> bool:
        """Say whether this offset in the file is in a tag."""
        return any(start <= position < end for start, end in self.tags)
