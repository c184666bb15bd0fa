"""Have a file scanned by ClamAV: clamd's INSTREAM over TCP or a Unix socket, streamed in bounded memory.

clamd answers every client that can reach it, without TLS or a password: give it a separate socket or network.
Its own StreamMaxLength must not be below the cap given here, or files between the two are answered as not scanned.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from typing import Literal, Protocol, TypeVar
from urllib.parse import urlsplit

from gateway.detection.verdict import ScanResult, text
from gateway.domain.errors import ScannerUnavailable

ScannerPolicy = Literal["fail_closed", "fail_open"]
# clamd's default port (clamd.conf(5), TCPSocket) in every packaged configuration.
DEFAULT_PORT = 3310
# An answer is `stream: NAME FOUND`; names are under 100 bytes.
MAX_ANSWER = 4096
MAX_CHUNK = 1024 * 1024
# ClamAV's own table of types (libclamav/filetypes_int.h, seen in 1.4.6) answers OK to files that begin so, unread. The
# same bytes without their first ones are scanned like any others; no signature is lost that would have been looked for.
_IGNORED = (b"ID3", b"OggS", b"\xff\xfb\x90", b".RMF")
T = TypeVar("T")


class Scanner(Protocol):
    """Anything that reads a whole file once and says whether it is clean."""

    async def scan(self, chunks: AsyncIterator[bytes], size_bytes: int) -> ScanResult:
        """Read the chunks to their end, or not at all.

        Raises ScannerUnavailable when there is no answer; errors of the chunks come through as they are.
        """
        ...


async def scan_by_policy(
    scanner: Scanner, policy: ScannerPolicy, chunks: AsyncIterator[bytes], size_bytes: int
) -> ScanResult:
    """Scan and let the policy decide about files that nobody looked at.

    `fail_closed`: they are not clean; a scanner that does not answer raises ScannerUnavailable, to be tried again.
    `fail_open`: they pass, with the reason in the result.
    """
    try:
        result = await scanner.scan(chunks, size_bytes)
    except ScannerUnavailable as exc:
        if policy == "fail_closed":
            raise
        return ScanResult(clean=True, skipped_reason=exc.detail)
    if result.skipped_reason is None:
        return result
    return ScanResult(clean=policy == "fail_open", skipped_reason=result.skipped_reason)


class ClamdScanner:
    """Speak INSTREAM to one clamd; a connection for each file, nothing kept between."""

    def __init__(self, address: str, *, max_bytes: int, timeout_seconds: float) -> None:
        self._address = parse_address(address)
        self._max_bytes = max_bytes
        self._timeout = timeout_seconds

    async def scan(self, chunks: AsyncIterator[bytes], size_bytes: int) -> ScanResult:
        """Stream the chunks to clamd. `timeout_seconds` bounds each step without progress, not the whole."""
        if size_bytes > self._max_bytes:
            return ScanResult(
                False, skipped_reason=f"The file is larger than the scanner takes ({self._max_bytes} bytes)."
            )
        reader, writer = await self._connect()
        try:
            return _result(await self._exchange(reader, writer, chunks))
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._timeout):
                    await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self._address
        if port is None:
            return await self._step(asyncio.open_unix_connection(host, limit=MAX_ANSWER))
        return await self._step(asyncio.open_connection(host, port, limit=MAX_ANSWER))

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chunks: AsyncIterator[bytes]
    ) -> str:
        # Read from the start: clamd answers and closes the connection while a file over its limit is still being
        # sent, and an answer that arrived before the reset would be lost to a later read. Write through a second
        # descriptor: after a failed write asyncio stops reading, and the answer may still be unread.
        out = _second_descriptor(writer)
        answer = asyncio.ensure_future(_answer(reader))
        try:
            if await self._sent(out, b"zINSTREAM\0") and await self._send(out, chunks, answer):
                await self._sent(out, bytes(4))
            return await self._step(answer)
        finally:
            out.close()
            answer.cancel()
            with suppress(asyncio.CancelledError, OSError, EOFError, asyncio.LimitOverrunError):
                await answer

    async def _send(self, out: socket.socket, chunks: AsyncIterator[bytes], answer: asyncio.Future[str]) -> bool:
        """Send every chunk; False when clamd answered or hung up before the end."""
        async for chunk in _looked_into(chunks):
            for start in range(0, len(chunk), MAX_CHUNK):
                piece = chunk[start : start + MAX_CHUNK]
                if not await self._sent(out, len(piece).to_bytes(4) + piece) or answer.done():
                    return False
        return True

    async def _sent(self, out: socket.socket, data: bytes) -> bool:
        """Send all of it; False when the other side hung up."""
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.get_running_loop().sock_sendall(out, data)
        except ConnectionError:
            return False
        except (OSError, TimeoutError) as exc:
            raise ScannerUnavailable from exc
        return True

    async def _step(self, awaitable: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await awaitable
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError) as exc:
            raise ScannerUnavailable from exc


def parse_address(address: str) -> tuple[str, int | None]:
    """Return host and port of `tcp://host[:port]`, or path and None of `unix:///path`.

    Raises ValueError for anything else.
    """
    parts = urlsplit(address)
    if parts.scheme == "tcp" and parts.hostname and parts.path in ("", "/"):
        return parts.hostname, parts.port or DEFAULT_PORT
    if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
        return parts.path, None
    raise ValueError("the scanner's address is tcp://host:3310 or unix:///run/clamav/clamd.ctl")


async def _looked_into(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Drop the first bytes of a file for whose sake clamd would not look into it."""
    at_start = True
    async for chunk in chunks:
        ignored = next((magic for magic in _IGNORED if at_start and chunk.startswith(magic)), b"")
        at_start = at_start and not chunk
        yield chunk[len(ignored) :]


def _second_descriptor(writer: asyncio.StreamWriter) -> socket.socket:
    try:
        out = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
    except OSError as exc:  # none is left
        raise ScannerUnavailable from exc
    out.setblocking(False)
    return out


async def _answer(reader: asyncio.StreamReader) -> str:
    raw = await reader.readuntil(b"\0")
    return raw[:-1].decode("utf-8", "replace")


def _result(answer: str) -> ScanResult:
    """Read `stream: OK`, `stream: NAME FOUND` or an error."""
    said = answer.removeprefix("stream: ")
    if said == "OK":
        return ScanResult(True)
    if said.endswith(" FOUND"):
        return ScanResult(False, signature=text(said.removesuffix(" FOUND").encode("utf-8")) or "unnamed")
    if "size limit exceeded" in said:
        return ScanResult(False, skipped_reason="The file is larger than the scanner takes (its StreamMaxLength).")
    raise ScannerUnavailable
