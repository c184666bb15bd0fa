"""Attack presigned URLs and forms as whoever was handed one could."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest
from yarl import URL

from gateway.dev.store import StoreServer
from gateway.startup.attacks import forged_put
from gateway.startup.attacks import send as send_request
from gateway.storage.errors import NoSuchKey
from gateway.storage.models import CompletedPart, StoreConfig
from gateway.storage.presign import PartToSign, Presigner, SignedRequest
from gateway.storage.s3 import S3Store
from tests.store.objects import put_object

pytestmark = pytest.mark.store

BODY = b"v" * 100_000
REFUSED = (400, 403)  # MinIO calls a missing signed header, and an unsigned x-amz- one, a bad request


async def send(
    browser: aiohttp.ClientSession, signed: SignedRequest, body: Any = None, url: str | None = None, **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    """Send a signed request as a client would; return status, headers and body."""
    body = BytesIO(body) if isinstance(body, bytes) else body  # aiohttp warns of large bytes
    target = URL(url or signed.url, encoded=True)
    async with browser.request(
        signed.method, target, data=body, headers={**signed.headers, **headers}, skip_auto_headers=["Content-Type"]
    ) as answer:
        return answer.status, answer.headers, await answer.read()


def sha(body: bytes) -> str:
    """Give S3's form of a SHA-256."""
    return b64encode(sha256(body).digest()).decode()


@pytest.fixture
async def upload(ours: S3Store, key: str) -> str:
    """Give a fresh multipart upload of *key*."""
    return await ours.create_multipart_upload(key, content_type="video/mp4")


@pytest.fixture
def part(presigner: Presigner, key: str, upload: str) -> SignedRequest:
    """Give the URL of part 1, of exactly the body's size."""
    [signed] = presigner.part_urls(key, upload, [PartToSign(1, len(BODY))], 60)
    return signed


async def test_a_part_url_takes_its_part(browser: aiohttp.ClientSession, part: SignedRequest, ours: S3Store,
                                         key: str, upload: str) -> None:  # fmt: skip
    """A client without any credentials stores a part with its URL alone."""
    status, headers, _ = await send(browser, part, BODY)
    [listed] = await ours.list_parts(key, upload)
    assert (status, headers["ETag"].strip('"'), listed.size_bytes) == (200, listed.etag, len(BODY))


async def test_a2_part_urls_die_with_complete(
    browser: aiohttp.ClientSession, part: SignedRequest, ours: S3Store, key: str, upload: str
) -> None:
    """After complete a part URL that has not expired is 404 and the object stays as it was."""
    _, headers, _ = await send(browser, part, BODY)
    etag, _ = await ours.complete_multipart_upload(key, upload, [CompletedPart(1, headers["ETag"].strip('"'))])
    status, _, _ = await send(browser, part, b"w" * len(BODY))
    assert status == 404
    assert (await ours.head_object(key)).etag == etag
    assert await ours.get_object_range(key, 0, 4, if_match=etag) == b"vvvv"


async def test_a8_a_part_in_flight_does_not_count(
    browser: aiohttp.ClientSession, part: SignedRequest, ours: S3Store, key: str, upload: str
) -> None:
    """A part that is still being sent while its upload completes changes nothing."""
    _, headers, _ = await send(browser, part, BODY)
    done = asyncio.Event()

    async def slowly() -> Any:
        yield b"w" * 50_000
        await done.wait()
        yield b"w" * 50_000

    late = asyncio.create_task(send(browser, part, slowly(), **{"Content-Length": str(len(BODY))}))
    await asyncio.sleep(0.2)
    etag, _ = await ours.complete_multipart_upload(key, upload, [CompletedPart(1, headers["ETag"].strip('"'))])
    done.set()
    await asyncio.gather(late, return_exceptions=True)
    assert await ours.get_object_range(key, 0, len(BODY), if_match=etag) == BODY
    assert (await ours.head_object(key)).size_bytes == len(BODY)


@pytest.mark.parametrize("size", [len(BODY) - 1, len(BODY) + 1, 0])
async def test_a3_a_part_has_its_signed_size(
    browser: aiohttp.ClientSession, part: SignedRequest, ours: S3Store, key: str, upload: str, size: int
) -> None:
    """A part URL takes exactly the size it was signed for, not a byte more or fewer."""
    status, _, _ = await send(browser, part, b"v" * size)
    assert status == 403
    assert await ours.list_parts(key, upload) == []


async def test_a3_a_part_without_length_is_refused(
    browser: aiohttp.ClientSession, part: SignedRequest, ours: S3Store, key: str, upload: str
) -> None:
    """A chunked body that announces no length is refused, so that it cannot slip past the signed one."""

    async def endless() -> Any:
        for _ in range(64):
            yield b"v" * 4096

    status, _, _ = await send(browser, part, endless())
    assert status in (403, 411)
    assert await ours.list_parts(key, upload) == []


