"""Find out at start whether the store lets anyone write, and say so loudly."""

from __future__ import annotations

import logging
from base64 import b64encode
from dataclasses import dataclass
from uuid import uuid4
from zlib import crc32

import aiohttp
from yarl import URL

from gateway.domain.errors import GatewayError
from gateway.storage.address import BucketAddress
from gateway.storage.clock import StoreClock, utc_now
from gateway.storage.errors import StoreUnavailable
from gateway.storage.models import StoreConfig
from gateway.storage.s3 import S3Store
from gateway.storage.sigv4 import Moment, join_pairs

logger = logging.getLogger(__name__)

FORGEABLE = (
    "THE STORE ACCEPTS WRITES WITHOUT A SIGNATURE (CVE-2026-41145): whoever has seen one of its URLs can write with "
    "the rights of that URL's key. Update it, or refuse x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER "
    "without an Authorization header at a proxy, sign URLs with a key of their own (GATEWAY_S3_SIGNING_ACCESS_KEY_ID), "
    "and let the bucket keep versions."
)


async def report_forgery(config: StoreConfig, prefix: str) -> bool:
    """Try to forge a write below *prefix*, remove it again, and log an error when the store took it.

    Returns whether it did. Never raises for a store that refuses, misbehaves or does not answer.
    """
    key = f"{prefix.strip('/')}/canary-{uuid4()}".lstrip("/")
    try:
        async with aiohttp.ClientSession() as session:
            result = await forged_trailer_put(config, session, key)
    except GatewayError as exc:
        logger.warning("could not try whether the store takes forged writes", extra={"code": exc.code})
        return False
    if result.forged:
        logger.error(FORGEABLE)
    return result.forged


_BODY = b"canary"


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """Tell whether the store took a forged write."""

    forged: bool
    status: int


async def forged_trailer_put(config: StoreConfig, session: aiohttp.ClientSession, key: str) -> CanaryResult:
    """PUT to *key* with an invalid signature; delete the object when the store took it.

    Raises StoreUnavailable when the store does not answer: then nothing is known.
    """
    address = BucketAddress.of(config.endpoint, config.bucket, config.addressing_style)
    moment = Moment(config.credentials, config.region, utc_now())
    trailer = b64encode(crc32(_BODY).to_bytes(4, "big")).decode()
    body = f"{len(_BODY):x}\r\n{_BODY.decode()}\r\n0\r\nx-amz-checksum-crc32:{trailer}\r\n\r\n".encode()
    headers = {
        "Host": address.host,
        "X-Amz-Date": moment.amz_date,
        "X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "X-Amz-Decoded-Content-Length": str(len(_BODY)),
        "X-Amz-Trailer": "x-amz-checksum-crc32",
        "Content-Encoding": "aws-chunked",
    }
    query = join_pairs([*moment.encoded_query(60, "host"), ("X-Amz-Signature", "0" * 64)])
    url = URL(f"{address.origin}{address.path(key)}?{query}", encoded=True)
    timeout = aiohttp.ClientTimeout(total=config.timeout_seconds)
    try:
        async with session.put(url, data=body, headers=headers, timeout=timeout, allow_redirects=False) as answer:
            status = answer.status
    except (aiohttp.ClientError, TimeoutError) as exc:
        raise StoreUnavailable(operation="canary", message=type(exc).__name__) from exc
    if 200 <= status < 300:
        await S3Store(config, session, StoreClock()).delete_object(key)
        return CanaryResult(forged=True, status=status)
    return CanaryResult(forged=False, status=status)
