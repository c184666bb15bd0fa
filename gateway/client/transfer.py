"""Send one part to the store: hash it, get a URL for it, PUT it, and retry where that may help."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any
from urllib.parse import urlsplit

import httpx

from gateway.client.address import origin_of
from gateway.client.errors import StoreRefused, Unreachable
from gateway.client.flow import RETRIED_STATUS, Retry, unreachable
from gateway.client.models import SignedPart, Upload
from gateway.client.source import Source

# A URL that expires within this time is renewed before it is used: the request must reach the store before then.
EXPIRY_MARGIN = timedelta(seconds=30)
# A fresh URL may be refused once for a passing reason (a store's clock, a proxy). A third refusal is final.
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
    """Classify the store's response to a part."""

    STORED = auto()
    RETRY_LATER = auto()
    RENEW_URL = auto()
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class Hooks:
    """Connect the sending of parts to their upload: stop, wait and count."""

    check: Callable[[], None]
    pause: Callable[[float], None]
    sent: Callable[[int, int], None]
    retried: Callable[[str | None], None]


@dataclass(frozen=True, slots=True)
class SentPart:
    """Hold etag and base64 SHA-256 of a part in the store; no etag where the store hides it."""

    etag: str | None
    sha256: str | None


class PartURLs:
    """Hold part URLs until they are used or too old. A part with a checksum is signed alone, just before it is sent."""

    def __init__(self, sign: Sign, upload: Upload, address: str) -> None:
        self._sign = sign
        self._address = address
        self._part_count = upload.part_count or 0
        self._lock = threading.Lock()
        self._known = {part.part_number: part for part in upload.parts}

    def take(self, part_number: int, checksum: str | None) -> SignedPart:
        """Return a URL for a part. Each URL is returned once: the next call signs a new one."""
        if checksum is not None:
            return self._pick({part.part_number: part for part in self._sign({part_number: checksum})}, part_number)
        with self._lock:
            known = self._known.pop(part_number, None)
            if known is not None and known.expires_at - datetime.now(UTC) > EXPIRY_MARGIN:
                return known
            wanted = range(part_number, min(part_number + SIGN_BATCH, self._part_count + 1))
            self._known.update({part.part_number: part for part in self._sign(list(wanted))})
            return self._pick(self._known, part_number)

    def _pick(self, parts: dict[int, SignedPart], part_number: int) -> SignedPart:
        try:
            return parts.pop(part_number)
        except KeyError as exc:
            message = f"the gateway signed other parts than part {part_number}"
            raise Unreachable(message, address=self._address, advice="Report it to the operator.") from exc


class PartSender:
    """Send parts of one upload; `send` may run in several threads at once."""

    def __init__(
        self,
        store: httpx.Client,
        timeout: httpx.Timeout,
        source: Source,
        upload: Upload,
        urls: PartURLs,
        retry: Retry,
        hooks: Hooks,
    ) -> None:
        self._store = store
        self._timeout = timeout
        self._source = source
        self._upload = upload
        self._urls = urls
        self._retry = retry
        self._hooks = hooks

    def send(self, part_number: int, *, checksum: bool) -> SentPart:
        """Send a part; raise StoreRefused, Unreachable, or FileChanged when the file's size changed."""
        offset, size_bytes = self._upload.range_of_part(part_number)
        failures = forbidden = 0
        while True:
            # Hashed just before it is sent, and again before each retry: the disk's cache then still holds the part.
            digest = self._source.sha256(offset, size_bytes, self._hooks.check) if checksum else None
            target = self._urls.take(part_number, digest)
            answer = self._put(target, offset, size_bytes)
            verdict = judge(answer)
            if verdict is Verdict.STORED and isinstance(answer, httpx.Response):
                return SentPart(answer.headers.get("etag", "").strip('"') or None, digest)
            self._hooks.sent(part_number, 0)
            self._source.check_size()
            failures += 1
            forbidden += verdict is Verdict.RENEW_URL
            if verdict is Verdict.REFUSED or forbidden >= MAX_FORBIDDEN or failures >= self._retry.attempts:
                raise _failure(part_number, answer, origin_of(target.url))
            self._hooks.retried(origin_of(target.url))
            if verdict is Verdict.RETRY_LATER or forbidden > 1:
                response = answer if isinstance(answer, httpx.Response) else None
                self._hooks.pause(self._retry.delay(failures, response))

    def _put(self, target: SignedPart, offset: int, size_bytes: int) -> httpx.Response | httpx.TransportError:
        headers = {name: value for name, value in target.headers.items() if name.lower() != "host"}
        headers["Content-Length"] = str(size_bytes)
        body = self._body(target.part_number, offset, size_bytes)
        request = presigned_request(
            self._store, target.method, target.url, headers, timeout=self._timeout, content=body
        )
        response = None
        try:
            response = self._store.send(request, stream=True, follow_redirects=False, auth=None)
            return read_bounded(response)
        except httpx.TransportError as exc:
            return exc
        finally:
            if response is not None:
                response.close()

    def _body(self, part_number: int, offset: int, size_bytes: int) -> Iterator[bytes]:
        sent = 0
        for data in self._source.chunks(offset, size_bytes, self._hooks.check):
            yield data
            # The HTTP library asks for the next chunk when the socket has taken this one.
            sent += len(data)
            self._hooks.sent(part_number, sent)


