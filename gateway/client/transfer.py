"""Send one part to the store: hash it, get an address for it, PUT it, and try again where that may help."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from urllib.parse import urlsplit

import httpx

from gateway.client.errors import StoreRefused, Unreachable
from gateway.client.flow import RETRIED_STATUS, Retry
from gateway.client.models import SignedPart, Upload
from gateway.client.source import Source

# A URL that ends within this time is renewed before it is used: the request must reach the store while it holds.
EXPIRY_MARGIN = timedelta(seconds=30)
# A fresh URL may be refused once for a reason that passes (a store's clock, a proxy); a third refusal is an answer.
MAX_FORBIDDEN = 3
# As many URLs as the answer to create carries.
SIGN_BATCH = 100
_MAX_ERROR_BYTES = 64 * 1024
_ERROR_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
_CHECKSUM_CODES = frozenset(
    {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "ChecksumMismatch"}
)

Sign = Callable[[Sequence[int] | Mapping[int, str]], Sequence[SignedPart]]


class Verdict(Enum):
    """Say what an answer of the store to a part means."""

    STORED = auto()
    LATER = auto()
    RENEW = auto()
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class Hooks:
    """Connect a transfer to the upload it belongs to: stop, wait and count."""

    check: Callable[[], None]
    pause: Callable[[float], None]
    sent: Callable[[int, int], None]
    retried: Callable[[], None]


class Addresses:
    """Hold part URLs until they are used or too old; a part with a checksum is signed alone, just before it is sent."""

    def __init__(self, sign: Sign, upload: Upload) -> None:
        self._sign = sign
        self._part_count = upload.part_count or 0
        self._lock = threading.Lock()
        self._known = {part.part_number: part for part in upload.parts}

    def take(self, part_number: int, checksum: str | None) -> SignedPart:
        """Return an address for a part; each is given out once, so asking again gets a new one."""
        if checksum is not None:
            return self._pick({part.part_number: part for part in self._sign({part_number: checksum})}, part_number)
        with self._lock:
            known = self._known.pop(part_number, None)
            if known is not None and known.expires_at - datetime.now(UTC) > EXPIRY_MARGIN:
                return known
            wanted = range(part_number, min(part_number + SIGN_BATCH, self._part_count + 1))
            self._known.update({part.part_number: part for part in self._sign(list(wanted))})
            return self._pick(self._known, part_number)

    @staticmethod
    def _pick(parts: dict[int, SignedPart], part_number: int) -> SignedPart:
        try:
            return parts.pop(part_number)
        except KeyError as exc:
            raise Unreachable(f"the gateway signed other parts than part {part_number}") from exc


class PartSender:
    """Send parts of one upload; `send` may run in several threads at once."""

    def __init__(
        self, store: httpx.Client, source: Source, upload: Upload, addresses: Addresses, retry: Retry, hooks: Hooks
    ) -> None:
        self._store = store
        self._source = source
        self._upload = upload
        self._addresses = addresses
        self._retry = retry
        self._hooks = hooks

    def send(self, part_number: int, *, checksum: bool) -> str | None:
        """Send a part and return its etag, None where the store shows none; raise StoreRefused or Unreachable."""
        offset, size_bytes = self._upload.range_of_part(part_number)
        failures = forbidden = 0
        while True:
            # Hashed right before it is sent, and again before each new try: then the disk's cache still has it.
            digest = self._source.sha256(offset, size_bytes, self._hooks.check) if checksum else None
            target = self._addresses.take(part_number, digest)
            answer = self._put(target, offset, size_bytes)
            verdict = judge(answer)
            if verdict is Verdict.STORED and isinstance(answer, httpx.Response):
                return answer.headers.get("etag", "").strip('"') or None
            self._hooks.sent(part_number, 0)
            self._source.check_unchanged()
            failures += 1
            forbidden += verdict is Verdict.RENEW
            if verdict is Verdict.REFUSED or forbidden >= MAX_FORBIDDEN or failures >= self._retry.attempts:
                raise self._failure(part_number, answer)
            self._hooks.retried()
            if verdict is Verdict.LATER or forbidden > 1:
                response = answer if isinstance(answer, httpx.Response) else None
                self._hooks.pause(self._retry.delay(failures, response))

    def _put(self, target: SignedPart, offset: int, size_bytes: int) -> httpx.Response | httpx.TransportError:
        """PUT the range; the query of the URL, which is its secret, stays out of every log and error."""
        address = urlsplit(target.url)
        raw_target = f"{address.path or '/'}?{address.query}" if address.query else address.path or "/"
        headers = {name: value for name, value in target.headers.items() if name.lower() != "host"}
        headers["Content-Length"] = str(size_bytes)
        try:
            with self._store.stream(
                target.method,
                f"{address.scheme}://{address.netloc}/",
                content=self._body(target.part_number, offset, size_bytes),
                headers=headers,
                # Sent as it was signed, byte for byte, instead of a URL the HTTP library would tidy and log.
                extensions={"target": raw_target.encode("ascii")},
            ) as response:
                return _with_code(response)
        except httpx.TransportError as exc:
            return exc

    def _body(self, part_number: int, offset: int, size_bytes: int) -> Iterator[bytes]:
        sent = 0
        for data in self._source.chunks(offset, size_bytes, self._hooks.check):
            yield data
            # The library asks for more when the socket took this.
            sent += len(data)
            self._hooks.sent(part_number, sent)

    @staticmethod
    def _failure(part_number: int, answer: httpx.Response | httpx.TransportError) -> Exception:
        if isinstance(answer, httpx.Response):
            return StoreRefused(part_number, answer.status_code, error_code(answer))
        failure = Unreachable(f"the store does not take part {part_number}: {type(answer).__name__}")
        failure.__cause__ = answer
        return failure


def judge(answer: httpx.Response | httpx.TransportError) -> Verdict:
    """Decide what to do after an answer of the store, or none."""
    if isinstance(answer, httpx.UnsupportedProtocol):
        return Verdict.REFUSED
    if isinstance(answer, httpx.TransportError):
        return Verdict.LATER
    if answer.is_success:
        return Verdict.STORED
    code = error_code(answer)
    if answer.status_code in RETRIED_STATUS or code in {"RequestTimeout", "SlowDown", "IncompleteBody"}:
        return Verdict.LATER
    # 403 is an expired URL, most likely; a wrong checksum means the bytes changed between hash and send, on this
    # machine (check_unchanged says so) or on the way.
    if answer.status_code == 403 or code in _CHECKSUM_CODES:
        return Verdict.RENEW
    return Verdict.REFUSED


def error_code(response: httpx.Response) -> str:
    """Return the `Code` of an S3 error; its message is left out, because it may repeat the request."""
    return str(response.extensions.get("s3_code", ""))


def _with_code(response: httpx.Response) -> httpx.Response:
    """Read what matters of the body, bounded, before the connection goes back to the pool."""
    body = b""
    if not response.is_success:
        for data in response.iter_raw():
            body += data
            if len(body) >= _MAX_ERROR_BYTES:
                break
        found = _ERROR_CODE.search(body)
        response.extensions["s3_code"] = found.group(1).decode() if found else ""
    else:
        for _ in response.iter_raw():
            pass
    return response
