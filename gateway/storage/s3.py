"""Call an S3-compatible store. Each operation of the request path has S3's name.

The gateway's key needs `s3:PutObject`, `s3:GetObject`, `s3:DeleteObject`, `s3:AbortMultipartUpload` and
`s3:ListMultipartUploadParts` on the prefix, and `s3:ListBucket` on the bucket (for a 404 instead of a 403, and for
readiness); where versions are kept also `s3:GetObjectVersion` and `s3:DeleteObjectVersion`. Tested with SeaweedFS
and MinIO. docs/stores.md lists their quirks.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import aiohttp

from gateway.domain.parts import StoredPart
from gateway.storage.clock import StoreClock, utc_now
from gateway.storage.errors import InvalidRange, NoSuchBucket, NoSuchKey, StoreError
from gateway.storage.models import Assembled, CompletedPart, ObjectHead, StoreConfig, lasting
from gateway.storage.sigv4 import encode_path
from gateway.storage.transport import Answer, Body, Call, Transport
from gateway.storage.wire import complete_body, stored_part

__all__ = ["Assembled", "CompletedPart", "ObjectHead", "S3Store", "StoreConfig", "StoredPart", "open_store"]

_PAGE = 1000  # S3's largest page of parts
_MAX_PAGES = 40  # 10,000 parts are 10 pages; SeaweedFS lists both copies of a part that was sent again
_MAX_PARTS = 10_000
_NO_CONTENT = frozenset({200, 204})
_PARTIAL = frozenset({206})
_PRINTABLE = re.compile(r"[\x20-\x7e]*").fullmatch


COPY_SECONDS = 120.0
"""Longest wait for one copied part. MinIO copied 1 GiB in 4.6 s on a small machine; a part is smaller."""


class S3Store:
    """Call one bucket of an S3-compatible store.

    Every method raises StoreError (or a subclass) when the store refuses, and StoreUnavailable when it gives no usable
    answer within the configured tries. In the second case the outcome is unknown.
    """

    def __init__(
        self, config: StoreConfig, session: aiohttp.ClientSession, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._config = config
        self.clock = now if isinstance(now, StoreClock) else StoreClock(now)
        self._transport = Transport(config, session, self.clock)

    async def create_multipart_upload(
        self,
        key: str,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        checksum_algorithm: Literal["SHA256"] | None = None,
        content_disposition: str | None = None,
    ) -> str:
        """Create a multipart upload and return the store's id for it; see `open_multipart_upload`."""
        opened = await self.open_multipart_upload(
            key,
            content_type=content_type,
            metadata=metadata,
            checksum_algorithm=checksum_algorithm,
            content_disposition=content_disposition,
        )
        return opened[0]

    async def open_multipart_upload(
        self,
        key: str,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        checksum_algorithm: Literal["SHA256"] | None = None,
        content_disposition: str | None = None,
    ) -> tuple[str, bool]:
        """Create a multipart upload; return the store's id for it, and whether more than one try was needed.

        AWS requires `checksum_algorithm` here for part checksums; the tested stores do not. If the answer to the first
        try is lost, the store may hold a second multipart upload of the key; the sweep aborts it.
        """
        headers = _object_headers(content_type, metadata)
        if content_disposition is not None:
            headers["content-disposition"] = _header_value(content_disposition)
        if checksum_algorithm is not None:
            headers["x-amz-checksum-algorithm"] = checksum_algorithm
        answer = await self._transport.call(
            Call("CreateMultipartUpload", "POST", key, [("uploads", "")], headers, xml=True)
        )
        return _required(answer, "CreateMultipartUpload", "UploadId"), answer.tries > 1

    async def upload_part(
        self,
        key: str,
        multipart_upload_id: str,
        part_number: int,
        body: Body,
        *,
        size_bytes: int,
        checksum_sha256: str | None = None,
        timeout_seconds: float | None = None,
        total_wait_seconds: float | None = None,
    ) -> str:
        """Store one part and return its etag.

        *timeout_seconds* bounds each wait for progress, *total_wait_seconds* all waits together, over all tries.
        A stream is sent once and is never whole in memory; bytes are sent again when the store fails. Raises ValueError
        when the body is longer or shorter than *size_bytes*, and every error of the stream itself.
        """
        headers = {} if checksum_sha256 is None else {"x-amz-checksum-sha256": checksum_sha256}
        pairs = [("partNumber", str(part_number)), ("uploadId", multipart_upload_id)]
        call = Call("UploadPart", "PUT", key, pairs, headers, body, size_bytes, timeout_seconds, total_wait_seconds)
        return _etag(await self._transport.call(call), "UploadPart")

    async def list_parts(self, key: str, multipart_upload_id: str) -> list[StoredPart]:
        """Return every part the store holds, the newest of each part number, ascending.

        SeaweedFS lists both copies of a part that was sent twice. If both have the same second, the later one in its
        list is returned. Raises NoSuchUpload.
        """
        newest: dict[int, StoredPart] = {}
        marker = 0
        for _ in range(_MAX_PAGES):
            parts, truncated = await self._part_page(key, multipart_upload_id, marker)
            for part in parts:
                seen = newest.get(part.part_number)
                if seen is None or part.last_modified >= seen.last_modified:
                    newest[part.part_number] = part
            # MinIO sends NextPartNumberMarker 0 on the last page, so only IsTruncated shows the end.
            if not truncated:
                return [newest[number] for number in sorted(newest)]
            last = max((part.part_number for part in parts), default=0)
            if last <= marker or len(newest) > _MAX_PARTS:
                break
            # The second copy of the last part may be on the next page, so that part is requested again.
            marker = last - 1 if last - 1 > marker else last
        raise StoreError(operation="ListParts", message="too many pages")

    async def held_bytes(self, key: str, multipart_upload_id: str) -> tuple[int, int]:
        """Return the bytes of the newest part of each number, and of all copies that the store lists.

        Raises NoSuchUpload.
        """
        newest: dict[int, StoredPart] = {}
        total = marker = 0
        for _ in range(_MAX_PAGES):
            parts, truncated = await self._part_page(key, multipart_upload_id, marker)
            for part in parts:
                total += part.size_bytes
                seen = newest.get(part.part_number)
                if seen is None or part.last_modified >= seen.last_modified:
                    newest[part.part_number] = part
            last = max((part.part_number for part in parts), default=0)
            if not truncated or last <= marker:
                break
            marker = last
        return sum(part.size_bytes for part in newest.values()), total

    async def _part_page(self, key: str, multipart_upload_id: str, marker: int) -> tuple[list[StoredPart], bool]:
        pairs = [("max-parts", str(_PAGE)), ("uploadId", multipart_upload_id)]
        if marker:
            pairs.insert(1, ("part-number-marker", str(marker)))
        answer = await self._transport.call(Call("ListParts", "GET", key, pairs, xml=True))
        try:
            return [stored_part(item) for item in answer.xml.all("Part")], answer.xml.get("IsTruncated") == "true"
        except ValueError as exc:
            raise StoreError(operation="ListParts", message="a part that cannot be read") from exc

    async def complete_multipart_upload(
        self, key: str, multipart_upload_id: str, parts: Sequence[CompletedPart], *, if_none_match: bool = False
    ) -> Assembled:
        """Assemble the parts; return the object's etag and, in a bucket that keeps versions, its version.

        Raises NoSuchUpload also when an earlier try assembled them and its answer was lost: check the object then.
        With *if_none_match* an existing object is kept and PreconditionFailed is raised.
        """
        body = complete_body(parts)
        headers = {"content-type": "application/xml"}
        if if_none_match:
            headers["if-none-match"] = "*"
        call = Call(
            "CompleteMultipartUpload",
            "POST",
            key,
            [("uploadId", multipart_upload_id)],
            headers,
            body,
            len(body),
            timeout_seconds=self._config.complete_timeout_seconds,
            xml=True,
        )
        answer = await self._transport.call(call)
        etag = _required(answer, call.operation, "ETag").strip('"')
        return Assembled(etag, lasting(answer.headers.get("x-amz-version-id")))

    async def abort_multipart_upload(self, key: str, multipart_upload_id: str) -> None:
        """Remove a multipart upload and its parts. Raises NoSuchUpload."""
        pairs = [("uploadId", multipart_upload_id)]
        await self._transport.call(Call("AbortMultipartUpload", "DELETE", key, pairs, ok=_NO_CONTENT))

    async def upload_part_copy(
        self,
        key: str,
        multipart_upload_id: str,
        part_number: int,
        *,
        source_key: str,
        source_if_match: str,
        start: int,
        length: int,
    ) -> str:
        """Copy a range of another object of the bucket into a part, and return the part's etag.

        Raises PreconditionFailed when the source no longer has the etag *source_if_match*, NoSuchKey and NoSuchUpload.
        """
        headers = {
            "x-amz-copy-source": f"/{self._config.bucket}/{encode_path(source_key)}",
            "x-amz-copy-source-if-match": f'"{source_if_match}"',
            "x-amz-copy-source-range": f"bytes={start}-{start + length - 1}",
        }
        pairs = [("partNumber", str(part_number)), ("uploadId", multipart_upload_id)]
        call = Call("UploadPartCopy", "PUT", key, pairs, headers, timeout_seconds=COPY_SECONDS, xml=True)
        answer = await self._transport.call(call)
        return _required(answer, call.operation, "ETag").strip('"')

    async def head_object(self, key: str, *, if_match: str | None = None, version_id: str | None = None) -> ObjectHead:
        """Describe an object. Raises NoSuchKey, or PreconditionFailed when its etag is not *if_match*."""
        call = Call("HeadObject", "HEAD", key, _version(version_id), _if_match(if_match))
        return _object_head(await self._transport.call(call))

    async def get_object_range(
        self, key: str, start: int, length: int, *, if_match: str | None, version_id: str | None = None
    ) -> bytes:
        """Read exactly *length* bytes from *start* on.

        Raises PreconditionFailed when the object has another etag, InvalidRange when it ends before *start* (always for
        an empty object), and StoreError when the answer has another length.
        """
        if start < 0 or length < 1:
            raise ValueError("a range starts at 0 or later and has at least one byte")
        headers = {"range": f"bytes={start}-{start + length - 1}", **_if_match(if_match)}
        call = Call(
            "GetObject", "GET", key, _version(version_id), headers, ok=_PARTIAL, max_answer_bytes=length, raw=True
        )
        answer = await self._transport.call(call)
        seen = answer.headers.get("Content-Range", "")
        if len(answer.body) != length or not seen.startswith(f"bytes {start}-{start + length - 1}/"):
            raise StoreError(operation=call.operation, status=answer.status, message="not the requested range")
        return answer.body

    async def open_object(
        self, key: str, length: int, *, if_match: str | None, version_id: str | None = None
    ) -> tuple[ObjectHead, bytes]:
        """Describe an object and read its first *length* bytes, fewer where it is shorter, in one request.

        An empty object has no first byte, so a second request describes it. Raises as `get_object_range` does.
        """
        headers = {"range": f"bytes=0-{length - 1}", **_if_match(if_match)}
        call = Call(
            "GetObject", "GET", key, _version(version_id), headers, ok=_PARTIAL, max_answer_bytes=length, raw=True
        )
        try:
            answer = await self._transport.call(call)
        except InvalidRange:
            return await self.head_object(key, if_match=if_match, version_id=version_id), b""
        seen, _, total = answer.headers.get("Content-Range", "").partition("/")
        size = int(total) if total.isascii() and total.isdigit() else 0
        if seen != f"bytes 0-{len(answer.body) - 1}" or not answer.body or len(answer.body) != min(length, size):
            raise StoreError(operation=call.operation, status=answer.status, message="not the requested range")
        return _object_head(answer, size_bytes=size), answer.body

    async def delete_object(self, key: str, *, version_id: str | None = None) -> None:
        """Delete an object. A missing object is no error."""
        try:
            await self._transport.call(Call("DeleteObject", "DELETE", key, _version(version_id), ok=_NO_CONTENT))
        except NoSuchKey:
            return

    async def head_bucket(self) -> None:
        """Check that the store answers and the bucket exists. Raises NoSuchBucket."""
        try:
            await self._transport.call(Call("HeadBucket", "HEAD"))
        except NoSuchKey as exc:
            raise NoSuchBucket(operation="HeadBucket", s3_code=exc.s3_code, status=exc.status) from exc


