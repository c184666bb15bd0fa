"""Prepare a bucket and ask, as a browser would, whether a page may use it."""

from __future__ import annotations

import uuid
from dataclasses import replace

import aiohttp
import pytest

from gateway.dev.store import StoreServer
from gateway.storage.admin import ensure_bucket, multipart_uploads_of, probe_cors, put_bucket_cors
from gateway.storage.errors import AccessDenied, NoSuchBucket, StoreUnavailable
from gateway.storage.models import StoreConfig
from gateway.storage.s3 import S3Store, open_store
from gateway.storage.sigv4 import Credentials
from tests.store.fault_server import answer, error, fault_server, hang, reset
from tests.store.test_faults import config_of

ORIGIN = "http://127.0.0.1"


@pytest.fixture
def fresh(config: StoreConfig) -> StoreConfig:
    """Point at a bucket that does not exist yet."""
    return replace(config, bucket=f"bucket-{uuid.uuid4()}")


@pytest.mark.store
async def test_a_missing_bucket_is_made_once(fresh: StoreConfig) -> None:
    """ensure_bucket creates a missing bucket and is content with one that is there."""
    async with open_store(fresh) as store:
        with pytest.raises(NoSuchBucket):
            await store.head_bucket()
        assert await ensure_bucket(fresh)
        await store.head_bucket()
        assert not await ensure_bucket(fresh)


@pytest.mark.store
async def test_a_wrong_key_makes_no_bucket(fresh: StoreConfig) -> None:
    """A key without rights is AccessDenied, not a missing bucket."""
    wrong = replace(fresh, credentials=Credentials(fresh.credentials.access_key_id, "wrong-secret"))
    with pytest.raises(AccessDenied):
        await ensure_bucket(wrong)


@pytest.mark.store
async def test_cors_lets_the_named_page_in_and_no_other(
    fresh: StoreConfig, browser: aiohttp.ClientSession, store_server: StoreServer
) -> None:
    """After put_bucket_cors the named origin may PUT parts; another may not, on stores that have CORS by bucket."""
    await ensure_bucket(fresh)
    result = await put_bucket_cors(fresh, [ORIGIN])
    assert result == ("not_implemented" if store_server.name == "minio" else "set")
    mine = await probe_cors(fresh, ORIGIN, browser)
    assert (mine.allowed, mine.detail) == (True, "a browser may send parts")
    other = await probe_cors(fresh, "http://evil.example", browser)
    assert not other.allowed
    assert "the origin is not allowed" in other.detail


@pytest.mark.store
async def test_a_page_can_read_the_etag_of_its_part(
    fresh: StoreConfig, browser: aiohttp.ClientSession, store_server: StoreServer
) -> None:
    """The answer to a part shows its ETag to the page."""
    await ensure_bucket(fresh)
    await put_bucket_cors(fresh, [ORIGIN])
    async with browser.get(f"{fresh.endpoint}/{fresh.bucket}/nothing", headers={"Origin": ORIGIN}) as reply:
        exposed = reply.headers["Access-Control-Expose-Headers"].lower()
    assert "*" in exposed or "etag" in exposed


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, ["the origin", "PUT", "x-amz-checksum-sha256"]),
        ({"Access_Control_Allow_Origin": "http://other"}, ["the origin"]),
        ({"Access_Control_Allow_Origin": "*", "Access_Control_Allow_Methods": "GET"}, ["PUT", "x-amz-checksum"]),
    ],
)
async def test_a_closed_store_says_what_is_missing(
    browser: aiohttp.ClientSession, headers: dict[str, str], words: list[str]
) -> None:
    """The probe names each thing a browser would trip over."""
    async with fault_server(answer(200, **headers)) as server:
        probe = await probe_cors(config_of(server.endpoint), ORIGIN, browser)
    assert not probe.allowed
    for word in words:
        assert f"{word}" in probe.detail
    async with fault_server(answer(403)) as server:
        assert "answered 403" in (await probe_cors(config_of(server.endpoint), ORIGIN, browser)).detail


