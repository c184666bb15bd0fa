"""Ceilings for tokens, keys and tenants, and lost answers to create, on real PostgreSQL and a real store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from gateway.dev.store import StoreServer
from gateway.maintenance import sweep as sweeping
from gateway.maintenance.sweep import sweep
from gateway.storage.admin import multipart_uploads_of
from gateway.uploads import create as creating
from gateway.uploads import intent
from tests.api.conftest import Api, OpenApi, gather, mp3_bytes
from tests.api.uploaders import SECRET, call_with, create_with, issue
from tests.holding_proxy import HoldingProxy


async def _usage(api: Api, scope: str) -> dict[str, Any]:
    row = await api.gateway.database.fetch_one(
        "SELECT open_uploads, open_bytes, creates, files FROM usage_counters WHERE scope = %(scope)s", {"scope": scope}
    )
    assert row is not None
    return dict(row)


async def test_j3_create_and_abort_ends_for_a_token_of_one_file(open_api: OpenApi) -> None:
    """A token of one file may begin again, but not for ever: 403 `token_exhausted`, and nothing is left open."""
    api: Api = await open_api(token_secret=SecretStr(SECRET))
    token = (await issue(api, max_files=1))["token"]
    statuses = []
    for _ in range(25):
        answer = await create_with(api, token, b"x")
        statuses.append(answer.status_code)
        if answer.status_code == 201:
            await call_with(api, token, "DELETE", f"/v1/uploads/{answer.json()['upload_id']}")
    assert statuses == [201] * 20 + [403] * 5
    assert answer.json()["code"] == "token_exhausted"
    assert await _usage(api, "token") == {"open_uploads": 0, "open_bytes": 0, "creates": 20, "files": 0}
    rows = await api.gateway.database.fetch_one("SELECT count(*) AS n FROM uploads", {})
    assert rows is not None
    assert rows["n"] == 20


@pytest.mark.parametrize("scope", ["token", "key", "tenant"])
@pytest.mark.parametrize(
    ("ceiling", "value", "code"),
    [
        ("open_uploads", 3, "too_many_uploads"),
        ("open_bytes", 300, "too_many_uploads"),
        ("creates_per_day", 3, "too_many_uploads"),
        ("creates", 3, None),
    ],
)
async def test_j3_each_ceiling_holds(open_api: OpenApi, scope: str, ceiling: str, value: int, code: str | None) -> None:
    """The fourth create is refused; those that bound what is open let one pass again after an abort."""
    api: Api = await open_api(token_secret=SecretStr(SECRET), **{f"{scope}_{ceiling}": value})
    token = (await issue(api))["token"]
    bearer = token if scope == "token" else await api.key()
    made = [await create_with(api, bearer, b"x" * 100) for _ in range(3)]
    assert {answer.status_code for answer in made} == {201}
    refused = await create_with(api, bearer, b"x" * 100)
    expected = code or ("token_exhausted" if scope == "token" else "creates_exhausted")
    assert (refused.status_code, refused.json()["code"]) == (429 if code else 403, expected)
    if code:
        assert int(refused.headers["retry-after"]) >= 1
    await call_with(api, bearer, "DELETE", f"/v1/uploads/{made[0].json()['upload_id']}")
    again = await create_with(api, bearer, b"x" * 100)
    assert again.status_code == (201 if ceiling.startswith("open") else refused.status_code)
    other = await api.call("POST", "/v1/uploads", tenant="other", json={"filename": "a.mp3", "size_bytes": 1})
    assert other.status_code == 201


async def test_j3_counters_follow_every_way_an_upload_ends(open_api: OpenApi) -> None:
    """Ready, rejected, aborted, expired and repeated creates leave the counters as the rows are."""
    api: Api = await open_api(token_secret=SecretStr(SECRET))
    await api.ready(mp3_bytes())
    rejected = await api.create(b"no media at all" * 10)
    await api.put(rejected, b"no media at all" * 10)
    await api.complete(rejected)
    aborted, late = await api.create(b"x"), await api.create(b"x")
    await api.call("DELETE", f"/v1/uploads/{aborted['upload_id']}")
    await api.gateway.database.execute(
        "UPDATE uploads SET expires_at = now() - interval '1 hour' WHERE id = %(id)s", {"id": late["upload_id"]}
    )
    assert (await sweep(api.gateway))["expired"] == 1
    headers = {"idempotency-key": "k"}
    wanted = {"filename": "a.mp3", "size_bytes": 70}
    for _ in range(3):
        assert (await api.call("POST", "/v1/uploads", json=wanted, headers=headers)).status_code == 201
    assert await _usage(api, "tenant") == {"open_uploads": 1, "open_bytes": 70, "creates": 5, "files": 3}
    assert await _usage(api, "key") == await _usage(api, "tenant")


async def test_j3_parallel_creates_of_one_token_hold_one_connection(open_api: OpenApi) -> None:
    """While one token creates forty uploads at once, others find a free database connection."""
    api: Api = await open_api(token_secret=SecretStr(SECRET), database_pool_size=2)
    token = (await issue(api))["token"]
    storm = [create_with(api, token, b"x") for _ in range(40)]
    others = [api.call("POST", "/v1/uploads", json={"filename": "a.mp3", "size_bytes": 1}) for _ in range(5)]
    answers = await gather(*storm, *others)
    assert {answer.status_code for answer in answers} == {201}


@pytest.fixture
def lossy(store_server: StoreServer) -> Iterator[HoldingProxy]:
    """Stand between gateway and store and keep the first answer to CreateMultipartUpload back."""
    with HoldingProxy(store_server.endpoint, "CreateMultipartUpload", "after").running() as running:
        yield running


async def test_j9_orphans_of_a_retried_create_are_aborted(
    open_api: OpenApi, lossy: HoldingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the store's first answer is lost, the multipart upload that nobody can name is found and aborted."""
    api: Api = await open_api(s3_endpoint=lossy.address, s3_timeout_seconds=0.5)
    created = await api.create(b"x")
    lossy.let_go()
    key = created["object_key"]
    assert len(await multipart_uploads_of(api.gateway.store_config, key)) == 2
    assert (await sweep(api.gateway))["orphans"] == 0, "a first try may still be on its way"
    monkeypatch.setattr(sweeping, "ORPHAN_SECONDS", 0.0)
    assert (await sweep(api.gateway))["orphans"] == 1
    row = await api.gateway.database.fetch_one("SELECT multipart_upload_id FROM uploads", {})
    assert row is not None
    assert await multipart_uploads_of(api.gateway.store_config, key) == [row["multipart_upload_id"]]
    assert (await sweep(api.gateway))["orphans"] == 0


