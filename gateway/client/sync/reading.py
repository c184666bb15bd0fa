# Generated from gateway/client/aio by `make sync-client`: change that file.
"""Read a ready file straight from the store, without a file on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from gateway.client import calls
from gateway.client.address import origin_of
from gateway.client.errors import StoreRefused
from gateway.client.flow import exchange, unreachable
from gateway.client.sync.driver import Driver
from gateway.client.transfer import find_error_code

_MAX_ERROR_BYTES = 64 * 1024


class RemoteFile:
    """Read an open file: iterate over it, or call `read`. `url` is the URL that was opened, a secret."""

    def __init__(self, url: str, response: httpx.Response) -> None:
        self.url = url
        self._response = response
        self._chunks = response.iter_raw()
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

    def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes, or the rest of the file; nothing at the end."""
        pieces, length = [self._rest], len(self._rest)
        while size < 0 or length < size:
            piece = self._next()
            if not piece:
                break
            pieces.append(piece)
            length += len(piece)
        data = b"".join(pieces)
        end = len(data) if size < 0 else size
        self._rest = data[end:]
        return data[:end]

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._rest or self._next():
            self._rest = b""
            yield piece

    def _next(self) -> bytes:
        try:
            for piece in self._chunks:
                return piece
        except httpx.TransportError as exc:
            raise unreachable(origin_of(self.url), exc, "the store") from exc
        return b""


@contextmanager
def open_file(driver: Driver, upload_id: str) -> Iterator[RemoteFile]:
    """Open a ready file for reading; raise StoreRefused or Unreachable where the store does not hand it out."""
    link = driver.run(exchange(calls.download_url(upload_id), driver.endpoint))
    origin = origin_of(link.url)
    try:
        with driver.open_store(link.url, {"Accept-Encoding": "identity"}) as response:
            if response.status_code != 200:
                body = b""
                for piece in response.iter_raw():
                    body += piece
                    if len(body) >= _MAX_ERROR_BYTES:
                        break
                raise StoreRefused(0, response.status_code, find_error_code(body), address=origin)
            yield RemoteFile(link.url, response)
    except httpx.TransportError as exc:
        raise unreachable(origin, exc, "the store") from exc