def _header_value(value: str) -> str:
    if not _PRINTABLE(value):
        raise ValueError("a header value is printable ASCII; encode everything else first")
    return value


def _object_headers(content_type: str, metadata: Mapping[str, str] | None) -> dict[str, str]:
    headers = {"content-type": _header_value(content_type)}
    return headers | {f"x-amz-meta-{name.lower()}": _header_value(value) for name, value in (metadata or {}).items()}


def _version(version_id: str | None) -> list[tuple[str, str]]:
    return [] if version_id is None else [("versionId", version_id)]


def _if_match(etag: str | None) -> dict[str, str]:
    return {} if etag is None else {"if-match": f'"{etag}"'}


def _required(answer: Answer, operation: str, name: str) -> str:
    value = answer.xml.get(name)
    if not value:
        raise StoreError(operation=operation, status=answer.status, message=f"an answer without {name}")
    return value


def _etag(answer: Answer, operation: str) -> str:
    value = answer.headers.get("ETag", "").strip('"')
    if not value:
        raise StoreError(operation=operation, status=answer.status, message="an answer without ETag")
    return value


def _object_head(answer: Answer, size_bytes: int | None = None) -> ObjectHead:
    headers = answer.headers
    prefix = "x-amz-meta-"
    modified = headers.get("Last-Modified")
    try:
        return ObjectHead(
            size_bytes=int(headers["Content-Length"]) if size_bytes is None else size_bytes,
            etag=headers.get("ETag", "").strip('"'),
            content_type=headers.get("Content-Type", ""),
            metadata={
                name.lower().removeprefix(prefix): value
                for name, value in headers.items()
                if name.lower().startswith(prefix)
            },
            last_modified=parsedate_to_datetime(modified) if modified else None,
            version_id=headers.get("x-amz-version-id"),
        )
    except (KeyError, ValueError) as exc:
        raise StoreError(operation="HeadObject", status=answer.status, message="unreadable headers") from exc


@asynccontextmanager
async def open_store(config: StoreConfig, now: Callable[[], datetime] = utc_now) -> AsyncIterator[S3Store]:
    """Open a store with a separate, bounded connection pool, without cookies and without the environment's proxies."""
    connector = aiohttp.TCPConnector(limit=config.pool_size, ttl_dns_cache=60)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        # After a reset, aiohttp would repeat each request at once. Its own test client switches this off like this.
        session._retry_connection = False
        yield S3Store(config, session, now)
