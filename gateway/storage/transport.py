"""Send signed requests to the store: one pool, bounded answers, bounded waits, bounded retries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from gateway.storage.address import BucketAddress
from gateway.storage.clock import StoreClock
from gateway.storage.errors import StoreError, StoreUnavailable
from gateway.storage.models import StoreConfig
from gateway.storage.progress_timeout import Patience, Watchdog
from gateway.storage.sigv4 import EMPTY_PAYLOAD, UNSIGNED_PAYLOAD, Moment, Pairs, encode_query, sign_headers
from gateway.storage.wire import NOTHING, Element, Malformed, StoreFailure, failure, gunzip, read_answer

_T = TypeVar("_T")

Body = bytes | bytearray | memoryview | list[bytes] | AsyncIterable[bytes]
"""A list of pieces is sent piece by piece as it is, and again when the store fails."""

MAX_ANSWER_BYTES = 4 << 20  # a page of 1,000 parts, both copies of each, is 0.8 MB
_MAX_ERROR_BYTES = 64 << 10
_PIECE_BYTES = 256 << 10
_SKEW = timedelta(minutes=5)  # stores allow 15 minutes; no clock drifts by five between two calls
# aiohttp would add a body type and accept gzip; neither is signed, and a compressed answer cannot be bounded.
_SKIP_HEADERS = ("Accept", "Content-Type", "User-Agent")
_NETWORK_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Call:
    """Describe one request: operation is S3's name for it, pairs are the query, `size_bytes` is of the body.

    `timeout_seconds` bounds each wait for progress, `patience_seconds` all of them together, over all tries.
    `raw` marks an object's own bytes, which are never decompressed; `xml` an answer that must be S3's XML.
    """

    operation: str
    method: str
    key: str | None = None
    pairs: Pairs = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = b""
    size_bytes: int = 0
    timeout_seconds: float | None = None
    patience_seconds: float | None = None
    ok: frozenset[int] = frozenset({200})
    max_answer_bytes: int = MAX_ANSWER_BYTES
    raw: bool = False
    xml: bool = False

    @property
    def repeatable(self) -> bool:
        """Tell whether the body can be sent twice."""
        return isinstance(self.body, bytes | bytearray | memoryview | list)


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold a whole answer."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    xml: Element


class _Sender:
    """Feed a body piece by piece and keep what the caller's stream raised, which aiohttp would rename."""

    def __init__(self, body: Body, size_bytes: int, watchdog: Watchdog) -> None:
        self._body = body
        self._size_bytes = size_bytes
        self._watchdog = watchdog
        self.error: BaseException | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        if isinstance(self._body, bytes | bytearray | memoryview):
            view = memoryview(self._body)
            for start in range(0, len(view), _PIECE_BYTES):
                self._watchdog.feed()
                yield bytes(view[start : start + _PIECE_BYTES])
        elif isinstance(self._body, list):
            for piece in self._body:
                self._watchdog.feed()
                yield piece
        else:
            try:
                async for piece in self._counted(self._body):
                    yield piece
            except Exception as exc:
                self.error = exc
                raise
        self._watchdog.feed()

    async def _counted(self, stream: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Pass a stream on, one piece late: the last goes out only when the stream is known to end with it.

        A longer stream would otherwise lose its tail without a word, and a shorter one leave a part that some stores
        accept and fill with zeros (versitygw).
        """
        left, held = self._size_bytes, b""
        self._watchdog.pause()
        async for piece in stream:
            left -= len(piece)
            if left < 0:
                raise ValueError("the stream is longer than its announced size")
            if held:
                self._watchdog.feed()
                yield held
                self._watchdog.pause()
            held = piece
        if left:
            raise ValueError("the stream is shorter than its announced size")
        yield held


class Transport:
    """Sign and send calls to one bucket."""

    def __init__(self, config: StoreConfig, session: aiohttp.ClientSession, clock: StoreClock) -> None:
        self._config = config
        self._session = session
        self._address = BucketAddress.of(config.endpoint, config.bucket, config.addressing_style)
        self.clock = clock

    async def call(self, call: Call) -> Answer:
        """Send a call and return its whole answer.

        Raises StoreError when the store refuses, StoreUnavailable when it gives no usable answer within the tries.
        """
        patience = Patience(call.timeout_seconds or self._config.timeout_seconds, call.patience_seconds)
        return await self._with_retries(call, partial(self._once, patience=patience), patience)

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a call and hand out its answer unread; only opening is tried again. Raises as `call` does."""
        response = await self._with_retries(call, self._begin)
        try:
            yield response
        except _NETWORK_ERRORS as exc:
            raise _unanswered(call, exc) from exc
        finally:
            # Not release: an answer that was not read to its end must not wait for the rest of a 5 GiB object.
            response.close()

    async def _with_retries(
        self, call: Call, once: Callable[[Call], Awaitable[_T]], patience: Patience | None = None
    ) -> _T:
        attempts = self._config.max_attempts if call.repeatable else 1
        for attempt in range(attempts - 1):
            offset = self.clock.offset
            try:
                return await once(call)
            except StoreUnavailable:
                if patience is not None and patience.over:
                    raise
            except StoreError as exc:
                # A HEAD is refused without a word, so that the clock's jump tells what RequestTimeTooSkewed would.
                if exc.status != 403 or abs(self.clock.offset - offset) < _SKEW:
                    raise
            # Full jitter: clients that failed together must not come back together.
            ceiling = min(self._config.retry_cap_seconds, self._config.retry_base_seconds * 2**attempt)
            await asyncio.sleep(random.uniform(0, ceiling))  # noqa: S311 - spreading load, not a secret
        return await once(call)

    async def _once(self, call: Call, patience: Patience) -> Answer:
        watchdog = Watchdog(patience)
        sender = _Sender(call.body, call.size_bytes, watchdog)
        # However long a store may take over a part, it says at once that it is there.
        connecting = aiohttp.ClientTimeout(sock_connect=self._config.timeout_seconds)
        try:
            async with watchdog.timeout, self._request(call, sender, connecting) as response:
                if response.status not in call.ok:
                    raise await self._failure(call, response)
                self.clock.observe(response.headers.get("Date"))
                body = await _read(call, response, call.max_answer_bytes)
        except _NETWORK_ERRORS as exc:
            if sender.error is not None:
                raise sender.error from None
            raise _unanswered(call, exc) from exc
        finally:
            watchdog.end()
        xml = read_answer(call.operation, response.status, body) if call.xml else NOTHING
        return Answer(response.status, response.headers, body, xml)

    async def _begin(self, call: Call) -> aiohttp.ClientResponse:
        seconds = self._config.timeout_seconds
        # The reader's own pace must not count, so that reads are timed by aiohttp and not as a whole.
        timeout = aiohttp.ClientTimeout(sock_connect=seconds, sock_read=seconds)
        try:
            response = await self._request(call, None, timeout)
            if response.status in call.ok:
                return response
            async with response:
                raise await self._failure(call, response)
        except _NETWORK_ERRORS as exc:
            raise _unanswered(call, exc) from exc

    def _request(
        self, call: Call, sender: _Sender | None, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.client._RequestContextManager:
        path = self._address.path(call.key)
        headers = {**call.headers, "host": self._address.host, "accept-encoding": "identity"}
        payload_sha256, data = EMPTY_PAYLOAD, None
        if call.size_bytes:
            headers["content-length"] = str(call.size_bytes)
            payload_sha256, data = _payload(call, sender)
        moment = Moment(self._config.credentials, self._config.region, self.clock())
        query = f"?{encode_query(call.pairs)}" if call.pairs else ""
        return self._session.request(
            call.method,
            URL(f"{self._address.origin}{path}{query}", encoded=True),
            data=data,
            headers=sign_headers(moment, call.method, path, call.pairs, headers, payload_sha256),
            skip_auto_headers=_SKIP_HEADERS,
            timeout=timeout,
            allow_redirects=False,
            auto_decompress=False,
        )

    async def _failure(self, call: Call, response: aiohttp.ClientResponse) -> StoreFailure:
        """Read an error answer, at most 64 KiB of it; what is longer is judged by its status."""
        try:
            body = await _read(call, response, _MAX_ERROR_BYTES)
        except StoreError:
            body = b""
        exc = failure(call.operation, response.status, body)
        self.clock.observe(response.headers.get("Date"), urgent=response.status == 403)
        return exc


def _payload(call: Call, sender: _Sender | None) -> tuple[str, Any]:
    """Choose what is signed and sent as body: small ones whole and hashed, large ones piece by piece."""
    if isinstance(call.body, bytes) and len(call.body) <= _PIECE_BYTES:
        return sha256(call.body).hexdigest(), call.body
    assert sender is not None
    return UNSIGNED_PAYLOAD, sender.pieces()


def _unanswered(call: Call, exc: BaseException) -> StoreUnavailable:
    return StoreUnavailable(operation=call.operation, message=type(exc).__name__)


async def _read(call: Call, response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read an answer whole. Raises StoreError over *limit* bytes."""
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > limit:
            response.close()
            raise StoreError(operation=call.operation, status=response.status, message="an oversized answer")
        pieces.append(piece)
    body = b"".join(pieces)
    if call.method != "HEAD" and response.headers.get("Content-Encoding", "").lower() == "gzip" and not call.raw:
        try:
            return gunzip(body, limit)
        except Malformed as exc:
            raise StoreError(operation=call.operation, status=response.status, message=str(exc)) from exc
    return body
