"""Probe a running store in a test as the API does at its start."""

from __future__ import annotations

from typing import Any

import aiohttp

from gateway.bootstrap import probe_targets_of, store_config_of
from gateway.dev.store import StoreServer
from gateway.settings import Settings
from gateway.startup.probes import probe_store
from gateway.storage.s3 import open_store
from gateway.storage.store_checks import ProbeResult


async def probe(server: StoreServer, **changed: Any) -> dict[str, ProbeResult]:
    """Run every probe with the settings of *server*, some *changed*, and return the results by name."""
    settings = Settings(_env_file=None, **{"s3_max_attempts": 1, **server.settings(), **changed})
    async with open_store(store_config_of(settings)) as store, aiohttp.ClientSession() as session:
        results = await probe_store(probe_targets_of(settings, store), session)
    return {result.name: result for result in results}


def root_settings(server: StoreServer) -> dict[str, str]:
    """Return settings that use the root key for everything, as an operator without separate keys has them."""
    ids = ("s3_access_key_id", "s3_signing_access_key_id", "s3_download_access_key_id")
    secrets = ("s3_secret_access_key", "s3_signing_secret_access_key", "s3_download_secret_access_key")
    return dict.fromkeys(ids, server.access_key_id) | dict.fromkeys(secrets, server.secret_access_key)