def presigned_request(
    store: httpx.Client | httpx.AsyncClient,
    method: str,
    url: str,
    headers: Mapping[str, str],
    *,
    timeout: httpx.Timeout,
    content: Any = None,
) -> httpx.Request:
    """Build a request for a presigned URL, without the API key and with the URL exactly as it was signed.

    The query of the URL is a secret. It travels in an extension of httpx, so that no log and no error shows it.
    """
    address = urlsplit(url)
    raw_target = f"{address.path or '/'}?{address.query}" if address.query else address.path or "/"
    request = store.build_request(
        method,
        f"{address.scheme}://{address.netloc}/",
        content=content,
        headers=headers,
        timeout=timeout,
        extensions={"target": raw_target.encode("ascii")},
    )
    # A caller's own httpx client may carry credentials for the gateway. They are not for the store.
    for name in ("Authorization", "Cookie"):
        request.headers.pop(name, None)
    return request


def judge(answer: httpx.Response | httpx.TransportError) -> Verdict:
    """Decide what to do after a response of the store, or a failure to get one."""
    if isinstance(answer, httpx.UnsupportedProtocol):
        return Verdict.REFUSED
    if isinstance(answer, httpx.TransportError):
        return Verdict.RETRY_LATER
    if answer.is_success:
        return Verdict.STORED
    code = error_code(answer)
    if answer.status_code in RETRIED_STATUS or code in {"RequestTimeout", "SlowDown", "IncompleteBody"}:
        return Verdict.RETRY_LATER
    # A 403 usually means an expired URL. A wrong checksum means that the bytes changed between hash and send, on this
    # machine or on the way: the next try hashes and signs them again.
    if answer.status_code == 403 or code in _CHECKSUM_CODES:
        return Verdict.RENEW_URL
    return Verdict.REFUSED


def error_code(response: httpx.Response) -> str:
    """Return the `Code` of an S3 error. Its message is ignored: it may repeat the request."""
    return str(response.extensions.get("s3_code", ""))


def find_error_code(body: bytes) -> str:
    """Return the `Code` in the XML of an S3 error, or an empty text."""
    found = _ERROR_CODE.search(body)
    return found.group(1).decode() if found else ""


def read_bounded(response: httpx.Response) -> httpx.Response:
    """Read the body of a response up to a limit, before its connection returns to the pool."""
    body = b""
    if not response.is_success:
        for data in response.iter_raw():
            body += data
            if len(body) >= _MAX_ERROR_BYTES:
                break
        response.extensions["s3_code"] = find_error_code(body)
    else:
        for _ in response.iter_raw():
            pass
    return response


def _failure(part_number: int, answer: httpx.Response | httpx.TransportError, address: str) -> Exception:
    if isinstance(answer, httpx.Response):
        return StoreRefused(part_number, answer.status_code, error_code(answer), address=address)
    failure = unreachable(address, answer, "the store")
    failure.__cause__ = answer
    return failure
