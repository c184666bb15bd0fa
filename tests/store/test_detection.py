"""Detection reads one exact content of a real store by ranges, and says nothing about any other."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.detection import inspect, inspect_bytes
from gateway.storage.errors import PreconditionFailed, StoreError
from gateway.storage.models import ObjectHead, StoreConfig, lasting
from gateway.storage.s3 import S3Store, open_store
from gateway.uploads.content_reader import StoreReader
from tests.store.fault_server import answer, error, fault_server
from tests.store.objects import put_object
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


@pytest.fixture
def versioned(config: StoreConfig, boto3_s3: Any) -> Iterator[StoreConfig]:
    """Make a bucket that keeps versions."""
    name = f"bucket-{uuid.uuid4()}"
    boto3_s3.create_bucket(Bucket=name)
    boto3_s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    yield replace(config, bucket=name)
    held = boto3_s3.list_object_versions(Bucket=name)
    for found in [*held.get("Versions", []), *held.get("DeleteMarkers", [])]:
        boto3_s3.delete_object(Bucket=name, Key=found["Key"], VersionId=found["VersionId"])
    boto3_s3.delete_bucket(Bucket=name)


async def test_a1_where_versions_are_kept_a_look_ends_in_the_version_it_began(versioned: StoreConfig, key: str) -> None:
    """What is written or deleted between two reads changes nothing of what is judged."""
    checked = media.genuine("end.mp4")
    async with open_store(versioned) as store:
        await put_object(store, key, checked, content_type="video/mp4")
        reader = StoreReader(store, key, await store.head_object(key))

        class Replaced:
            size_bytes = reader.size_bytes

            async def read(self, start: int, length: int) -> bytes:
                data = await reader.read(start, length)
                await put_object(store, key, media.HTML, content_type="text/html")
                await store.delete_object(key)
                return data

        assert await inspect(Replaced()) == inspect_bytes(checked)


@pytest.mark.parametrize("refusal", [error(403, "AccessDenied"), error(501, "NotImplemented"), error(400, "Invalid")])
async def test_a_store_that_does_not_read_by_version_is_read_by_etag(
    config: StoreConfig, key: str, refusal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning, and from then on every read is what it was before there were versions; none is recorded."""
    four = answer(206, b"0123", Content_Range="bytes 0-3/4")
    async with fault_server(refusal, four, four) as faults:
        async with open_store(replace(config, endpoint=faults.endpoint)) as store:
            reader = StoreReader(store, key, ObjectHead(4, "e", "audio/mpeg", version_id="v1"))
            assert [await reader.read(0, 4) for _ in range(2)] == [b"0123"] * 2
        sent = [("versionId=v1" in request.target, request.headers["if-match"]) for request in faults.requests]
    assert sent == [(True, '"e"'), (False, '"e"'), (False, '"e"')]
    assert reader.version_id is None
    assert [record.levelname for record in caplog.records if record.name == "gateway.uploads.content_reader"] == [
        "WARNING"
    ]


@pytest.mark.parametrize("refusal", [error(412, "PreconditionFailed"), error(404, "NoSuchVersion")])
async def test_a1_what_a_store_says_of_the_version_is_not_asked_again_of_another(
    config: StoreConfig, key: str, refusal: Any
) -> None:
    """A version that is gone or is not what it was ends the look."""
    async with fault_server(refusal, answer(206, b"0123", Content_Range="bytes 0-3/4")) as faults:
        async with open_store(replace(config, endpoint=faults.endpoint)) as store:
            reader = StoreReader(store, key, ObjectHead(4, "e", "audio/mpeg", version_id="v1"))
            with pytest.raises(StoreError):
                await reader.read(0, 4)
        assert len(faults.requests) == 1


@pytest.mark.parametrize(("told", "kept"), [("v1", "v1"), ("null", None), ("", None), (None, None)])
def test_only_a_version_that_lasts_is_one(told: str | None, kept: str | None) -> None:
    """A store without versions names none, and `null` is written over."""
    assert lasting(told) == kept
