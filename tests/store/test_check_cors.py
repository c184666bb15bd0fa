"""Whether pages may use the store is seen to when the API starts, and said where it fails."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError

from gateway.dev.store import StoreServer
from gateway.startup.check_cors import check_cors
from gateway.storage.admin import probe_cors
from gateway.storage.models import StoreConfig
from gateway.storage.sigv4 import Credentials
from tests.store.fault_server import answer, fault_server

ORIGIN = "http://127.0.0.1"
OTHER = "https://other.example"

pytestmark = pytest.mark.store


@pytest.fixture
def bucket(config: StoreConfig, boto3_s3: Any) -> Iterator[StoreConfig]:
    """Make a bucket without CORS rules."""
    name = f"bucket-{uuid.uuid4()}"
    boto3_s3.create_bucket(Bucket=name)
    yield replace(config, bucket=name)
    with suppress(ClientError):
        boto3_s3.delete_bucket(Bucket=name)


def rules_of(s3: Any, bucket: StoreConfig) -> list[dict[str, Any]]:
    """Read the bucket's rules with boto3."""
    found: list[dict[str, Any]] = s3.get_bucket_cors(Bucket=bucket.bucket)["CORSRules"]
    return found


@pytest.fixture
def has_rules(store_server: StoreServer) -> None:
    """Skip on a store that has no CORS by bucket."""
    if store_server.name == "minio":
        pytest.skip("MinIO sets CORS for the whole server, at its start")


async def test_refused_origin_is_let_in(bucket: StoreConfig, boto3_s3: Any, has_rules: None) -> None:
    """A bucket that refuses the page's preflight gets a rule; a second look changes nothing."""
    boto3_s3.put_bucket_cors(
        Bucket=bucket.bucket,
        CORSConfiguration={"CORSRules": [{"AllowedOrigins": [OTHER], "AllowedMethods": ["GET"], "ID": "theirs"}]},
    )
    for _ in range(2):
        assert await check_cors(bucket, bucket.endpoint, [ORIGIN]) == []
        rules = rules_of(boto3_s3, bucket)
        assert [rule["AllowedOrigins"] for rule in rules] == [[ORIGIN], [OTHER]]


PARTS_ONLY = {"AllowedOrigins": [ORIGIN], "AllowedHeaders": ["*"], "ExposeHeaders": ["ETag"], "ID": "theirs"}
HIDING: dict[str, list[dict[str, Any]]] = {
    "hidden ETag": [{**PARTS_ONLY, "AllowedMethods": ["PUT", "POST"], "ExposeHeaders": ["x-amz-id-2"]}],
    "no forms": [{**PARTS_ONLY, "AllowedMethods": ["PUT"], "ExposeHeaders": ["ETag", "x-amz-id-2"]}],
    "ETag of downloads only": [
        {**PARTS_ONLY, "AllowedMethods": ["PUT", "POST"], "ExposeHeaders": ["x-amz-id-2"]},
        {**PARTS_ONLY, "AllowedMethods": ["GET"], "ID": "downloads"},
    ],
}


@pytest.mark.parametrize("theirs", HIDING.values(), ids=HIDING.keys())
async def test_rule_that_breaks_uppy_is_put_behind_ours(
    bucket: StoreConfig,
    boto3_s3: Any,
    browser: aiohttp.ClientSession,
    has_rules: None,
    theirs: list[dict[str, Any]],
) -> None:
    """A rule that lets parts in but hides their ETag or blocks forms gets ours before it, which exposes what it did."""
    boto3_s3.put_bucket_cors(Bucket=bucket.bucket, CORSConfiguration={"CORSRules": theirs})
    assert not (await probe_cors(bucket, ORIGIN, browser)).allowed
    assert await check_cors(bucket, bucket.endpoint, [ORIGIN]) == []
    ours, *kept = rules_of(boto3_s3, bucket)
    assert {"ETag", "x-amz-id-2"} <= set(ours["ExposeHeaders"])
    assert [rule["ID"] for rule in kept] == [rule["ID"] for rule in theirs]
    part = f"{bucket.endpoint}/{bucket.bucket}/a.mp4?partNumber=1&uploadId=none"
    async with browser.put(part, data=b"", headers={"Origin": ORIGIN}) as reply:
        assert "etag" in reply.headers["Access-Control-Expose-Headers"].lower()


