"""Find out at start whether the store lets anyone write, and say so loudly."""

from __future__ import annotations

import logging
from uuid import uuid4

import aiohttp

from gateway.domain.errors import GatewayError
from gateway.storage.canary import forged_trailer_put
from gateway.storage.models import StoreConfig

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
