"""Pipe a file of a form into a multipart upload while it arrives."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from gateway.streaming.buffers import Buffers
from gateway.streaming.target import BaseTarget

Send = Callable[[int, list[bytes], int], Awaitable[str]]
"""Store a part: part_number, its pieces, their bytes together; return its etag."""

MAX_PIECES = 512
"""Pieces of one part; smaller ones are joined, so that a sender of single bytes costs no more memory than others."""


class StreamingPartsTarget(BaseTarget):
    """Cut the bytes into parts of *part_size_bytes* and send each part while the next one fills.

    At most as many parts are in memory as the *buffers* has buffers; a slow store slows the sender. Raises what *send*
    raises. Needs a running event loop; `settle` after a synchronous parser's last byte. Close it, also after a failure.
    """

    def __init__(
        self,
        send: Send,
        buffers: Buffers,
        *,
        part_size_bytes: int,
        with_sha256: bool = False,
        validator: Callable[[bytes], None] | None = None,
    ) -> None:
        super().__init__(validator)
        self.size_bytes = 0
        self.etags: list[str] = []
        self._send = send
        self._buffers = buffers
        self._part_size = part_size_bytes
        self._digest = hashlib.sha256() if with_sha256 else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload-hash") if with_sha256 else None
        self._pieces: list[bytes] = []
        self._filled = 0
        self._sent = 0
        self._on_their_way: deque[asyncio.Task[str]] = deque()

    @property
    def sha256(self) -> str | None:
        """Return the hexadecimal SHA-256 of the sent bytes, if requested."""
        return self._digest.hexdigest() if self._digest else None

    def on_data_received(self, chunk: bytes) -> None:
        """Take a piece and start sending the parts that it fills."""
        self.size_bytes += len(chunk)
        while self._filled + len(chunk) >= self._part_size:
            room = self._part_size - self._filled
            self._pieces.append(chunk[:room])
            self._filled, chunk = self._part_size, chunk[room:]
            self._dispatch()
        if chunk:
            self._pieces.append(chunk)
            self._filled += len(chunk)
            if len(self._pieces) >= MAX_PIECES:
                self._pieces = [b"".join(self._pieces)]

    def on_finish(self) -> None:
        """Start sending the last part."""
        if self._pieces:
            self._dispatch()

    async def on_start_async(self) -> None:
        """Begin."""

    async def on_data_received_async(self, chunk: bytes) -> None:
        """Take a piece; wait, without blocking, while all buffers are full."""
        self.on_data_received(chunk)
        if self._on_their_way:
            await self._make_room()

    async def on_finish_async(self) -> None:
        """Send the last part and wait until the store has all of them."""
        self.on_finish()
        await self.settle()

    async def settle(self) -> None:
        """Wait until the store has every part."""
        while self._on_their_way:
            await self._oldest()

    async def aclose(self) -> None:
        """Cancel the running part requests."""
        tasks = [*self._on_their_way]
        self._on_their_way.clear()
        self._pieces.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    def _dispatch(self) -> None:
        pieces, size = self._pieces, self._filled
        self._pieces, self._filled = [], 0
        self._sent += 1
        self._on_their_way.append(asyncio.create_task(self._send_part(self._sent, pieces, size)))

    async def _send_part(self, number: int, pieces: list[bytes], size: int) -> str:
        if self._digest is None or self._thread is None:
            return await self._send(number, pieces, size)
        # Tasks start in the order of their creation, which is the order of the parts.
        hashed = asyncio.wrap_future(self._thread.submit(self._hash, pieces))
        etag = await self._send(number, pieces, size)
        await hashed
        return etag

    def _hash(self, pieces: list[bytes]) -> None:
        assert self._digest is not None, "called with a digest only"
        for piece in pieces:
            self._digest.update(piece)

    async def _make_room(self) -> None:
        """Wait until one buffer is free to fill: at most all others are being sent."""
        while self._on_their_way:
            full = len(self._on_their_way) >= self._buffers.count
            if not self._on_their_way[0].done() and not (full and not self._buffers.grow()):
                return
            await self._oldest()

    async def _oldest(self) -> None:
        """Wait for the oldest part; it stays in the list meanwhile, so that `aclose` can cancel it."""
        self.etags.append(await asyncio.shield(self._on_their_way[0]))
        self._on_their_way.popleft()
        self._buffers.shrink()
