"""B2 and B3: a store or a database that is away costs time, never an upload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from gateway.dev.store import StoreServer
from gateway.domain.errors import DatabaseUnavailable
from gateway.maintenance.sweep import sweep
from gateway.storage.errors import NoSuchKey
from gateway.storage.models import CompletedPart
from tests.api.conftest import Api, OpenApi, gather, mp3_bytes
from tests.holding_proxy import HoldingProxy

OPERATIONS = ["ListParts", "CompleteMultipartUpload", "GetObject"]


@pytest.fixture
def proxy(request: pytest.FixtureRequest, store_server: StoreServer) -> Iterator[HoldingProxy]:
    """Stand between gateway and store, failing the operation that the test names."""
    operation, fault = request.param
    with HoldingProxy(store_server.endpoint, operation, fault).running() as running:
        yield running


async def _through(open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer) -> Api:
    api: Api = await open_api(
        s3_endpoint=proxy.address, s3_public_endpoint=store_server.endpoint, s3_max_attempts=2, s3_timeout_seconds=5.0
    )
    return api


@pytest.mark.parametrize(
    "proxy", [(name, fault) for name in OPERATIONS for fault in ("slow_down", "reset")], indirect=True
)
async def test_b2_a_store_that_fails_while_completing_loses_nothing(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer
) -> None:
    """While the store is away complete says 503 and when to come back; once it is there the same call ends ready."""
    api = await _through(open_api, proxy, store_server)
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    answer = await api.complete(created)
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert (await api.get(created["upload_id"]))["state"] in ("uploading", "completing", "validating")
    proxy.let_go()
    assert (await api.complete(created)).json()["state"] == "ready"


@pytest.mark.parametrize("proxy", [("CompleteMultipartUpload", "slow_down")], indirect=True)
async def test_b2_what_a_request_left_the_worker_finishes(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer
) -> None:
    """A client that never comes back finds its upload ready all the same."""
    api = await _through(open_api, proxy, store_server)
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    assert (await api.complete(created)).status_code == 503
    proxy.let_go()
    assert (await sweep(api.gateway))["dropped"] == 1
    assert (await api.get(created["upload_id"]))["state"] == "ready"


@pytest.mark.parametrize("proxy", [("CreateMultipartUpload", "slow_down")], indirect=True)
async def test_b2_a_create_without_a_store_may_be_repeated(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer
) -> None:
    """Create says 503; repeated with its key it makes one upload, and no half of one shows in between."""
    api = await _through(open_api, proxy, store_server)
    wanted = {"json": {"filename": "a.mp3", "size_bytes": 1}, "headers": {"idempotency-key": "one"}}
    assert (await api.call("POST", "/v1/uploads", **wanted)).status_code == 503
    assert (await api.call("GET", "/v1/uploads")).json()["uploads"] == []
    proxy.let_go()
    assert (await api.call("POST", "/v1/uploads", **wanted)).status_code == 201
    assert len((await api.call("GET", "/v1/uploads")).json()["uploads"]) == 1


@pytest.mark.parametrize("proxy", [("AbortMultipartUpload", "slow_down")], indirect=True)
async def test_b2_an_abort_without_a_store_is_made_up_for(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer
) -> None:
    """Abort is 204 at once; the parts go when the store is back."""
    api = await _through(open_api, proxy, store_server)
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    assert (await api.call("DELETE", f"/v1/uploads/{created['upload_id']}")).status_code == 204
    proxy.let_go()
    await api.gateway.database.execute("UPDATE uploads SET updated_at = now() - interval '1 day'", {})
    assert (await sweep(api.gateway))["unclean"] == 1
    assert (await api.store.put(created["parts"][0]["url"], content=body)).status_code == 404


@pytest.mark.parametrize("proxy", [("GetObject", "missing")], indirect=True)
async def test_b2_a_404_that_is_not_the_stores_rejects_nothing(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer
) -> None:
    """A proxy that knows of no object while the store restarts is an outage; the file is ready when it is over."""
    api = await _through(open_api, proxy, store_server)
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    answer = await api.complete(created)
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert (await api.get(created["upload_id"]))["state"] == "validating"
    proxy.let_go()
    assert (await api.complete(created)).json()["state"] == "ready"


@pytest.mark.parametrize("proxy", [("HeadObject", "missing")], indirect=True)
async def test_b2_a_404_that_is_not_the_stores_loses_no_parts(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer
) -> None:
    """An object whose completion was not answered is not given up because a proxy does not know it."""
    api = await _through(open_api, proxy, store_server)
    body = mp3_bytes()
    created = await api.create(body)
    await _assembled_by_somebody(api, await api.put(created, body))
    answer = await api.complete(created)
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert (await api.get(created["upload_id"]))["state"] == "completing"
    proxy.let_go()
    assert (await api.complete(created)).json()["state"] == "ready"


@pytest.mark.parametrize("proxy", [("HeadObject", "missing")], indirect=True)
async def test_b2_a_404_that_is_not_the_stores_says_nothing_of_what_is_ready(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer
) -> None:
    """A download is 503 while a proxy knows of no object, and not the 409 of an object that somebody changed."""
    ready = await (await open_api()).ready(mp3_bytes())
    api = await _through(open_api, proxy, store_server)
    path = f"/v1/uploads/{ready['upload_id']}/download"
    answer = await api.call("GET", path)
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    proxy.let_go()
    assert (await api.call("GET", path)).status_code == 307


@pytest.mark.parametrize("proxy", [("GetObject", "slow_down")], indirect=True)
async def test_an_object_that_is_gone_is_rejected(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer
) -> None:
    """What the store itself says is missing is missing."""
    api = await _through(open_api, proxy, store_server)
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    assert (await api.complete(created)).status_code == 503
    await api.gateway.store.delete_object(created["object_key"])
    proxy.let_go()
    final = (await api.complete(created)).json()
    assert (final["state"], final["rejection"]["code"]) == ("rejected", "object_missing")


@pytest.mark.parametrize(
    "proxy", [("CompleteMultipartUpload", fault) for fault in ("denied", "mute", "too_large")], indirect=True
)
@pytest.mark.parametrize("then", ["complete", "abort", "expire"])
async def test_a_store_that_refuses_to_assemble_leaves_the_upload_open(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer, then: str
) -> None:
    """Complete says 502 and nothing hangs: it can be asked again, aborted, or left to expire, with nothing left over.

    Mute is the worst: the store did it and did not say so. The next complete finds the object.
    """
    api = await _through(open_api, proxy, store_server)
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    answer = await api.complete(created)
    assert (answer.status_code, answer.json()["code"]) == (502, "store_error")
    assert (await api.get(created["upload_id"]))["state"] == "uploading"
    if then == "complete":
        proxy.let_go()
        assert (await api.complete(created)).json()["state"] == "ready"
        return
    if then == "abort":
        assert (await api.call("DELETE", f"/v1/uploads/{created['upload_id']}")).status_code == 204
    else:
        await api.gateway.database.execute("UPDATE uploads SET expires_at = now()", {})
        assert (await sweep(api.gateway))["expired"] == 1
    with pytest.raises(NoSuchKey):
        await api.gateway.store.head_object(created["object_key"])
    assert (await api.store.put(created["parts"][0]["url"], content=body)).status_code == 404


@pytest.mark.parametrize("proxy", [("HeadObject", "denied")], indirect=True)
async def test_a_store_that_refuses_to_say_what_it_assembled_leaves_the_upload_open(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer
) -> None:
    """When the object of an earlier try may not be looked at, complete is 502 and may be asked again."""
    api = await _through(open_api, proxy, store_server)
    body = mp3_bytes()
    created = await api.create(body)
    await _assembled_by_somebody(api, await api.put(created, body))
    assert (await api.complete(created)).status_code == 502
    assert (await api.get(created["upload_id"]))["state"] == "uploading"
    proxy.let_go()
    assert (await api.complete(created)).json()["state"] == "ready"


@pytest.mark.parametrize("proxy", [("GetObject", "denied")], indirect=True)
async def test_what_the_store_never_lets_be_checked_ends(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused check is tried again and logged each time, and ends as rejected after the life of an upload."""
    api = await _through(open_api, proxy, store_server)
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    assert (await api.complete(created)).status_code == 502
    await sweep(api.gateway)
    assert (await api.get(created["upload_id"]))["state"] == "validating"
    tried = [record.__dict__ for record in caplog.records if record.message.startswith("could not check an upload")]
    assert [(one["upload_id"], one["code"]) for one in tried] == [(created["upload_id"], "store_error")] * 2
    await _age_by(api, days=2)
    await sweep(api.gateway)
    final = await api.get(created["upload_id"])
    assert (final["state"], final["rejection"]["code"]) == ("rejected", "not_checked")
    assert "rights" in final["rejection"]["detail"]


