"""Send webhooks to addresses of tenants: to public hosts only, without redirects, with limits for everything.

A resolver refuses hosts that are not public, and each socket is checked again by the address that it connects to. A
name that changes between the two checks, or an address in a form that only the system's resolver knows (`127.1`), gets
no connection. TLS and the Host header keep the name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from gateway.domain.public_addresses import is_public

TIMEOUT_SECONDS = 15.0
"""Seconds from the name lookup to the status line; Standard Webhooks recommends 15 to 30."""

CONNECT_SECONDS = 5.0

LOOKUPS = 16
"""Threads for name lookups: a name server that hangs blocks these and no others."""

MOST_CONNECTIONS = 128
"""Connections of one process; an attempt without a free one waits within its own timeout."""

MOST_HEADERS = 64


class NotPublic(OSError):
    """The host is, or may be, inside a private network."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """The outcome of an attempt: a status, or one word for the failure. The answer's body is never read."""

    status: int | None = None
    error: str | None = None
    retry_after: str | None = None

    @property
    def ok(self) -> bool:
        """Return whether the receiver accepted the message."""
        return self.status is not None and 200 <= self.status < 300

    def asked_seconds(self, now: float) -> float | None:
        """Return the requested wait, seconds from *now* (Unix time); None if it is missing or invalid."""
        text = (self.retry_after or "").strip()
        if text.isascii() and text.isdecimal():
            return float(text[:9])
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - now)
        except (ValueError, OverflowError):
            return None


class _PublicResolver(AbstractResolver):
    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="webhook-lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return every address of *host*; raise NotPublic when one of them is not public, OSError for none."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        )
        addresses = [(which, str(address[0]), int(address[1])) for which, _, _, _, address in found]
        for _, address, _ in addresses:
            if not self._private:
                _require_public(address)
        return [
            ResolveResult(hostname=host, host=address, port=its_port, family=which, proto=0, flags=0)
            for which, address, its_port in addresses
        ]

    async def close(self) -> None:
        """End without waiting for lookups that hang."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _require_public(address: str) -> None:
    try:
        public = is_public(ip_address(address))
    except ValueError:
        public = False
    if not public:
        raise NotPublic("the host has no public address")


class WebhookSender:
    """POST to receivers; open it with `opened`. *private* lets it reach hosts that are not public, for development."""

    def __init__(self, *, private: bool, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._private = private
        self._timeout = timeout_seconds
        self._resolver: _PublicResolver | None = None
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[WebhookSender]:
        """Hold the session for as long as the block runs."""
        self._resolver = _PublicResolver(private=self._private)
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            use_dns_cache=False,
            force_close=True,
            limit=MOST_CONNECTIONS,
            socket_factory=None if self._private else _checked_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=4096,
            max_headers=MOST_HEADERS,
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=CONNECT_SECONDS),
        )
        try:
            yield self
        finally:
            await self._session.close()
            await self._resolver.close()

    async def require_public_host(self, url: str) -> None:
        """Raise NotPublic unless every address of the host is public now; an unknown name is not public either."""
        assert self._resolver is not None, "opened"
        if self._private:
            return
        host = URL(url, encoded=True).host or ""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._resolver.resolve(host, 443)
        except (OSError, UnicodeError, TimeoutError) as exc:
            # One answer for every case: it must not reveal which names exist inside this network.
            raise NotPublic("the host has no public address") from exc

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> SendResult:
        """POST once and return the outcome. A redirect is an ordinary answer and is not followed."""
        assert self._session is not None, "opened"
        fields = {**headers, "content-type": "application/json", "user-agent": "upload-gateway"}
        try:
            async with self._session.post(
                URL(url, encoded=True), data=body, headers=fields, allow_redirects=False
            ) as answer:
                return SendResult(status=answer.status, retry_after=answer.headers.get("retry-after"))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
            # ValueError: a host name that is refused before anything is sent (a label that is too long).
            return SendResult(error=_word_for(exc))


def _checked_socket(found: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    """Create the socket of a connection after a last check of its address."""
    family, kind, protocol, _, address = found
    _require_public(str(address[0]))
    return socket.socket(family, kind, protocol)


def _word_for(error: BaseException) -> str:
    """Name a failure in one word: an address or a sentence would reveal the inside of this network."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientSSLError):
        return "tls_failed"
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL | NotPublic):
        return "not_reachable"
    return "no_answer"
