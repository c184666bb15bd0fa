"""List more parts than one page holds, with copies where pages meet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from gateway.storage.models import StoreConfig
from gateway.storage.s3 import S3Store
from tests.store.conftest import open_any

pytestmark = pytest.mark.store

COUNT = 1_003


@pytest.fixture
async def upload(ours: S3Store, key: str) -> AsyncIterator[str]:
    """Give an upload of 1,003 parts, whose part 1,000 was sent twice."""
    upload_id = await ours.create_multipart_upload(key, content_type="video/mp4")
    gate = asyncio.Semaphore(16)

    async def put(number: int, body: bytes) -> None:
        async with gate:
            await ours.upload_part(key, upload_id, number, body, size_bytes=len(body))

    await asyncio.gather(*(put(number, b"part") for number in range(1, COUNT + 1)))
    await asyncio.sleep(1.1)  # SeaweedFS tells copies apart by whole seconds
    await put(1_000, b"newer")
    yield upload_id
    await ours.abort_multipart_upload(key, upload_id)


async def test_all_pages_are_listed_by_every_client(config: StoreConfig, key: str, upload: str) -> None:
    """Every client lists each of 1,003 parts once, and the newest of the one that is on a page's end."""
    for name in ("ours", "aioboto3", "boto3"):
        async with AsyncExitStack() as stack:
            store = await open_any(name, config, stack)
            parts = await store.list_parts(key, upload)
            assert [part.part_number for part in parts] == list(range(1, COUNT + 1)), name
            assert {part.part_number: part.size_bytes for part in parts if part.size_bytes != 4} == {1_000: 5}, name