async def test_j10_a_dead_creators_key_is_free_within_seconds(
    open_api: OpenApi, lossy: HoldingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that creates dies before it answers: a repeated request is served once the lease is over."""
    monkeypatch.setattr(intent, "INTENT_LEASE_SECONDS", 0.3)
    monkeypatch.setattr(creating, "INTENT_LEASE_SECONDS", 0.3)
    monkeypatch.setattr(intent, "RENEW_SECONDS", 3600.0)
    dying: Api = await open_api(s3_endpoint=lossy.address, s3_timeout_seconds=30.0)
    living: Api = await open_api()
    living.keys = dying.keys
    wanted: dict[str, Any] = {
        "json": {"filename": "a.mp3", "size_bytes": 1},
        "headers": {"idempotency-key": str(uuid4())},
    }
    await dying.key()
    hanging = asyncio.create_task(dying.call("POST", "/v1/uploads", **wanted))
    async with asyncio.timeout(20):
        while True:
            answer = await living.call("POST", "/v1/uploads", **wanted)
            if answer.status_code == 201:
                break
            assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_progress")
            assert int(answer.headers["retry-after"]) <= 2
            await asyncio.sleep(0.1)
    lossy.let_go()
    late = await hanging
    assert late.status_code in (201, 409), "it lost its lease, or gives the same answer"
    rows = await living.gateway.database.fetch_one("SELECT count(*) AS n FROM uploads", {})
    assert rows is not None
    assert rows["n"] == 1


async def test_j10_a_create_that_is_cancelled_lets_its_key_go(open_api: OpenApi, lossy: HoldingProxy) -> None:
    """A request that the server cancels while the store is silent leaves the key for the next try at once."""
    api: Api = await open_api(s3_endpoint=lossy.address, s3_timeout_seconds=30.0)
    wanted: dict[str, Any] = {"json": {"filename": "a.mp3", "size_bytes": 1}, "headers": {"idempotency-key": "k"}}
    await api.key()
    hanging = asyncio.create_task(api.call("POST", "/v1/uploads", **wanted))
    await asyncio.to_thread(lossy.wait_until_held)
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    lossy.let_go()
    assert (await api.call("POST", "/v1/uploads", **wanted)).status_code == 201


async def test_j8_the_sweep_takes_tenants_in_turn_until_nothing_is_left(
    open_api: OpenApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant with many expired uploads does not hold up another one's, and one sweep ends all of them."""
    api: Api = await open_api()
    monkeypatch.setattr(sweeping, "BATCH", 8)
    monkeypatch.setattr(sweeping, "PER_TENANT", 4)
    await gather(*(api.create(b"x") for _ in range(30)))
    for tenant in ("a-tenant", "zebra"):
        await api.call("POST", "/v1/uploads", tenant=tenant, json={"filename": "a.mp3", "size_bytes": 1})
    await api.gateway.database.execute("UPDATE uploads SET expires_at = now() - interval '1 hour'", {})
    order: list[str] = []
    clean_up = sweeping.clean_up

    async def noted(gateway: Any, upload: Any) -> None:
        order.append(upload.tenant_id)
        await clean_up(gateway, upload)

    monkeypatch.setattr(sweeping, "clean_up", noted)
    assert (await sweep(api.gateway))["expired"] == 32
    assert {"a-tenant", "zebra"} <= set(order[:16])
    left = await api.gateway.database.fetch_one(
        "SELECT count(*) AS n FROM uploads WHERE state <> 'expired' OR cleanup_pending", {}
    )
    assert left is not None
    assert left["n"] == 0
    told = await api.gateway.database.fetch_one("SELECT count(*) AS n FROM events WHERE type = 'expired'", {})
    assert told is not None
    assert told["n"] == 32


async def test_j8_two_sweeps_at_once_share_the_rows(open_api: OpenApi) -> None:
    """Two workers that sweep at the same time expire each upload once."""
    api: Api = await open_api()
    other: Api = await open_api()
    await gather(*(api.create(b"x") for _ in range(40)))
    await api.gateway.database.execute("UPDATE uploads SET expires_at = now() - interval '1 hour'", {})
    first, second = await gather(sweep(api.gateway), sweep(other.gateway))
    assert first["expired"] + second["expired"] == 40
    told = await api.gateway.database.fetch_one("SELECT count(*) AS n FROM events WHERE type = 'expired'", {})
    assert told is not None
    assert told["n"] == 40