OPEN = {
    "Access_Control_Allow_Origin": ORIGIN,
    "Access_Control_Allow_Methods": "PUT, POST",
    "Access_Control_Allow_Headers": "*",
}


@pytest.mark.parametrize(
    ("status", "headers", "detail"),
    [
        (404, {"Access_Control_Expose_Headers": "Date, Etag"}, "a browser may send parts"),
        (403, {"Access_Control_Expose_Headers": "*"}, "a browser may send parts"),
        (404, {}, "the header ETag is not exposed, which Uppy reads"),
        (404, {"Access_Control_Expose_Headers": "x-etag"}, "the header ETag is not exposed, which Uppy reads"),
        # An error without any CORS header tells nothing about an answer that succeeds.
        (404, None, "a browser may send parts"),
    ],
)
async def test_only_the_answer_to_a_part_shows_whether_its_etag_can_be_read(
    browser: aiohttp.ClientSession, status: int, headers: dict[str, str] | None, detail: str
) -> None:
    """Two preflights and one signed part without bytes tell all that Uppy needs."""
    last = {} if headers is None else {"Access_Control_Allow_Origin": ORIGIN, **headers}
    async with fault_server(answer(200, **OPEN), answer(200, **OPEN), answer(status, **last)) as server:
        probe = await probe_cors(config_of(server.endpoint), ORIGIN, browser)
    assert (probe.allowed, probe.detail) == (detail == "a browser may send parts", detail)
    asked = [(request.method, request.headers.get("access-control-request-method")) for request in server.requests]
    assert asked == [("OPTIONS", "PUT"), ("OPTIONS", "POST"), ("PUT", None)]
    assert "X-Amz-Signature=" in server.requests[2].target
    assert server.requests[2].headers["content-length"] == "0"


@pytest.mark.parametrize("fault", [reset, hang])
async def test_administration_of_a_dead_store_is_unavailable(browser: aiohttp.ClientSession, fault: object) -> None:
    """A store that does not answer is StoreUnavailable for aioboto3 calls and for the probe."""
    async with fault_server(fault) as server:  # type: ignore[arg-type]
        config = config_of(server.endpoint, timeout_seconds=0.2, max_attempts=1)
        with pytest.raises(StoreUnavailable):
            await probe_cors(config, ORIGIN, browser)
        with pytest.raises(StoreUnavailable):
            await ensure_bucket(config)
        with pytest.raises(StoreUnavailable):
            await put_bucket_cors(config, [ORIGIN])


async def test_a_store_without_cors_is_told_apart_from_a_refusal() -> None:
    """501 and NotImplemented are a result, every other refusal an error."""
    for code, status in (("NotImplemented", 501), ("NotImplemented", 400)):
        async with fault_server(error(status, code)) as server:
            assert await put_bucket_cors(config_of(server.endpoint), [ORIGIN]) == "not_implemented"
    async with fault_server(error(403, "AccessDenied")) as server:
        with pytest.raises(AccessDenied):
            await put_bucket_cors(config_of(server.endpoint), [ORIGIN])


async def test_a_bucket_made_by_someone_else_meanwhile_is_fine() -> None:
    """Two gateways that start at once may both find the bucket missing."""
    async with fault_server(answer(404), error(409, "BucketAlreadyOwnedByYou")) as server:
        assert not await ensure_bucket(config_of(server.endpoint))
    async with fault_server(answer(404), error(403, "AccessDenied")) as server:
        with pytest.raises(AccessDenied):
            await ensure_bucket(config_of(server.endpoint))


@pytest.mark.store
async def test_what_a_lost_create_left_is_found_by_its_key(config: StoreConfig, ours: S3Store, key: str) -> None:
    """The multipart uploads of one key are listed, and no other key's that begins alike."""
    assert await multipart_uploads_of(config, key) == []
    made = {await ours.create_multipart_upload(key, content_type="video/mp4") for _ in range(2)}
    await ours.create_multipart_upload(key + ".other", content_type="video/mp4")
    assert set(await multipart_uploads_of(config, key)) == made
