"""A POST upload is copied once, by the first process, however many look for its file at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from gateway.database import receiving
from gateway.dev.store import StoreServer
from gateway.domain.errors import Unavailable
from gateway.maintenance.post_uploads import complete_arrived_posts
from gateway.uploads import copy_form
from gateway.uploads.post_uploads import complete_arrived
from tests.api.conftest import MIB, Api, OpenApi, gather, large_mp3, mp3_bytes
from tests.holding_proxy import HoldingProxy

ASKED_AT_ONCE = 50
COPY = "UploadPart"
"""The only thing that this gateway PUTs into its store here."""
COPY_AND_RETRY = 2
"""What the proxy held first is answered 503 when it is let go, and tried again."""


@pytest.fixture
def proxy(store_server: StoreServer) -> Iterator[HoldingProxy]:
    """Stand between gateway and store, and hold the first copy."""
    with HoldingProxy(store_server.endpoint, COPY, "before").running() as running:
        yield running


async def _through(open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer, **changed: Any) -> Api:
    api: Api = await open_api(s3_endpoint=proxy.address, s3_public_endpoint=store_server.endpoint, **changed)
    return api


async def _sent_form(api: Api, body: bytes | None = None) -> str:
    form = (await api.call("GET", "/s3/params?filename=a.mp3&type=audio/mpeg")).json()
    sent = await api.store.post(
        form["url"], data=form["fields"], files={"file": ("a.mp3", body or mp3_bytes(), "audio/mpeg")}
    )
    assert sent.is_success, sent.text
    return str(form["uploadId"])


async def _state_found(api: Api, upload_id: str) -> str:
    """Look for the file as a worker does."""
    upload = await complete_arrived(api.gateway, UUID(upload_id))
    assert upload is not None
    return upload.state.value


async def _first_held(api: Api, proxy: HoldingProxy, upload_id: str) -> asyncio.Task[str]:
    first = asyncio.create_task(_state_found(api, upload_id))
    await asyncio.to_thread(proxy.wait_until_held)
    return first


async def test_a_question_changes_nothing(open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer) -> None:
    """GET reads the database alone: neither with nor without a wait does the API ask or write to the store."""
    api = await _through(open_api, proxy, store_server)
    upload_id = await _sent_form(api)
    before = len(proxy.seen)
    row = await api.gateway.database.fetch_one("SELECT * FROM uploads", {})
    assert (await api.get(upload_id))["state"] == "uploading"
    waited = await api.call("GET", f"/v1/uploads/{upload_id}", headers={"prefer": "wait=1"})
    assert waited.json()["state"] == "uploading"
    assert len(proxy.seen) == before
    assert await api.gateway.database.fetch_one("SELECT * FROM uploads", {}) == row


async def test_of_many_checks_at_once_one_copies(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer
) -> None:
    """The others get the upload in its present state, complete is refused, and the worker does not copy again."""
    api = await _through(open_api, proxy, store_server)
    upload_id = await _sent_form(api)
    asked = [asyncio.create_task(_state_found(api, upload_id)) for _ in range(ASKED_AT_ONCE)]
    await asyncio.to_thread(proxy.wait_until_held)
    done, [held] = await asyncio.wait(asked, timeout=20, return_when=asyncio.ALL_COMPLETED)
    assert {one.result() for one in done} == {"uploading"}
    assert (await api.get(upload_id))["state"] == "uploading"
    completed = await api.call("POST", f"/v1/uploads/{upload_id}/complete")
    assert (completed.status_code, completed.json()["code"]) == (409, "wrong_state")
    await api.gateway.database.execute("UPDATE uploads SET updated_at = updated_at - interval '1 minute'", {})
    assert await complete_arrived_posts(api.gateway) == 0
    assert proxy.seen.count(COPY) == 1
    proxy.let_go()
    assert await held == "ready"
    assert proxy.seen.count(COPY) == COPY_AND_RETRY


async def test_a_long_copy_stays_its_holders(open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer) -> None:
    """Signs of life go on while the store copies; nobody takes over, and other uploads' forms are not held up."""
    api = await _through(open_api, proxy, store_server, lease_seconds=1.0)
    upload_id = await _sent_form(api)
    first = await _first_held(api, proxy, upload_id)
    for _ in range(6):
        await asyncio.sleep(0.5)
        assert await _state_found(api, upload_id) == "uploading"
    assert proxy.seen.count(COPY) == 1
    assert await _state_found(api, await _sent_form(api)) == "ready"
    proxy.let_go()
    assert await first == "ready"


async def test_a_copy_whose_holder_died_is_taken_over_once(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer
) -> None:
    """Without a sign of life the right lapses, and of many who ask then one copies."""
    api = await _through(open_api, proxy, store_server)
    proxy.let_go()
    upload_id = await _sent_form(api)
    assert await receiving.claim(
        api.gateway.database, UUID(upload_id), token=uuid4(), seconds=2.0, ends_with_request=False
    )
    assert await _state_found(api, upload_id) == "uploading"
    assert COPY not in proxy.seen
    await asyncio.sleep(2.1)
    found = await gather(*(_state_found(api, upload_id) for _ in range(ASKED_AT_ONCE)))
    assert set(found) <= {"uploading", "completing", "validating", "ready"}
    assert proxy.seen.count(COPY) == COPY_AND_RETRY
    waited = await api.call("GET", f"/v1/uploads/{upload_id}", headers={"prefer": "wait=20"})
    assert waited.json()["state"] == "ready"


async def test_a_holder_that_was_taken_over_stops(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that slept through its lease finds that out after the slice in hand and leaves the upload alone."""
    monkeypatch.setattr(copy_form, "COPY_PART_BYTES", 5 * MIB)
    api = await _through(open_api, proxy, store_server)
    upload_id = await _sent_form(api, large_mp3(16 * MIB))
    first = await _first_held(api, proxy, upload_id)
    taken = uuid4()
    await api.gateway.database.execute("UPDATE uploads SET stream_token = %(token)s", {"token": taken})
    proxy.let_go()
    assert await first == "uploading"
    assert proxy.seen.count(COPY) == COPY_AND_RETRY
    row = await api.gateway.database.fetch_one("SELECT state, stream_token FROM uploads", {})
    assert row == {"state": "uploading", "stream_token": taken}


async def test_a_copy_that_fails_is_let_go_at_once(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer
) -> None:
    """After an error nobody waits for a lease to run out: the next question copies."""
    api = await _through(open_api, proxy, store_server, s3_max_attempts=1)
    upload_id = await _sent_form(api)
    first = await _first_held(api, proxy, upload_id)
    proxy.let_go()
    with pytest.raises(Unavailable):
        await first
    assert await _state_found(api, upload_id) == "ready"