@pytest.mark.parametrize("proxy", [("GetObject", "slow_down")], indirect=True)
async def test_b2_a_store_that_is_away_for_days_rejects_nothing(
    open_api: OpenApi, proxy: HoldingProxy, store_server: StoreServer
) -> None:
    """An outage says nothing of a file, however long it lasts; and a check that succeeds is never too late."""
    api = await _through(open_api, proxy, store_server)
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    assert (await api.complete(created)).status_code == 503
    await _age_by(api, days=2)
    await sweep(api.gateway)
    assert (await api.get(created["upload_id"]))["state"] == "validating"
    proxy.let_go()
    await sweep(api.gateway)
    assert (await api.get(created["upload_id"]))["state"] == "ready"


async def _age_by(api: Api, *, days: int) -> None:
    await api.gateway.database.execute(
        "UPDATE uploads SET updated_at = updated_at - make_interval(days => %(days)s)", {"days": days}
    )


async def _assembled_by_somebody(api: Api, etags: list[str]) -> None:
    """Complete in the store as a process does that dies before it writes that down."""
    row = await api.gateway.database.fetch_one("SELECT object_key, multipart_upload_id FROM uploads", {})
    assert row is not None
    parts = [CompletedPart(number, etag.strip('"')) for number, etag in enumerate(etags, 1)]
    await api.gateway.store.complete_multipart_upload(row["object_key"], row["multipart_upload_id"], parts)