async def test_rule_of_the_operator_that_suffices_is_left_alone(
    bucket: StoreConfig, boto3_s3: Any, has_rules: None
) -> None:
    """A rule for parts and forms that exposes ETag, however written, is no reason to touch the bucket."""
    theirs = {**PARTS_ONLY, "AllowedOrigins": ["*"], "AllowedMethods": ["PUT", "POST"], "ExposeHeaders": ["etag"]}
    boto3_s3.put_bucket_cors(Bucket=bucket.bucket, CORSConfiguration={"CORSRules": [theirs]})
    assert await check_cors(bucket, bucket.endpoint, [ORIGIN]) == []
    assert [rule["ID"] for rule in rules_of(boto3_s3, bucket)] == ["theirs"]


async def test_probe_leaves_nothing_behind(bucket: StoreConfig, boto3_s3: Any) -> None:
    """The part that is sent to nowhere makes no object and no upload."""
    assert await check_cors(bucket, bucket.endpoint, [ORIGIN]) == []
    assert boto3_s3.list_objects_v2(Bucket=bucket.bucket)["KeyCount"] == 0
    assert "Uploads" not in boto3_s3.list_multipart_uploads(Bucket=bucket.bucket)


async def test_rule_of_ours_is_replaced_not_doubled(bucket: StoreConfig, boto3_s3: Any, has_rules: None) -> None:
    """When the setting changes, our rule changes, and the rules of others stay."""
    theirs = {"AllowedOrigins": [OTHER], "AllowedMethods": ["GET"], "ID": "theirs"}
    boto3_s3.put_bucket_cors(Bucket=bucket.bucket, CORSConfiguration={"CORSRules": [theirs]})
    for origin in (ORIGIN, "http://127.0.0.1:9999"):
        assert await check_cors(bucket, bucket.endpoint, [origin]) == []
    assert [rule["AllowedOrigins"] for rule in rules_of(boto3_s3, bucket)] == [["http://127.0.0.1:9999"], [OTHER]]


async def test_store_without_rules_by_bucket_says_what_to_do(bucket: StoreConfig, store_server: StoreServer) -> None:
    """On MinIO an origin it was not started with is one line that names the setting."""
    if store_server.name != "minio":
        pytest.skip("this store takes CORS rules")
    assert await check_cors(bucket, bucket.endpoint, [ORIGIN]) == []
    [line] = await check_cors(bucket, bucket.endpoint, [OTHER])
    assert OTHER in line
    assert "MINIO_API_CORS_ALLOW_ORIGIN" in line


async def test_key_without_the_right_says_which(bucket: StoreConfig, boto3_s3: Any, has_rules: None) -> None:
    """A key that may not read or write the rules is named as the reason."""
    theirs = {"AllowedOrigins": [OTHER], "AllowedMethods": ["GET"]}
    boto3_s3.put_bucket_cors(Bucket=bucket.bucket, CORSConfiguration={"CORSRules": [theirs]})
    powerless = replace(bucket, credentials=Credentials(bucket.credentials.access_key_id, "not-the-secret"))
    [line] = await check_cors(powerless, bucket.endpoint, [ORIGIN])
    assert "s3:PutBucketCORS" in line


async def test_proxy_that_answers_for_the_store_is_suspected(bucket: StoreConfig, has_rules: None) -> None:
    """When the rule is set and the public address still refuses, something before the store answers."""
    async with fault_server(answer(405)) as server:
        [line] = await check_cors(bucket, server.endpoint, [ORIGIN])
    assert "405" in line
    assert "proxy" in line


async def test_store_that_is_away_is_one_line(bucket: StoreConfig) -> None:
    """Nothing is raised when the store does not answer: the gateway serves on."""
    away = replace(bucket, endpoint="http://127.0.0.1:9", max_attempts=1, timeout_seconds=1)
    [line] = await check_cors(away, away.endpoint, [ORIGIN])
    assert "does not answer" in line