async def test_a_signed_checksum_is_enforced(
    browser: aiohttp.ClientSession, presigner: Presigner, ours: S3Store, key: str, upload: str
) -> None:
    """A part URL with a checksum takes these bytes only, and not without the header."""
    [signed] = presigner.part_urls(key, upload, [PartToSign(1, len(BODY), sha(BODY))], 60)
    other = b"w" * len(BODY)
    assert (await send(browser, signed, other))[0] == 400
    assert (await send(browser, signed, other, **{"x-amz-checksum-sha256": sha(other)}))[0] == 403
    signed.headers.clear()
    assert (await send(browser, signed, other))[0] in REFUSED
    assert await ours.list_parts(key, upload) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("partNumber", "2"), ("uploadId", "bm90IG1pbmU"), ("X-Amz-Expires", "604800"), ("X-Amz-Signature", "0" * 64)],
)
async def test_c5_a_changed_part_url_is_refused(
    browser: aiohttp.ClientSession, part: SignedRequest, name: str, value: str
) -> None:
    """No query value of a part URL can be changed."""
    head, _, query = part.url.partition("?")
    changed = {**dict(parse_qsl(query)), name: value}
    status, _, _ = await send(browser, part, BODY, url=f"{head}?{urlencode(changed)}")
    assert status == 403


async def test_c5_a_changed_key_or_method_is_refused(
    browser: aiohttp.ClientSession, part: SignedRequest, presigner: Presigner, ours: S3Store, key: str
) -> None:
    """A URL is good for one key and one method."""
    await put_object(ours, key, BODY, content_type="video/mp4")
    await put_object(ours, f"{key}.other", BODY, content_type="video/mp4")
    signed = presigner.get_object(key, 60)
    assert (await send(browser, signed))[0] == 200
    assert (await send(browser, signed, url=signed.url.replace(".mp4?", ".mp4.other?")))[0] == 403
    async with browser.delete(URL(signed.url, encoded=True)) as answer:
        assert answer.status == 403
    async with browser.put(URL(signed.url, encoded=True), data=b"mine now") as answer:
        assert answer.status == 403


async def test_c5_appended_overrides_are_refused(
    browser: aiohttp.ClientSession, presigner: Presigner, ours: S3Store, key: str
) -> None:
    """A download URL cannot be given another content type or disposition."""
    await put_object(ours, key, BODY, content_type="video/mp4")
    signed = presigner.get_object(key, 60, response_content_disposition="attachment")
    for more in ("&response-content-type=text%2Fhtml", "&response-content-disposition=inline"):
        assert (await send(browser, signed, url=signed.url + more))[0] == 403


async def test_c4_downloads_say_what_the_gateway_says(
    browser: aiohttp.ClientSession, presigner: Presigner, ours: S3Store, key: str
) -> None:
    """Type and disposition of a download are the signed ones, whatever the object was stored with."""
    await put_object(ours, key, b"<script>", content_type="text/html")
    disposition = "attachment; filename=\"x.mp4\"; filename*=UTF-8''%E2%82%AC%20x.mp4"
    signed = presigner.get_object(
        key, 60, response_content_disposition=disposition, response_content_type="application/octet-stream"
    )
    status, headers, body = await send(browser, signed)
    assert (status, body) == (200, b"<script>")
    assert headers["Content-Disposition"] == disposition
    assert headers["Content-Type"] == "application/octet-stream"


async def test_c3_part_headers_do_not_set_the_type(
    browser: aiohttp.ClientSession, part: SignedRequest, ours: S3Store, key: str, upload: str
) -> None:
    """A content type sent with a part does not reach the object: the one of create counts."""
    _, headers, _ = await send(browser, part, BODY, **{"content-type": "text/html"})
    await ours.complete_multipart_upload(key, upload, [CompletedPart(1, headers["ETag"].strip('"'))])
    assert (await ours.head_object(key)).content_type == "video/mp4"


async def test_an_expired_url_is_refused(
    browser: aiohttp.ClientSession, config: StoreConfig, ours: S3Store, key: str, upload: str
) -> None:
    """A part URL stops working when its time is over."""
    past = Presigner(
        config.endpoint, config.bucket, config.region, config.credentials, "path",
        now=lambda: ours.clock() - timedelta(seconds=90),
    )  # fmt: skip
    [expired] = past.part_urls(key, upload, [PartToSign(1, len(BODY))], 60)
    [valid] = past.part_urls(key, upload, [PartToSign(1, len(BODY))], 120)
    assert (await send(browser, expired, BODY))[0] == 403
    assert (await send(browser, valid, BODY))[0] == 200
    assert valid.expires_at > ours.clock() > expired.expires_at


