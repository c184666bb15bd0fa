"""Let web pages of the allowed origins use the store, and name the origins that cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import aiohttp

from gateway.domain.errors import GatewayError, Unavailable
from gateway.domain.origins import example_of
from gateway.storage import admin
from gateway.storage.admin import CorsProbe
from gateway.storage.models import StoreConfig

BY_HAND = (
    "allow it PUT and POST with every header, and expose ETag, in the CORS settings of the store "
    "(MinIO: MINIO_API_CORS_ALLOW_ORIGIN)"
)
NO_RIGHT = (
    "give the gateway's key s3:GetBucketCORS and s3:PutBucketCORS, or allow it PUT and POST with every header, and "
    "expose ETag, in the CORS settings of the bucket"
)
PROXY = "look for a proxy that answers OPTIONS itself or drops CORS headers"


async def check_cors(config: StoreConfig, public_endpoint: str, origins: Sequence[str]) -> list[str]:
    """Let pages of *origins* send parts and POST uploads; return one line for each that still cannot, with the cure.

    The gateway adds a rule to the bucket only when the store refuses or hides something that a browser needs. Rules of
    others stay. *public_endpoint* is the address that clients use. Never raises for a store that refuses or does not
    answer.
    """
    public = replace(config, endpoint=public_endpoint)
    async with aiohttp.ClientSession() as session:
        refused = await _refused(public, origins, session)
        if not refused:
            return []
        remedy = await _add_rule(config, origins)
        still = await _refused(public, origins, session)
    return [f"A page of {probe.origin} cannot upload: {probe.detail}; {remedy}." for probe in still]


async def _refused(public: StoreConfig, origins: Sequence[str], session: aiohttp.ClientSession) -> list[CorsProbe]:
    probes = []
    for origin in origins:
        try:
            probes.append(await admin.probe_cors(public, example_of(origin), session))
        except Unavailable as exc:
            probes.append(CorsProbe(origin, 0, allowed=False, detail=f"the store does not answer ({exc.detail})"))
    return [probe for probe in probes if not probe.allowed]


async def _add_rule(config: StoreConfig, origins: Sequence[str]) -> str:
    """Add the gateway's rule to the bucket; return the cure for an operator if the rule does not help."""
    try:
        result = await admin.add_bucket_cors(config, origins)
    except Unavailable:
        return "see that the store runs and that its address is right"
    except GatewayError:
        return NO_RIGHT
    return PROXY if result == "set" else BY_HAND
