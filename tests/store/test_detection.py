"""Detection reads one exact content of a real store by ranges, and says nothing about any other."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from gateway.detection import inspect, inspect_bytes
from gateway.storage.errors import PreconditionFailed
from gateway.storage.s3 import S3Store
from gateway.uploads.contents import StoreReader
from tests.unit.detection import media

pytestmark = pytest.mark.store


@pytest.mark.parametrize("name", ["end.mp4", "x.mkv", "x.mp3", "x.ts", "x.wav", "x.ogg"])
async def test_an_object_gets_the_verdict_of_its_bytes(
    name: str, ours: S3Store, boto3_s3: Any, store_server: Any
) -> None:
    """Ranged GETs of a stored object lead to the same answer as its bytes in memory, at the same cost."""
    key = f"detection/{uuid.uuid4().hex}"
    boto3_s3.put_object(Bucket=store_server.bucket, Key=key, Body=media.genuine(name))
    head = await ours.head_object(key)
    assert await inspect(StoreReader(ours, key, head)) == inspect_bytes(media.genuine(name))


async def test_an_object_replaced_between_two_reads_has_no_verdict(
    ours: S3Store, boto3_s3: Any, store_server: Any
) -> None:
    """Every read is pinned with If-Match: bytes of two contents are never judged as one."""
    key = f"detection/{uuid.uuid4().hex}"
    boto3_s3.put_object(Bucket=store_server.bucket, Key=key, Body=media.genuine("end.mp4"))
    reader = StoreReader(ours, key, await ours.head_object(key))

    class Replaced:
        size_bytes = reader.size_bytes

        async def read(self, start: int, length: int) -> bytes:
            data = await reader.read(start, length)
            boto3_s3.put_object(Bucket=store_server.bucket, Key=key, Body=media.HTML)
            return data

    with pytest.raises(PreconditionFailed):
        await inspect(Replaced())
