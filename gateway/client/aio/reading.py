"""Read a ready file straight from the store, without a file on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from gateway.client import calls
from gateway.client.address import origin_of
from gateway.client.aio.driver import AsyncDriver
from gateway.client.errors import StoreRefused
from gateway.client.flow import exchange, unreachable
from gateway.client.transfer import find_error_code

_MAX_ERROR_BYTES = 64 * 1024


class AsyncRemoteFile:
    """Read an open file: iterate over it, or call `read`. `url` is the URL that was opened, a secret."""

    def __init__(self, url: str, response: httpx.Response) -> None:
        self.url = url
        self._response = response
        self._chunks = response.aiter_raw()
        self._rest = b""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.content_type} of {self.size_bytes} bytes>"

    @property
    def size_bytes(self) -> int | None:
        """Return the size of the file, bytes."""
        text = self._response.headers.get("content-length", "")
        return int(text) if text.isdigit() else None

    @property
    def content_type(self) -> str | None:
        """Return the content type that the gateway observed."""
        content_type: str | None = self._response.headers.get("content-type")
        return content_type

    async def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes, or the rest of the file; nothing at the end."""
        pieces, length = [self._rest], len(self._rest)
        while size < 0 or length < size:
            piece = await self._next()
            if not piece:
                break
            pieces.append(piece)
            length += len(piece)
        data = b"".join(pieces)
        end = len(data) if size < 0 else size
        self._rest = data[end:]
        return data[:end]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := self._rest or await self._next():
            self._rest = b""
            yield piece

    async def _next(self) -> bytes:
        try:
            async for piece in self._chunks:
                return piece
        except httpx.TransportError as exc:
            raise unreachable(origin_of(self.url), exc, "the store") from exc
        return b""


@asynccontextmanager
async def open_file(driver: AsyncDriver, upload_id: str) -> AsyncIterator[AsyncRemoteFile]:
    """Open a ready file for reading; raise StoreRefused or Unreachable where the store does not hand it out."""
    link = await driver.run(exchange(calls.download_url(upload_id), driver.endpoint))
    origin = origin_of(link.url)
    try:
        async with driver.open_store(link.url, {"Accept-Encoding": "identity"}) as response:
            if response.status_code != 200:
                body = b""
                async for piece in response.aiter_raw():
                    body += piece
                    if len(body) >= _MAX_ERROR_BYTES:
                        break
                raise StoreRefused(0, response.status_code, find_error_code(body), address=origin)
            yield AsyncRemoteFile(link.url, response)
    except httpx.TransportError as exc:
        raise unreachable(origin, exc, "the store") from exc
