"""A13: a store that takes forged writes is named at start."""

from __future__ import annotations

import logging

import pytest

from gateway.dev.store import StoreServer
from gateway.startup.check_forgery import FORGEABLE, report_forgery
from gateway.storage.models import StoreConfig
from gateway.storage.sigv4 import Credentials


def _config(endpoint: str, server: StoreServer) -> StoreConfig:
    credentials = Credentials(server.access_key_id, server.secret_access_key)
    return StoreConfig(endpoint, server.bucket, server.region, credentials, max_attempts=1)


async def test_a13_a_store_that_takes_forged_writes_is_named(
    store_server: StoreServer, caplog: pytest.LogCaptureFixture, boto3_s3: object
) -> None:
    """MinIO of February 2026 is reported as an error, SeaweedFS is not, and no canary is left in either."""
    with caplog.at_level(logging.ERROR):
        forged = await report_forgery(_config(store_server.endpoint, store_server), "canaries")
    assert forged == (store_server.name == "minio")
    assert (FORGEABLE in caplog.messages) == forged
    listed = boto3_s3.list_objects_v2(Bucket=store_server.bucket, Prefix="canaries")  # type: ignore[attr-defined]
    assert listed["KeyCount"] == 0


async def test_a13_a_store_that_is_away_is_no_verdict(
    store_server: StoreServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Without an answer nothing is known, and that is said."""
    with caplog.at_level(logging.WARNING):
        assert await report_forgery(_config("http://127.0.0.1:9", store_server), "canaries") is False
    assert "could not try" in caplog.text