async def test_b2_readiness_names_a_store_that_is_away(open_api: OpenApi) -> None:
    """A closed port is a part that is not ready; liveness does not mind."""
    api: Api = await open_api(s3_endpoint="http://127.0.0.1:9", s3_max_attempts=1)
    ready = await api.client.get("/readyz")
    assert ready.status_code == 503
    checks = ready.json()["checks"]
    assert checks["database"] == "ok"
    assert checks["store"] != "ok"
    assert (await api.client.get("/healthz")).status_code == 200


def cut_off(url: str, *, refuse: bool) -> None:
    """End every connection of the database, and refuse or allow new ones."""
    name = url.rsplit("/", 1)[1]
    with psycopg.connect(url.rsplit("/", 1)[0] + "/postgres", autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {not refuse}'.encode())
        if refuse:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


async def test_b3_a_database_that_is_away_is_503_and_comes_back(open_api: OpenApi) -> None:
    """Without a database every route says 503; with it the same upload goes on."""
    api: Api = await open_api(database_timeout_seconds=1.0)
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    url = api.settings.database_url.get_secret_value()
    cut_off(url, refuse=True)
    try:
        answers = await gather(
            api.complete(created),
            api.call("POST", "/v1/uploads", json={"filename": "a.mp3", "size_bytes": 1}),
            api.call("GET", f"/v1/uploads/{created['upload_id']}"),
        )
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "database_unavailable")}
        assert (await api.client.get("/readyz")).json()["checks"]["database"] != "ok"
    finally:
        cut_off(url, refuse=False)
    for _ in range(10):
        answer = await api.complete(created)
        if answer.status_code == 200:
            break
    assert answer.json()["state"] == "ready"


async def test_b3_connections_that_are_killed_are_replaced(api: Api) -> None:
    """Every connection of the pool dies; at most the calls in hand notice."""
    created = await api.create(b"x")
    url = api.settings.database_url.get_secret_value()
    cut_off(url, refuse=True)
    cut_off(url, refuse=False)
    statuses = [(await api.call("GET", f"/v1/uploads/{created['upload_id']}")).status_code for _ in range(12)]
    assert set(statuses) <= {200, 503}
    assert statuses[-1] == 200