async def test_a_pinned_download_needs_its_etag(
    browser: aiohttp.ClientSession, presigner: Presigner, ours: S3Store, key: str
) -> None:
    """A download signed with if-match gives the checked object or nothing."""
    etag = await put_object(ours, key, b"checked", content_type="video/mp4")
    signed = presigner.get_object(key, 60, if_match=etag)
    assert (await send(browser, signed))[2] == b"checked"
    await put_object(ours, key, b"swapped", content_type="video/mp4")
    assert (await send(browser, signed))[0] == 412


async def post(browser: aiohttp.ClientSession, url: str, fields: Mapping[str, str], body: bytes) -> int:
    """Send a form as a browser would, the file last."""
    form = aiohttp.FormData()
    for name, value in fields.items():
        form.add_field(name, value)
    form.add_field("file", body, filename="x.mp4", content_type="application/octet-stream")
    async with browser.post(url, data=form) as answer:
        return answer.status


async def test_forms_store_what_they_were_signed_for(
    browser: aiohttp.ClientSession, presigner: Presigner, ours: S3Store, key: str
) -> None:
    """A form stores one object of its type and size range; every changed field is refused."""
    form = presigner.post_policy(
        key, 60, content_type="video/mp4", min_size_bytes=10, max_size_bytes=20, metadata={"upload": "u1"}
    )
    for fields, body in (
        (form.fields, b"x" * 9),
        (form.fields, b"x" * 21),
        (form.fields | {"key": key + ".other"}, b"x" * 15),
        (form.fields | {"Content-Type": "text/html"}, b"x" * 15),
        (form.fields | {"x-amz-meta-upload": "u2"}, b"x" * 15),
        (form.fields | {"x-amz-signature": "0" * 64}, b"x" * 15),
        (form.fields | {"policy": _widened(form.fields["policy"])}, b"x" * 15),
    ):
        assert await post(browser, form.url, fields, body) in (400, 403)
    with pytest.raises(NoSuchKey):
        await ours.head_object(key)
    assert await post(browser, form.url, form.fields, b"x" * 15) == 201
    head = await ours.head_object(key)
    assert (head.size_bytes, head.content_type, dict(head.metadata)) == (15, "video/mp4", {"upload": "u1"})


def _widened(policy: str) -> str:
    """Give the policy with a far larger size limit."""
    document = json.loads(b64decode(policy))
    for condition in document["conditions"]:
        if isinstance(condition, list):
            condition[2] = 1 << 40
    return b64encode(json.dumps(document).encode()).decode()


async def test_unsigned_metadata_cannot_be_smuggled(
    browser: aiohttp.ClientSession, part: SignedRequest, ours: S3Store, key: str, upload: str
) -> None:
    """Headers added to a part never become metadata of the object."""
    status, headers, _ = await send(browser, part, BODY, **{"x-amz-meta-evil": "1"})
    if status == 200:
        await ours.complete_multipart_upload(key, upload, [CompletedPart(1, headers["ETag"].strip('"'))])
        assert dict((await ours.head_object(key)).metadata) == {}
    else:
        assert status in REFUSED


def test_a_signed_request_shows_no_signature(presigner: Presigner, key: str) -> None:
    """The repr of what is signed shows neither URL nor policy nor secret."""
    [part] = presigner.part_urls(key, "u", [PartToSign(1, 1)], 60)
    form = presigner.post_policy(key, 60, content_type="video/mp4", max_size_bytes=1)
    signature = dict(parse_qsl(urlsplit(part.url).query))["X-Amz-Signature"]
    for shown in (repr(part), repr(form), repr([part])):
        assert signature not in shown
        assert "X-Amz" not in shown
        assert form.fields["x-amz-signature"] not in shown


async def test_a13_a_forged_write_is_signed_by_nobody(
    config: StoreConfig, browser: aiohttp.ClientSession, ours: S3Store, store_server: StoreServer, key: str
) -> None:
    """SeaweedFS refuses a PUT that names a public key id and has no signature; MinIO of February 2026 stores it."""
    request, body = forged_put(config, key, b"canary")
    assert request.url.endswith("X-Amz-Signature=" + "0" * 64)
    assert "authorization" not in {name.lower() for name in request.headers}
    status, _ = await send_request(browser, request, body)
    if store_server.name == "minio":
        assert status == 200
        assert await ours.get_object_range(key, 0, 6, if_match=None) == b"canary"
    else:
        assert 400 <= status < 500


@pytest.mark.parametrize("size", [1, len(BODY), 6 << 20])
async def test_an_open_part_url_takes_any_size(
    browser: aiohttp.ClientSession, presigner: Presigner, ours: S3Store, key: str, upload: str, size: int
) -> None:
    """A part signed without a size takes any: why the caller must measure what came."""
    status, _, _ = await send(browser, presigner.upload_part_of_any_size(key, upload, 1, 60), b"v" * size)
    [listed] = await ours.list_parts(key, upload)
    assert (status, listed.size_bytes) == (200, size)
    for number in (0, 10_001):
        with pytest.raises(ValueError, match="1 to 10,000"):
            presigner.upload_part_of_any_size(key, upload, number, 60)
