"""B11: this release serves on the schema of a later one, and while a migration brings it there."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from gateway.database.engine import Connection
from gateway.maintenance.post_uploads import complete_arrived_posts
from gateway.maintenance.sweep import sweep
from gateway.settings import Settings
from gateway.uploads.process import PROCESS_TASK
from tests import schema
from tests.api.conftest import Api, mp3_bytes
from tests.api.live import LiveApi, of, serve, watching
from tests.api.uploaders import SECRET, create_with, issue

STATES = ["created", "completing", "validating", "ready"]


@pytest.fixture
def chosen(settings: Settings) -> Settings:
    """Switch on what has tables of its own, and take two connections, so that each soon knows every statement."""
    more = {"token_secret": SecretStr(SECRET), "keep_ended_seconds": 604_800, "database_pool_size": 2}
    return settings.model_copy(update=more)


@pytest_asyncio.fixture
async def api(chosen: Settings) -> AsyncIterator[LiveApi]:
    """Serve on the schema of this release."""
    async with serve(chosen) as running:
        yield running


def _apply(url: str, changes: Iterable[str]) -> None:
    """Run each change in a transaction of its own, as several migrations would."""
    with psycopg.connect(url, autocommit=True) as connection:
        for change in changes:
            connection.execute(change.encode())


def _url(settings: Settings) -> str:
    return settings.database_url.get_secret_value()


async def _tour(api: LiveApi) -> None:
    """Use everything that has a statement of its own; each answer is what it always is."""
    body = mp3_bytes()
    await _come_in_parts(api, body)
    await _come_by_token(api, body)
    await _come_as_form(api, body)
    await _come_through_the_gateway(api, body)
    await _end(api)
    assert (await api.client.get("/readyz")).status_code == 200


async def _come_in_parts(api: LiveApi, body: bytes) -> None:
    """Create twice with one key, sign, send, list, watch, complete, download."""
    wanted = {
        "json": {"filename": "a.mp3", "size_bytes": len(body), "part_checksums": "sha256"},
        "headers": {"idempotency-key": str(uuid4())},
    }
    created = (await api.call("POST", "/v1/uploads", **wanted)).json()
    path = f"/v1/uploads/{created['upload_id']}"
    assert (await api.call("POST", "/v1/uploads", **wanted)).json()["upload_id"] == created["upload_id"]
    checksum = b64encode(hashlib.sha256(body).digest()).decode()
    parts = {"parts": [{"part_number": 1, "checksum_sha256": checksum}]}
    [part] = (await api.call("POST", f"{path}/parts/sign", json=parts)).json()["parts"]
    async with watching(api, of(created)) as stream:
        await stream.opened()
        assert (await api.store.put(part["url"], content=body, headers=part["headers"])).status_code == 200
        assert len((await api.call("GET", f"{path}/parts")).json()["parts"]) == 1
        answer = await api.complete(created)
        assert (answer.status_code, answer.json()["state"]) == (200, "ready"), answer.text
        assert [seen.event for seen in await stream.rest()] == STATES
    assert (await api.call("GET", f"{path}/download")).status_code == 307
    assert created["upload_id"] in str((await api.call("GET", "/v1/uploads?state=ready")).json())
    ticket = (await api.call("POST", f"{path}/ticket")).json()["ticket"]
    watched = await api.client.get(f"{path}/events", params={"ticket": ticket})
    assert [line for line in watched.text.splitlines() if line == "event: ready"] == ["event: ready"]


async def _come_by_token(api: LiveApi, body: bytes) -> None:
    """Issue a token, use it, find it with its count, revoke it."""
    issued = await issue(api, max_files=3, metadata={"a": "b"}, allowed_origins=["https://app.example.com"])
    created = (await create_with(api, issued["token"], body)).json()
    await api.put(created, body)
    answer = await api.complete(created, headers={"authorization": f"Bearer {issued['token']}"})
    assert (answer.status_code, answer.json()["state"]) == (200, "ready"), answer.text
    path = f"/v1/upload-tokens/{issued['token_id']}"
    assert (await api.call("GET", path)).json()["file_count"] == 1
    assert issued["token_id"] in str((await api.call("GET", "/v1/upload-tokens")).json())
    asked = {"origin": "https://app.example.com", "access-control-request-method": "POST"}
    preflight = await api.client.options("/v1/uploads", headers=asked)
    assert preflight.headers["access-control-allow-origin"] == asked["origin"]
    assert (await api.call("DELETE", path)).status_code == 204
    assert (await create_with(api, issued["token"], body)).status_code == 401


async def _come_as_form(api: LiveApi, body: bytes) -> None:
    form = (await api.call("GET", "/s3/params?filename=a.mp3&type=audio/mpeg")).json()
    sent = await api.store.post(form["url"], data=form["fields"], files={"file": ("a.mp3", body, "audio/mpeg")})
    assert sent.is_success, sent.text
    _apply(_url(api.settings), ["UPDATE uploads SET updated_at = updated_at - interval '1 minute'"])
    assert await complete_arrived_posts(api.gateway) == 1
    assert (await api.get(form["uploadId"]))["state"] == "ready"


async def _come_through_the_gateway(api: LiveApi, body: bytes) -> None:
    created = await api.create(body)
    answer = await api.call("PUT", f"/v1/uploads/{created['upload_id']}/content", content=body)
    assert (answer.status_code, answer.json()["state"]) == (201, "ready"), answer.text
    streamed = await api.call("POST", "/upload/stream", files={"file": ("a.mp3", body, "audio/mpeg")})
    assert (streamed.status_code, streamed.json()["state"]) == (201, "ready"), streamed.text


async def _end(api: LiveApi) -> None:
    """Abort, expire, finish what was dropped, and forget all of it much later."""
    aborted, expired = await api.create(b"x"), await api.create(b"x")
    assert (await api.call("DELETE", f"/v1/uploads/{aborted['upload_id']}")).status_code == 204
    await api.gateway.queue.defer_once(api.gateway.database, PROCESS_TASK, name="tour", upload_id=expired["upload_id"])
    month = "- interval '30 days'"
    counts = []
    for _ in range(2):
        _apply(
            _url(api.settings),
            [
                f"UPDATE uploads SET updated_at = updated_at {month}, expires_at = expires_at {month}",
                f"UPDATE idempotency_keys SET created_at = created_at {month}",
                f"UPDATE upload_tokens SET expires_at = expires_at {month}, seen_used_at = seen_used_at {month}",
            ],
        )
        counts.append(await sweep(api.gateway))
    assert counts[0]["expired"] == 1, counts
    assert min(counts[0]["forgotten_keys"], counts[1]["forgotten_uploads"]) > 0, counts
    assert counts[0]["forgotten_rows"] + counts[1]["forgotten_rows"] > 0, counts
    assert counts[0]["forms"] + counts[1]["forms"] > 0, counts
    assert (await api.call("GET", f"/v1/uploads/{expired['upload_id']}")).status_code == 404


def _troubles(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give what the gateway logged as going wrong, but for what it says at start of the store that the tests run on."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING
        and record.name.startswith("gateway")
        and record.name != "gateway.startup.check_forgery"
    ]


@pytest.mark.parametrize("names", ["new", "of other tables"])
async def test_b11_this_release_serves_on_a_later_schema(
    chosen: Settings, caplog: pytest.LogCaptureFixture, names: str
) -> None:
    """Tables, columns, indexes and keys that it does not know change nothing it says or does, whatever their names."""
    url = _url(chosen)
    _apply(url, schema.AHEAD if names == "new" else schema.same_names(url))
    _apply(url, ["UPDATE gateway_schema_version SET version_num = '9999'"])
    async with serve(chosen) as api:
        await _tour(api)
    assert _troubles(caplog) == []


@asynccontextmanager
async def _both_connections(api: Api) -> AsyncIterator[list[Connection]]:
    async with AsyncExitStack() as held:
        yield [await held.enter_async_context(api.gateway.database.connection()) for _ in range(2)]


async def test_b11_this_release_serves_while_it_is_migrated(api: LiveApi, caplog: pytest.LogCaptureFixture) -> None:
    """No request fails, though every connection planned its statements before the tables changed."""
    async with _both_connections(api) as connections:
        for connection in connections:
            connection.prepare_threshold = 0
            connection.prepared_max = 1000
    for _ in range(2):
        await _tour(api)
    async with _both_connections(api) as connections:
        for connection in connections:
            planned = await (await connection.execute("SELECT FROM pg_prepared_statements")).fetchall()
            assert len(planned) > 10
    url = _url(api.settings)
    migrating = asyncio.create_task(asyncio.to_thread(_apply, url, schema.AHEAD))
    while not migrating.done():
        await _tour(api)
    await migrating
    for _ in range(2):
        await _tour(api)
    assert _troubles(caplog) == []


async def test_b11_an_event_of_a_later_release_is_passed_on(api: LiveApi) -> None:
    """A kind of event that this release does not write reaches whoever watches, and ends no stream."""
    body = mp3_bytes()
    created = await api.create(body)
    _apply(
        _url(api.settings),
        [f"INSERT INTO events (tenant_id, upload_id, type) VALUES ('acme', '{created['upload_id']}', 'later')"],
    )
    await api.put(created, body)
    async with watching(api, of(created)) as stream:
        await api.complete(created)
        assert [seen.event for seen in await stream.rest()] == ["created", "later", *STATES[1:]]
    async with watching(api, "/v1/events", after="0-0") as stream:
        assert [seen.event for seen in await stream.until("ready")] == ["created", "later", *STATES[1:]]


async def test_b11_a_process_behind_or_ahead_says_so(api: Api) -> None:
    """Ready on the schema of a later release; not ready, with what to do, on an earlier one."""
    told: dict[str, Any] = {}
    for version in ("9999", "0001"):
        _apply(_url(api.settings), [f"UPDATE gateway_schema_version SET version_num = '{version}'"])
        # An answer may be two seconds old.
        for _ in range(100):
            told[version] = (await api.client.get("/readyz")).json()["checks"]["migrations"]
            if len(set(told.values())) == len(told):
                break
            await asyncio.sleep(0.1)
    assert told == {"9999": "ok", "0001": "migrations are pending: run `gateway db migrate`"}
