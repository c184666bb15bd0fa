"""What is removed is gone in a bucket that keeps versions, too."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.errors import Unavailable
from gateway.logs import JsonFormatter
from gateway.storage.models import StoreConfig
from gateway.storage.s3 import S3Store, open_store
from gateway.uploads import clean_up as module
from gateway.uploads.clean_up import remove_object
from tests.store.fault_server import answer, error, fault_server
from tests.store.objects import put_object

pytestmark = pytest.mark.store


@pytest.fixture(params=["Enabled", "Suspended", None])
def bucket(request: pytest.FixtureRequest, config: StoreConfig, boto3_s3: Any) -> Iterator[StoreConfig]:
    """Make a bucket that keeps versions, one that did, or one that never did."""
    name = f"bucket-{uuid.uuid4()}"
    boto3_s3.create_bucket(Bucket=name)
    if request.param is not None:
        for status in dict.fromkeys(("Enabled", request.param)):
            boto3_s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})
    yield replace(config, bucket=name)
    for found in _held(boto3_s3, name):
        boto3_s3.delete_object(Bucket=name, Key=found["Key"], VersionId=found["VersionId"])
    boto3_s3.delete_bucket(Bucket=name)


@pytest.fixture
async def store(bucket: StoreConfig) -> AsyncIterator[S3Store]:
    """Give our own client of that bucket."""
    async with open_store(bucket) as opened:
        yield opened


def _held(s3: Any, bucket: str) -> list[dict[str, Any]]:
    answer = s3.list_object_versions(Bucket=bucket)
    return [*answer.get("Versions", []), *answer.get("DeleteMarkers", [])]


async def test_no_version_of_a_removed_object_is_left(
    store: S3Store, bucket: StoreConfig, boto3_s3: Any, key: str
) -> None:
    """However often it was written, no content is left of it; other keys stay; again is fine."""
    for body in (b"one", b"two", b"three"):
        await put_object(store, key, body, content_type="audio/mpeg")
    await put_object(store, f"{key}.other", b"other", content_type="audio/mpeg")
    for _ in range(2):
        await remove_object(store, key)
        kept = boto3_s3.list_object_versions(Bucket=bucket.bucket)
        assert [found["Key"] for found in kept["Versions"]] == [f"{key}.other"]
        # MinIO hides the id of what was written under suspension, so that a plain DELETE leaves its marker there.
        if boto3_s3.get_bucket_versioning(Bucket=bucket.bucket).get("Status") != "Suspended":
            assert "DeleteMarkers" not in kept


@pytest.mark.parametrize("bucket", ["Enabled"], indirect=True)
async def test_more_versions_than_one_call_removes_are_said_to_be_left(
    store: S3Store, bucket: StoreConfig, boto3_s3: Any, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload stays marked, and the next call goes on."""
    monkeypatch.setattr(module, "MAX_VERSIONS", 2)
    for body in (b"one", b"two", b"three"):
        await put_object(store, key, body, content_type="audio/mpeg")
    with pytest.raises(Unavailable):
        await remove_object(store, key)
    await remove_object(store, key)
    assert _held(boto3_s3, bucket.bucket) == []


async def test_a_version_that_must_stay_is_hidden_at_least(
    config: StoreConfig, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without s3:DeleteObjectVersion, or under a lock, the plain DELETE is sent; the warning has no object key."""
    head = answer(200, ETag='"e"', **{"x-amz-version-id": "v1"})
    async with fault_server(head, error(403, "AccessDenied"), answer(204)) as faults:
        async with open_store(replace(config, endpoint=faults.endpoint)) as store:
            await remove_object(store, key)
        sent = [(request.method, "versionId=v1" in request.target) for request in faults.requests]
    assert sent == [("HEAD", False), ("DELETE", True), ("DELETE", False)]
    warnings = [record for record in caplog.records if "s3:DeleteObjectVersion" in record.getMessage()]
    assert len(warnings) == 1
    assert key not in JsonFormatter().format(warnings[0])
