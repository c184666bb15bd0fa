"""What the store takes is bounded, also by URLs that sign no length and by URLs that are sent again and again."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from gateway.maintenance.measure import measure_open_uploads
from gateway.storage.admin import multipart_uploads_of
from tests.api.conftest import MIB, Api, OpenApi
from tests.api.uploaders import SECRET, call_with, create_with, issue


@pytest_asyncio.fixture
async def api(open_api: OpenApi) -> Api:
    """Give the API with upload tokens."""
    started: Api = await open_api(token_secret=SecretStr(SECRET))
    return started


async def _started(api: Api, token: str, **body: Any) -> str:
    made = await api.client.post(f"/uppy/{token}/s3/multipart", json={"filename": "a.mp3", **body})
    assert made.status_code == 200, made.text
    upload_id: str = made.json()["uploadId"]
    return upload_id


async def _url(api: Api, token: str, upload_id: str, number: int) -> str:
    signed = await api.client.get(f"/uppy/{token}/s3/multipart/{upload_id}/{number}")
    assert signed.status_code == 200, signed.text
    url: str = signed.json()["url"]
    return url


async def _due(api: Api) -> None:
    await api.gateway.database.execute("UPDATE uploads SET measure_at = now() - interval '1 second'", {})


async def _held(api: Api) -> list[str]:
    row = await api.gateway.database.fetch_one("SELECT object_key FROM uploads", {})
    assert row is not None
    return await multipart_uploads_of(api.gateway.store_config, row["object_key"])


async def test_j1_a_part_without_a_signed_length_is_measured_and_removed(api: Api) -> None:
    """A token for 6 MiB sends 20 MiB through one of Uppy's URLs: without any further call the store holds nothing."""
    token = (await issue(api, max_size_bytes=6 * MIB))["token"]
    upload_id = await _started(api, token)
    url = await _url(api, token, upload_id, 1)
    assert (await api.store.put(url, content=b"x" * 20 * MIB)).status_code == 200
    assert await measure_open_uploads(api.gateway) == 0, "it is not due yet"
    await _due(api)
    assert await measure_open_uploads(api.gateway) == 1
    assert (await api.get(upload_id))["state"] in ("rejected", "aborted")
    assert await _held(api) == []
    assert (await api.store.put(url, content=b"x" * MIB)).status_code == 404


async def test_j1_an_upload_gets_no_more_urls_than_its_bytes_can_need(api: Api) -> None:
    """A token for 6 MiB gets ten URLs without a length for its upload, which is five for each possible part."""
    token = (await issue(api, max_size_bytes=6 * MIB))["token"]
    upload_id = await _started(api, token)
    answers = [await api.client.get(f"/uppy/{token}/s3/multipart/{upload_id}/1") for _ in range(12)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [403] * 2
    assert answers[-1].json()["code"] == "token_exhausted"
    too_far = await api.client.get(f"/uppy/{token}/s3/multipart/{upload_id}/3")
    assert too_far.status_code in (403, 413)


async def test_j1_the_length_is_signed_where_the_protocol_tells_the_size(api: Api) -> None:
    """With `meta.size` a file of one part has its exact length signed: the store refuses any other."""
    token = (await issue(api))["token"]
    upload_id = await _started(api, token, metadata={"size": 1000})
    url = await _url(api, token, upload_id, 1)
    assert "content-length" in url.lower()
    assert (await api.store.put(url, content=b"x" * 1001)).status_code == 403
    assert (await api.store.put(url, content=b"x" * 1000)).status_code == 200


@pytest.mark.parametrize("planned", [True, False])
async def test_j2_a_part_url_that_is_sent_thirty_times_is_noticed(api: Api, planned: bool) -> None:
    """Where the store keeps every copy, the upload is aborted and the copies are removed; sent twice it goes on."""
    body = b"x" * 6 * MIB
    token = (await issue(api, max_size_bytes=len(body)))["token"]
    if planned:
        created = (await create_with(api, token, body)).json()
        upload_id, url = created["upload_id"], created["parts"][0]["url"]
    else:
        upload_id = await _started(api, token)
        url = await _url(api, token, upload_id, 1)
    for _ in range(2):
        assert (await api.store.put(url, content=body)).status_code == 200
    await _due(api)
    assert await measure_open_uploads(api.gateway) == 0
    assert (await api.get(upload_id))["state"] == "uploading"
    for _ in range(28):
        await api.store.put(url, content=body)
    newest, total = await api.gateway.store.held_bytes((await api.get(upload_id))["object_key"], (await _held(api))[0])
    assert newest == len(body)
    await _due(api)
    ended = await measure_open_uploads(api.gateway)
    assert ended == (1 if total > 3 * len(body) else 0), "a store that replaces parts holds one"
    if ended:
        assert (await api.get(upload_id))["state"] == "aborted"
        assert await _held(api) == []
        assert (await call_with(api, token, "GET", f"/v1/uploads/{upload_id}")).json()["state"] == "aborted"
