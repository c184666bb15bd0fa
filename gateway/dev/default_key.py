"""Use a MinIO on this machine that still has the key of its installation, without asking for keys."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from gateway.bootstrap import store_config_of
from gateway.dev.processes import StackError
from gateway.dev.store import kept_keys, key_settings
from gateway.domain.addresses import address_of
from gateway.settings import Settings
from gateway.storage import admin
from gateway.storage.errors import StoreError, StoreUnavailable
from gateway.storage.minio_keys import is_minio
from gateway.storage.models import StoreConfig
from gateway.storage.sigv4 import Credentials

DEFAULT_KEY = Credentials("minioadmin", "minioadmin")
"""Root key of a MinIO that was started without MINIO_ROOT_USER. Everybody knows it, so sending it reveals nothing."""


def keys_of_own_store(settings: Settings, data_dir: Path) -> dict[str, str]:
    """Return the settings with keys for the user's own store, where they name none; empty where they do.

    On a loopback address a MinIO with its default key is given three keys of the gateway, kept in *data_dir*.

    Raises:
        StackError: The store does not answer, or needs keys that only the user has.
    """
    if settings.s3_access_key_id or settings.s3_admin_access_key_id is not None:
        return {}
    endpoint = settings.s3_endpoint
    try:
        tried = _is_loopback(endpoint)
        if tried and asyncio.run(_takes_default_key(store_config_of(settings))):
            folder = data_dir / "minio-keys"
            folder.mkdir(parents=True, exist_ok=True)
            return {
                **key_settings(kept_keys(folder)),
                "s3_admin_access_key_id": DEFAULT_KEY.access_key_id,
                "s3_admin_secret_access_key": DEFAULT_KEY.secret_access_key,
            }
    except (StoreError, StoreUnavailable) as error:
        raise StackError(f"The store at {endpoint} refuses or does not answer: {error}") from error
    also = ", and it is no MinIO with its default key" if tried else ""
    raise StackError(
        f"The store at {endpoint} needs a key: set GATEWAY_S3_ACCESS_KEY_ID and GATEWAY_S3_SECRET_ACCESS_KEY{also}."
    )


def _is_loopback(endpoint: str) -> bool:
    """Return whether *endpoint* is on this machine: another one must not learn which default keys are tried."""
    host = urlsplit(endpoint).hostname or ""
    address = address_of(host)
    return host == "localhost" or (address is not None and address.is_loopback)


async def _takes_default_key(config: StoreConfig) -> bool:
    if not await is_minio(config):
        return False
    try:
        async with admin.open_admin(replace(config, credentials=DEFAULT_KEY)) as client:
            await client.list_buckets()
    except StoreError:
        return False
    return True