def _read_only(url: str, *, on: bool) -> None:
    """Turn the database into one that only reads, as a primary that was replaced is."""
    name = url.rsplit("/", 1)[1]
    with psycopg.connect(url.rsplit("/", 1)[0] + "/postgres", autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {on}'.encode())
        if on:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


async def test_b3_a_failover_is_503_and_a_body_outlives_it(open_api: OpenApi) -> None:
    """While the database only reads, writes are 503; a body that comes in meanwhile is ready when it is over."""
    api: Api = await open_api()
    url = api.settings.database_url.get_secret_value()
    body = mp3_bytes()
    upload_id = (await api.create(body))["upload_id"]
    failed, over = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield body[:1000]
        await failed.wait()
        yield body[1000:2000]
        await over.wait()
        yield body[2000:]

    sending = asyncio.create_task(api.call("PUT", f"/v1/uploads/{upload_id}/content", content=slowly()))
    await asyncio.sleep(1.5)
    try:
        _read_only(url, on=True)
        failed.set()
        wanted = {"filename": "a.mp3", "size_bytes": 1}
        answers = [await api.call("POST", "/v1/uploads", json=wanted) for _ in range(12)]
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "database_unavailable")}
        await asyncio.sleep(1.5)
    finally:
        _read_only(url, on=False)
    statuses = [(await api.call("POST", "/v1/uploads", json=wanted)).status_code for _ in range(12)]
    assert statuses[-1] == 201
    over.set()
    answer = await sending
    assert (answer.status_code, answer.json()["state"]) == (201, "ready")


async def test_b3_a_report_that_fails_for_any_reason_stops_no_body(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A report that the database refuses is logged by its type; what is coming in goes on and ends well."""
    body = mp3_bytes()
    upload_id = (await api.create(body))["upload_id"]
    refused = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield body[:1000]
        await refused.wait()
        yield body[1000:]

    rename = "ALTER TABLE {} RENAME TO {}"
    await api.gateway.database.execute(rename.format("upload_progress", "elsewhere"), {})
    sending = asyncio.create_task(api.call("PUT", f"/v1/uploads/{upload_id}/content", content=slowly()))
    while not (logged := [record for record in caplog.records if "could not renew" in record.message]):
        assert not sending.done()
        await asyncio.sleep(0.05)
    assert logged[0].__dict__["error"] == "UndefinedTable"
    await api.gateway.database.execute(rename.format("elsewhere", "upload_progress"), {})
    refused.set()
    assert (await sending).status_code == 201


@pytest.mark.parametrize("name", ["idle_in_transaction_session_timeout", "transaction_timeout"])
async def test_b3_a_transaction_that_the_database_ends_is_unavailable(api: Api, name: str) -> None:
    """A transaction that took longer than its database allows is no unknown error."""
    database = api.gateway.database
    known = await database.fetch_one("SELECT FROM pg_settings WHERE name = %(name)s", {"name": name})
    if known is None:
        pytest.skip(f"this PostgreSQL has no {name}")

    async def too_long() -> None:
        async with database.transaction() as connection:
            await connection.execute(f"SET LOCAL {name} = '50ms'".encode())
            await asyncio.sleep(0.3)
            await connection.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        await too_long()
    assert await database.fetch_one("SELECT 1 AS one", {}) == {"one": 1}


async def test_b3_a_plan_of_before_a_migration_costs_one_try(api: Api) -> None:
    """A statement that a connection planned before its columns changed is Unavailable once, then planned anew."""
    database = api.gateway.database
    await database.execute("CREATE TABLE moving (a int)", {})
    for _ in range(100):
        await database.fetch_all("SELECT * FROM moving", {})
    await database.execute("ALTER TABLE moving ALTER COLUMN a TYPE text", {})
    outcomes = []
    for _ in range(20):
        try:
            outcomes.append(await database.fetch_all("SELECT * FROM moving", {}))
        except DatabaseUnavailable:
            outcomes.append(None)
    assert None in outcomes
    assert outcomes[-1] == []


async def test_pending_migrations_are_not_ready(api: Api) -> None:
    """A database of an older release is named by readiness."""
    await api.gateway.database.execute("UPDATE gateway_schema_version SET version_num = '0000'", {})
    ready = await api.client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "ok")
    assert "migrate" in ready.json()["checks"]["migrations"]
