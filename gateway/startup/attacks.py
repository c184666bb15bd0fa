"""Make the requests of an attacker, or of a client that stops in the middle, for the probes and the tests."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit
from zlib import crc32

import aiohttp
from yarl import URL

from gateway.storage.address import BucketAddress
from gateway.storage.clock import utc_now
from gateway.storage.errors import StoreUnavailable
from gateway.storage.models import StoreConfig
from gateway.storage.presign import SignedRequest
from gateway.storage.sigv4 import Moment, encode, join_pairs

PROBE_SECONDS = 5.0
"""Longest wait for one answer of a probe."""


async def send(
    session: aiohttp.ClientSession,
    request: SignedRequest,
    body: bytes | aiohttp.FormData = b"",
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Send a presigned request with more headers than were signed; return status and body (at most 64 KiB).

    Raises StoreUnavailable when there is no answer.
    """
    sent = {**request.headers, **(headers or {})}
    timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS)
    try:
        async with session.request(
            request.method,
            URL(request.url, encoded=True),
            data=body if request.method != "GET" else None,
            headers=sent,
            timeout=timeout,
            allow_redirects=False,
            skip_auto_headers=("Content-Type",) if isinstance(body, bytes) else (),
        ) as answer:
            return answer.status, await answer.content.read(64 << 10)
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        raise StoreUnavailable(operation="probe", message=type(exc).__name__) from exc


def forged_put(
    config: StoreConfig, key: str, body: bytes, version_id: str | None = None
) -> tuple[SignedRequest, bytes]:
    """Make a PUT with an access key id but no valid signature (CVE-2026-41145); return it with its encoded body."""
    address = BucketAddress.of(config.endpoint, config.bucket, config.addressing_style)
    moment = Moment(config.credentials, config.region, utc_now())
    trailer = b64encode(crc32(body).to_bytes(4, "big")).decode()
    encoded = f"{len(body):x}\r\n".encode() + body + f"\r\n0\r\nx-amz-checksum-crc32:{trailer}\r\n\r\n".encode()
    headers = {
        "Host": address.host,
        "X-Amz-Date": moment.amz_date,
        "X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "X-Amz-Decoded-Content-Length": str(len(body)),
        "X-Amz-Trailer": "x-amz-checksum-crc32",
        "Content-Encoding": "aws-chunked",
    }
    pairs = [*moment.encoded_query(60, "host"), ("X-Amz-Signature", "0" * 64)]
    if version_id is not None:
        pairs.append(("versionId", encode(version_id)))
    url = f"{address.origin}{address.path(key)}?{join_pairs(pairs)}"
    return SignedRequest("PUT", url, headers, moment.signed_at), encoded


async def send_half(request: SignedRequest, size_bytes: int) -> None:
    """Announce *size_bytes*, send half of them and close the connection, like a client that stops.

    Raises StoreUnavailable when the store cannot be reached.
    """
    parts = urlsplit(request.url)
    secure = parts.scheme == "https"
    lines = [
        f"{request.method} {parts.path}?{parts.query} HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Content-Length: {size_bytes}",
        *(f"{name}: {value}" for name, value in request.headers.items()),
    ]
    writer = None
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(
                parts.hostname,
                parts.port or (443 if secure else 80),
                ssl=ssl.create_default_context() if secure else None,
            )
            writer.write("\r\n".join([*lines, "", ""]).encode() + b"h" * (size_bytes // 2))
            await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
            # The store must read the half before the connection closes.
            await asyncio.sleep(0.2)
    except (OSError, TimeoutError) as exc:
        raise StoreUnavailable(operation="probe", message=type(exc).__name__) from exc
    finally:
        if writer is not None:
            writer.close()
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), 1)
