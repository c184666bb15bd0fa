"""Write a file of a form to disk while it arrives."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from gateway.streaming import disk
from gateway.streaming.block_writer import BlockWriter
from gateway.streaming.target import BaseTarget

MAX_QUEUED_WRITES = 2
"""Queued writes; with more the sender waits."""

MAX_PIECES = 256
"""Pieces of one write; smaller ones are joined, so that a sender of single bytes costs no more memory than others."""


class StreamingFileTarget(BaseTarget):
    """Write to `{upload_id}.tmp` beside *path*, in a separate thread and in blocks of *chunk_size* bytes.

    With an asynchronous parser a slow disk slows only this sender; with a synchronous one the call waits. After the
    end the file is on the disk; `disk.put_in_place` renames it once it is accepted. Raises DiskFull and Unavailable.
    Close the target, also after a failure: the written file stays until `disk.remove`.
    """

    def __init__(
        self,
        path: Path,
        *,
        chunk_size: int = 1024 * 1024,
        with_sha256: bool = False,
        validator: Callable[[bytes], None] | None = None,
    ) -> None:
        super().__init__(validator)
        self.path = path
        self.size_bytes = 0
        self._chunk_size = chunk_size
        self._digest = hashlib.sha256() if with_sha256 else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload-file")
        self._jobs: deque[Future[None]] = deque()
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self._writer: BlockWriter | None = None
        self._closed = False

    @property
    def sha256(self) -> str | None:
        """Return the hexadecimal SHA-256 of the written bytes, if requested."""
        return self._digest.hexdigest() if self._digest else None

    def on_start(self) -> None:
        """Open the file."""
        self._submit(self._open)
        self._wait(0)

    def on_data_received(self, chunk: bytes) -> None:
        """Take a piece; wait while more than MAX_QUEUED_WRITES writes are queued."""
        self._add(chunk)
        self._wait(MAX_QUEUED_WRITES)

    def on_finish(self) -> None:
        """Write the rest and wait until the file is on the disk."""
        self._end()
        self._wait(0)

    async def on_start_async(self) -> None:
        """Open the file."""
        self._submit(self._open)
        await self._drain(0)

    async def on_data_received_async(self, chunk: bytes) -> None:
        """Take a piece; wait, without blocking, while more than MAX_QUEUED_WRITES writes are queued."""
        self._add(chunk)
        if len(self._jobs) > MAX_QUEUED_WRITES:
            await self._drain(MAX_QUEUED_WRITES)

    async def on_finish_async(self) -> None:
        """Write the rest and wait until the file is on the disk."""
        self._end()
        await self._drain(0)

    async def aclose(self) -> None:
        """Close the file and end the thread. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._submit(self._close)
        self._thread.shutdown(wait=False)
        await asyncio.gather(*[asyncio.wrap_future(job) for job in self._jobs], return_exceptions=True)
        self._jobs.clear()

    def close(self) -> None:
        """Close the file, end the thread and wait for both. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._submit(self._close)
        self._thread.shutdown(wait=True)
        self._jobs.clear()

    def _add(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        self._pieces.append(chunk)
        self._waiting_bytes += len(chunk)
        if self._waiting_bytes >= self._chunk_size:
            self._write()
        elif len(self._pieces) >= MAX_PIECES:
            self._pieces = [b"".join(self._pieces)]

    def _end(self) -> None:
        self._write()
        self._submit(self._sync)

    def _write(self) -> None:
        pieces, self._pieces, self._waiting_bytes = self._pieces, [], 0
        if pieces:
            self._submit(lambda: self._write_now(pieces))

    def _submit(self, job: Callable[[], None]) -> None:
        self._jobs.append(self._thread.submit(job))

    def _wait(self, most: int) -> None:
        while len(self._jobs) > most:
            self._jobs.popleft().result()

    async def _drain(self, most: int) -> None:
        while len(self._jobs) > most:
            await asyncio.wrap_future(self._jobs.popleft())

    def _open(self) -> None:
        self._writer = BlockWriter(disk.temporary(self.path), self._chunk_size)

    def _write_now(self, pieces: list[bytes]) -> None:
        assert self._writer is not None, "a target is started before it receives"
        self._writer.write(pieces)
        if self._digest is not None:
            for piece in pieces:
                self._digest.update(piece)

    def _sync(self) -> None:
        assert self._writer is not None, "a target is started before it finishes"
        self._writer.finish()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
