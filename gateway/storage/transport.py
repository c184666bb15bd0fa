"""Send signed requests to the store through one pool, with bounded answers, waits and retries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from gateway.storage.address import BucketAddress
from gateway.storage.clock import StoreClock
from gateway.storage.errors import StoreError, StoreUnavailable
from gateway.storage.models import StoreConfig
from gateway.storage.progress_timeout import ProgressBudget, ProgressTimeout
from gateway.storage.sigv4 import EMPTY_PAYLOAD, UNSIGNED_PAYLOAD, Moment, Pairs, encode_query, sign_headers
from gateway.storage.wire import NOTHING, Element, Malformed, StoreFailure, failure, gunzip, read_answer

Body = bytes | bytearray | memoryview | list[bytes] | AsyncIterable[bytes]
"""A list is sent piece by piece, and sent again when the store fails. An async iterable is sent once."""

MAX_ANSWER_BYTES = 4 << 20  # a page of 1,000 parts, both copies of each, is 0.8 MB
_MAX_ERROR_BYTES = 64 << 10
_PIECE_BYTES = 256 << 10
_SKEW = timedelta(minutes=5)  # stores allow 15 minutes; no clock drifts by five between two calls
# aiohttp would add a body type and accept gzip. Neither is signed, and the size of a compressed answer is unknown.
_SKIP_HEADERS = ("Accept", "Content-Type", "User-Agent")
_NETWORK_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Call:
    """Describe one request. `operation` is S3's name for it, `pairs` are its query, `size_bytes` is the body's length.

    `timeout_seconds` bounds each wait for progress, `total_wait_seconds` bounds all waits together, over all tries.
    `raw` marks the bytes of an object, which are never decompressed. `xml` marks an answer that must be S3's XML.
    Raises ValueError when a body of known length has another length than `size_bytes`.
    """

    operation: str
    method: str
    key: str | None = None
    pairs: Pairs = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = b""
    size_bytes: int = 0
    timeout_seconds: float | None = None
    total_wait_seconds: float | None = None
    ok: frozenset[int] = frozenset({200})
    max_answer_bytes: int = MAX_ANSWER_BYTES
    raw: bool = False
    xml: bool = False

    def __post_init__(self) -> None:
        known = _length_of(self.body)
        if known is not None and known != self.size_bytes:
            raise ValueError(f"the body has {known} bytes, not the announced {self.size_bytes}")

    @property
    def repeatable(self) -> bool:
        """Say whether the body can be sent twice."""
        return _length_of(self.body) is not None


def _length_of(body: Body) -> int | None:
    """Return the length of a body in bytes, or None for a stream."""
    if isinstance(body, list):
        return sum(map(len, body))
    if isinstance(body, memoryview):
        return body.nbytes
    return len(body) if isinstance(body, bytes | bytearray) else None


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold a whole answer."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    xml: Element
    tries: int = 1


class _Sender:
    """Send a body piece by piece, and keep an error of the caller's stream: aiohttp would replace it by its own."""

    def __init__(self, body: Body, size_bytes: int, progress: ProgressTimeout) -> None:
        self._body = body
        self._size_bytes = size_bytes
        self._progress = progress
        self.error: BaseException | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        if isinstance(self._body, bytes | bytearray | memoryview):
            view = memoryview(self._body)
            for start in range(0, len(view), _PIECE_BYTES):
                self._progress.note_progress()
                yield bytes(view[start : start + _PIECE_BYTES])
        elif isinstance(self._body, list):
            for piece in self._body:
                self._progress.note_progress()
                yield piece
        else:
            try:
                async for piece in self._counted(self._body):
                    yield piece
            except Exception as exc:
                self.error = exc
                raise
        self._progress.note_progress()

    async def _counted(self, stream: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Yield a stream one piece late, so that the last piece is sent only when the stream has ended.

        Without this a longer stream would lose its tail silently, and a shorter one would leave a part that some
        stores fill with zeros (versitygw).
        """
        left, held = self._size_bytes, b""
        self._progress.pause()
        async for piece in stream:
            left -= len(piece)
            if left < 0:
                raise ValueError("the stream is longer than its announced size")
            if held:
                self._progress.note_progress()
                yield held
                self._progress.pause()
            held = piece
        if left:
            raise ValueError("the stream is shorter than its announced size")
        if held:
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
        budget = ProgressBudget(call.timeout_seconds or self._config.timeout_seconds, call.total_wait_seconds)
        return await self._with_retries(call, budget)

    async def _with_retries(self, call: Call, budget: ProgressBudget) -> Answer:
        attempts = self._config.max_attempts if call.repeatable else 1
        for attempt in range(attempts - 1):
            offset = self.clock.offset
            try:
                return replace(await self._once(call, budget), tries=attempt + 1)
            except StoreUnavailable:
                if budget.exhausted:
                    raise
            except StoreError as exc:
                # A refused HEAD has no error code. If the clock has just jumped, the cause was RequestTimeTooSkewed.
                if exc.status != 403 or abs(self.clock.offset - offset) < _SKEW:
                    raise
            # Full jitter: clients that failed at the same time must not retry at the same time.
            ceiling = min(self._config.retry_cap_seconds, self._config.retry_base_seconds * 2**attempt)
            await asyncio.sleep(random.uniform(0, ceiling))  # noqa: S311 - spreading load, not a secret
        return replace(await self._once(call, budget), tries=attempts)

    async def _once(self, call: Call, budget: ProgressBudget) -> Answer:
        progress = ProgressTimeout(budget)
        sender = _Sender(call.body, call.size_bytes, progress)
        # A store may need long for a part, but it accepts a connection at once.
        connecting = aiohttp.ClientTimeout(sock_connect=self._config.timeout_seconds)
        try:
            async with progress.timeout, self._request(call, sender, connecting) as response:
                if response.status not in call.ok:
                    raise await self._failure(call, response)
                self.clock.observe(response.headers.get("Date"))
                body = await _read(call, response, call.max_answer_bytes)
        except _NETWORK_ERRORS as exc:
            if sender.error is not None:
                raise sender.error from None
            raise _unanswered(call, exc) from exc
        finally:
            progress.stop()
        xml = read_answer(call.operation, response.status, body) if call.xml else NOTHING
        return Answer(response.status, response.headers, body, xml)

    def _request(
        self, call: Call, sender: _Sender, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.client._RequestContextManager:
        path = self._address.path(call.key)
        headers = {**call.headers, "host": self._address.host, "accept-encoding": "identity"}
        payload_sha256, data = EMPTY_PAYLOAD, None
        if call.size_bytes or not call.repeatable:
            # A stream of no bytes is read too: one byte in it is an error that must not pass unnoticed.
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
        """Read an error answer of at most 64 KiB; a longer one is judged by its status alone."""
        try:
            body = await _read(call, response, _MAX_ERROR_BYTES)
        except StoreError:
            body = b""
        exc = failure(call.operation, response.status, body)
        self.clock.observe(response.headers.get("Date"), urgent=response.status == 403)
        return exc


def _payload(call: Call, sender: _Sender) -> tuple[str, Any]:
    """Return the signed hash and the data of a body: a small one is sent whole and hashed, a large one in pieces."""
    if isinstance(call.body, bytes) and len(call.body) <= _PIECE_BYTES:
        return sha256(call.body).hexdigest(), call.body
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
