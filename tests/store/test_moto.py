"""Ask a moto server for what the embedded stores do not show on demand: versions and their deletion.

moto checks no signature, so nothing here says anything about security.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from moto.server import ThreadedMotoServer

from gateway.storage.admin import ensure_bucket, open_admin
from gateway.storage.errors import EntityTooSmall, InvalidPart, NoSuchBucket, NoSuchKey, NoSuchUpload
from gateway.storage.models import CompletedPart, StoreConfig
from gateway.storage.s3 import S3Store, open_store
from gateway.storage.sigv4 import Credentials
from tests.store.objects import put_object

KEY = "uploads/x.mp4"


@pytest.fixture(scope="module")
def moto_endpoint() -> Iterator[str]:
    """Run a moto server on a free port."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
async def moto(moto_endpoint: str) -> AsyncIterator[S3Store]:
    """Give our client on a versioned moto bucket."""
    config = StoreConfig(moto_endpoint, "versioned", "eu-west-1", Credentials("AKID", "SECRET"))
    await ensure_bucket(config)
    async with open_admin(config) as client:
        await client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    async with open_store(config) as store:
        yield store


async def test_versions_are_named_and_deleted_one_by_one(moto: S3Store) -> None:
    """HEAD names the version, and deleting one version leaves the other."""
    await put_object(moto, KEY, b"first", content_type="video/mp4")
    first = (await moto.head_object(KEY)).version_id
    await put_object(moto, KEY, b"second", content_type="video/mp4")
    second = (await moto.head_object(KEY)).version_id
    assert first
    assert second
    assert first != second
    await moto.delete_object(KEY, version_id=second)
    assert await moto.get_object_range(KEY, 0, 5, if_match=None) == b"first"
    await moto.delete_object(KEY, version_id=second)
    await moto.delete_object(KEY)
    with pytest.raises(NoSuchKey):
        await moto.head_object(KEY)


async def test_refusals_are_the_same_words(moto: S3Store, moto_endpoint: str) -> None:
    """A third implementation's refusals become the same errors."""
    upload = await moto.create_multipart_upload(KEY, content_type="video/mp4")
    small = [
        CompletedPart(number, await moto.upload_part(KEY, upload, number, b"x", size_bytes=1)) for number in (1, 2)
    ]
    with pytest.raises(EntityTooSmall):
        await moto.complete_multipart_upload(KEY, upload, small)
    with pytest.raises(InvalidPart):
        await moto.complete_multipart_upload(KEY, upload, [CompletedPart(3, "0" * 32)])
    await moto.abort_multipart_upload(KEY, upload)
    with pytest.raises(NoSuchUpload):
        await moto.abort_multipart_upload(KEY, upload)
    async with open_store(StoreConfig(moto_endpoint, "missing", "us-east-1", Credentials("A", "S"))) as missing:
        with pytest.raises(NoSuchBucket):
            await missing.head_bucket()
        with pytest.raises(NoSuchBucket):
            await put_object(missing, KEY, b"x", content_type="video/mp4")
