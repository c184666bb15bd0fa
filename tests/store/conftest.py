"""Give the store under test through each of the three clients, and clean names to work under."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import aiohttp
import pytest

from gateway.dev.store import StoreServer
from gateway.storage.models import StoreConfig
from gateway.storage.presign import Presigner
from gateway.storage.s3 import S3Store, open_store
from gateway.storage.sigv4 import Credentials
from tests.store.adapters import AnyStore, open_aioboto3, open_boto3


@pytest.fixture
def config(store_server: StoreServer) -> StoreConfig:
    """Point at the store under test."""
    return StoreConfig(
        endpoint=store_server.endpoint,
        bucket=store_server.bucket,
        region=store_server.region,
        credentials=Credentials(store_server.access_key_id, store_server.secret_access_key),
        retry_base_seconds=0.01,
    )


async def open_any(name: str, config: StoreConfig, stack: AsyncExitStack) -> AnyStore:
    """Open one of the three clients by name until *stack* closes."""
    if name == "ours":
        return await stack.enter_async_context(open_store(config))
    return open_boto3(config, stack) if name == "boto3" else await open_aioboto3(config, stack)


@pytest.fixture(params=["ours", "aioboto3", "boto3"])
async def store(request: pytest.FixtureRequest, config: StoreConfig) -> AsyncIterator[AnyStore]:
    """Give each client in turn: a contract test must pass with every one."""
    async with AsyncExitStack() as stack:
        yield await open_any(request.param, config, stack)


@pytest.fixture
async def bad_store(request: pytest.FixtureRequest, config: StoreConfig) -> AsyncIterator[dict[str, AnyStore]]:
    """Give our client with a wrong secret and one with a missing bucket."""
    wrong = Credentials(config.credentials.access_key_id, "not-the-secret-of-this-key")
    async with AsyncExitStack() as stack:
        name = request.node.callspec.params["store"]
        yield {
            "secret": await open_any(name, replace(config, credentials=wrong), stack),
            "bucket": await open_any(name, replace(config, bucket="no-such-bucket-here"), stack),
        }


@pytest.fixture
async def ours(config: StoreConfig) -> AsyncIterator[S3Store]:
    """Give our own client."""
    async with open_store(config) as opened:
        yield opened


@pytest.fixture
def presigner(config: StoreConfig, ours: S3Store) -> Presigner:
    """Give a presigner for the store under test."""
    return Presigner(
        config.endpoint, config.bucket, config.region, config.credentials, config.addressing_style, now=ours.clock
    )


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """Give a client that holds nothing but the URLs it is handed."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def key() -> str:
    """Give an object key of this test's own."""
    return f"uploads/{uuid.uuid4()}.mp4"
