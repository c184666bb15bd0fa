"""Make the gateway's three keys on MinIO with its own administration client.

This needs MinIO's root key or one with `admin:*`. `gateway store prepare` is the only command that uses it.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import aiohttp

from gateway.storage.errors import AccessDenied, StoreError, StoreUnavailable
from gateway.storage.models import StoreConfig
from gateway.storage.policies import KEY_NAMES, StoreKeys, policies

_OPERATION = "MinIO administration"


async def is_minio(config: StoreConfig) -> bool:
    """Ask whether the store is MinIO. Raises StoreUnavailable when it does not answer."""
    timeout = aiohttp.ClientTimeout(total=config.timeout_seconds)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(config.endpoint) as answer:
            return answer.headers.get("Server", "").lower().startswith("minio")
    except (aiohttp.ClientError, TimeoutError) as exc:
        raise StoreUnavailable(operation=_OPERATION, message=type(exc).__name__) from exc


async def make_minio_keys(admin: StoreConfig, keys: StoreKeys, prefix: str) -> None:
    """Create or update the three users and their policies. Safe to run again; a changed secret takes effect at once.

    Raises AccessDenied when the administration key may not do this, StoreError for another refusal and
    StoreUnavailable.
    """
    await asyncio.to_thread(_make, admin, keys, prefix)


def _make(admin: StoreConfig, keys: StoreKeys, prefix: str) -> None:
    # Imported here: the request path does not need the library.
    import urllib3  # noqa: PLC0415 - see above
    from minio.credentials.providers import StaticProvider  # noqa: PLC0415 - see above
    from minio.error import MinioAdminException  # noqa: PLC0415 - see above
    from minio.minioadmin import MinioAdmin  # noqa: PLC0415 - see above

    address = urlsplit(admin.endpoint)
    client = MinioAdmin(
        endpoint=address.netloc,
        credentials=StaticProvider(admin.credentials.access_key_id, admin.credentials.secret_access_key),
        region=admin.region,
        secure=address.scheme == "https",
        http_client=urllib3.PoolManager(timeout=admin.timeout_seconds, retries=urllib3.Retry(admin.max_attempts)),
    )
    try:
        for name, policy in policies(admin.bucket, prefix, for_minio=True).items():
            client.policy_add(_policy_name(admin.bucket, name), policy=policy)
        for name in KEY_NAMES:
            key = keys.of(name)
            client.user_add(key.access_key_id, key.secret_access_key)
            client.policy_set(_policy_name(admin.bucket, name), user=key.access_key_id)
    except MinioAdminException as exc:
        # The library's text holds the whole answer.
        kind = AccessDenied if "AccessDenied" in str(exc) or "SignatureDoesNotMatch" in str(exc) else StoreError
        raise kind(operation=_OPERATION, message=str(exc)) from exc
    except (urllib3.exceptions.HTTPError, OSError) as exc:
        raise StoreUnavailable(operation=_OPERATION, message=type(exc).__name__) from exc


def _policy_name(bucket: str, name: str) -> str:
    return f"upload-gateway-{bucket}-{name}"
