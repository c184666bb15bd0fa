"""What nobody will ask for again leaves the database, and what is the record stays."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr, ValidationError

from gateway.database import forgetting, part_checksums, progress, upload_tokens
from gateway.jobs.worker import run_worker
from gateway.maintenance.sweep import sweep
from gateway.settings import Settings
from gateway.uploads.process import PROCESS_TASK
from tests.api.conftest import Api, OpenApi, mp3_bytes
from tests.api.live import serve, watching
from tests.api.uploaders import SECRET, create_with, issue

WEEK = 604_800
CHECKSUM = "A" * 43 + "="


async def _rows(api: Api, table: str, columns: str = "*") -> list[dict[str, Any]]:
    return await api.gateway.database.fetch_all(f"SELECT {columns} FROM {table}", {})


async def _upload_ids(api: Api, table: str, column: str = "upload_id") -> set[str]:
    return {str(row[column]) for row in await _rows(api, table, column)}


async def _age(api: Api, days: int = 30, table: str = "uploads", column: str = "updated_at") -> None:
    await api.gateway.database.execute(f"UPDATE {table} SET {column} = {column} - make_interval(days => {days})", {})


async def _aborted(api: Api, **options: Any) -> str:
    answer = await api.call("POST", "/v1/uploads", json={"filename": "a.mp3", "size_bytes": 9}, **options)
    upload_id = str(answer.json()["upload_id"])
    assert (await api.call("DELETE", f"/v1/uploads/{upload_id}")).status_code == 204
    return upload_id


async def test_checksums_and_progress_go_once_an_upload_is_final_and_clean(open_api: OpenApi) -> None:
    """Parts of what is open stay, and of what the store may still hold; the others' go, some time after the end."""
    api: Api = await open_api(keep_ended_seconds=0)
    ids = {name: (await api.create(mp3_bytes()))["upload_id"] for name in ("open", "ready", "unclean")}
    database = api.gateway.database
    for upload_id in map(UUID, ids.values()):
        await part_checksums.remember(database, upload_id, dict.fromkeys(range(1, 4), CHECKSUM))
        await progress.claim_poll(database, upload_id, every_seconds=0)
    await database.execute(
        "UPDATE uploads SET state = 'ready', observed_etag = 'e', observed_size_bytes = 9 WHERE id = %(id)s",
        {"id": ids["ready"]},
    )
    await database.execute(
        "UPDATE uploads SET state = 'aborted', cleanup_pending = true WHERE id = %(id)s", {"id": ids["unclean"]}
    )
    assert (await sweep(api.gateway))["forgotten_rows"] == 0
    await _age(api)
    counts = await sweep(api.gateway)
    assert (counts["forgotten_rows"], counts["unclean"]) == (1, 1)
    for table in ("part_checksums", "upload_progress"):
        assert await _upload_ids(api, table) == {ids["open"], ids["unclean"]}
    await _age(api)
    assert (await sweep(api.gateway))["forgotten_rows"] == 1
    for table in ("part_checksums", "upload_progress"):
        assert await _upload_ids(api, table) == {ids["open"]}
    assert len(await _rows(api, "uploads")) == 3


async def test_keys_go_in_batches_though_the_store_is_away(open_api: OpenApi) -> None:
    """One sweep forgets more than one batch, and does it before it asks a store that does not answer."""
    api: Api = await open_api(s3_endpoint="http://127.0.0.1:9", s3_max_attempts=1)
    await api.gateway.database.execute(
        """WITH made AS (
            INSERT INTO uploads (id, tenant_id, state, filename, extension, bucket, object_key, content_type,
                expires_at, multipart_upload_id, cleanup_pending, updated_at)
            VALUES (gen_random_uuid(), 'acme', 'aborted', 'a.mp3', 'mp3', 'b', 'k', 'audio/mpeg', now(), 'm', true,
                now() - interval '1 day') RETURNING id)
        INSERT INTO idempotency_keys (tenant_id, key, request_hash, upload_id, created_at)
        SELECT 'acme', n::text, '', id, now() - interval '2 days' * mod(n, 2)
        FROM made, generate_series(1, 5000) AS n""",
        {},
    )
    counts = await sweep(api.gateway)
    assert (counts["forgotten_keys"], counts["unclean"]) == (2500, 0)
    assert len(await _rows(api, "idempotency_keys")) == 2500


async def test_tokens_go_a_day_after_their_end_unless_an_upload_names_them(open_api: OpenApi) -> None:
    """A token that was never used goes; one that was used stays as long as its uploads, and holds up no other."""
    api: Api = await open_api(token_secret=SecretStr(SECRET))
    used, unused, live = [await issue(api) for _ in range(3)]
    created = await create_with(api, used["token"], b"x")
    assert created.status_code == 201
    ended_ids = [used["token_id"], unused["token_id"]]
    for number, token_id in enumerate(ended_ids):
        await api.gateway.database.execute(
            "UPDATE upload_tokens SET expires_at = now() - make_interval(days => %(days)s) WHERE id = %(id)s",
            {"id": token_id, "days": 3 - number},
        )
    database = api.gateway.database
    assert await upload_tokens.forget_ended(database, after_seconds=86_400, limit=1) == (0, 1)
    assert await upload_tokens.forget_ended(database, after_seconds=86_400, limit=1) == (1, 1)
    assert await upload_tokens.forget_ended(database, after_seconds=86_400, limit=1) == (0, 0)
    assert await _upload_ids(api, "upload_tokens", "id") == {used["token_id"], live["token_id"]}
    await database.execute("DELETE FROM uploads", {})
    assert (await sweep(api.gateway))["forgotten_tokens"] == 0
    await _age(api, table="upload_tokens", column="seen_used_at")
    assert (await sweep(api.gateway))["forgotten_tokens"] == 1
    assert await _upload_ids(api, "upload_tokens", "id") == {live["token_id"]}


async def test_a_sweep_forgets_tokens_that_ended(open_api: OpenApi) -> None:
    """What ended less than a day ago is still listed."""
    api: Api = await open_api(token_secret=SecretStr(SECRET))
    await issue(api)
    await _age(api, days=1, table="upload_tokens", column="expires_at")
    assert (await sweep(api.gateway))["forgotten_tokens"] == 0
    await _age(api, days=1, table="upload_tokens", column="expires_at")
    assert (await sweep(api.gateway))["forgotten_tokens"] == 1


async def test_j3_uploads_that_ended_badly_are_forgotten_after_thirty_days_by_default(open_api: OpenApi) -> None:
    """Without a setting an aborted upload is kept for 30 days; with 0 it is kept for good."""
    for changed, forgotten in (({}, 1), ({"keep_ended_seconds": 0}, 0)):
        api: Api = await open_api(**changed)
        await _aborted(api)
        await sweep(api.gateway)
        await _age(api, days=29)
        assert (await sweep(api.gateway))["forgotten_uploads"] == 0
        await _age(api, days=2)
        assert (await sweep(api.gateway))["forgotten_uploads"] == forgotten


async def test_uploads_that_ended_badly_are_forgotten_after_their_time(open_api: OpenApi) -> None:
    """With their events and keys; never what is ready, open or young."""
    api: Api = await open_api(keep_ended_seconds=WEEK)
    ready = await api.ready(mp3_bytes())
    rejected = await api.ready(b"no media")
    assert rejected["state"] == "rejected"
    aborted, early = await _aborted(api, headers={"idempotency-key": "once"}), await api.create(b"x")
    await _age(api, days=8)
    kept = {ready["upload_id"], early["upload_id"], await _aborted(api)}
    counts = await sweep(api.gateway)
    assert (counts["forgotten_uploads"], counts["expired"]) == (2, 0)
    assert await _upload_ids(api, "uploads", "id") == kept
    assert await _upload_ids(api, "events") == kept
    assert await _rows(api, "idempotency_keys") == []
    for upload_id in (rejected["upload_id"], aborted):
        assert (await api.call("GET", f"/v1/uploads/{upload_id}")).status_code == 404


@pytest.mark.parametrize("held", ["cleanup_pending = true", "form_key = 'f'", "has_working_rows = true"])
async def test_an_upload_is_not_forgotten_while_its_row_is_needed(api: Api, held: str) -> None:
    """Without the row nobody would find what the store still holds, or what a form may still bring."""
    await _aborted(api)
    await _age(api)
    database = api.gateway.database
    await database.execute("UPDATE uploads SET has_working_rows = false", {})
    await database.execute(f"UPDATE uploads SET {held}", {})
    assert await forgetting.forget_uploads(database, after_seconds=WEEK, limit=100) == 0
    await database.execute("UPDATE uploads SET cleanup_pending = false, form_key = NULL, has_working_rows = false", {})
    assert await forgetting.forget_uploads(database, after_seconds=WEEK, limit=100) == 1


async def test_a_stream_goes_on_behind_an_event_that_was_forgotten(settings: Settings) -> None:
    """A tenant's watcher who comes back from a forgotten event gets all that is left behind it, and nothing before."""
    async with serve(settings.model_copy(update={"keep_ended_seconds": WEEK})) as api:
        first = await api.ready(mp3_bytes())
        async with watching(api, "/v1/events") as stream:
            gone = await _aborted(api)
            seen = await stream.until("aborted")
        await _age(api)
        second = await api.ready(mp3_bytes())
        assert (await sweep(api.gateway))["forgotten_uploads"] == 1
        async with watching(api, "/v1/events", after=seen[-1].id) as stream:
            told = await stream.until("ready")
        assert {one.data["upload_id"] for one in told} == {second["upload_id"]}
        assert [one.event for one in told] == ["created", "completing", "validating", "ready"]
        path = f"/v1/uploads/{gone}/events"
        assert (await api.call("GET", path, headers={"last-event-id": str(seen[-1].id)})).status_code == 404
        assert (await api.get(first["upload_id"]))["state"] == "ready"


@pytest.mark.parametrize(
    "changed", [{"keep_ended_seconds": 3600}, {"keep_ended_seconds": WEEK, "idempotency_seconds": WEEK + 1}]
)
def test_what_is_still_asked_for_cannot_be_forgotten(changed: dict[str, int]) -> None:
    """Shorter than a token may live or a key is remembered is refused."""
    with pytest.raises(ValidationError):
        Settings(_env_file=None, **changed)  # type: ignore[arg-type] # any setting by name


async def _job(api: Api, status: str, days: int, upload_id: UUID | None = None) -> int:
    """Put a job into the queue as a worker left it."""
    identity = str(upload_id or uuid4())
    assert await api.gateway.queue.defer_once(api.gateway.database, PROCESS_TASK, name=identity, upload_id=identity)
    async with api.gateway.database.transaction() as connection:
        cursor = await connection.execute("SELECT max(id) AS id FROM procrastinate_jobs")
        row = await cursor.fetchone()
        assert row is not None
        await connection.execute(
            "UPDATE procrastinate_jobs SET status = %(status)s::procrastinate_job_status WHERE id = %(id)s",
            {"status": status, "id": row["id"]},
        )
        await connection.execute(
            "UPDATE procrastinate_events SET at = at - make_interval(days => %(days)s) WHERE job_id = %(id)s",
            {"days": days, "id": row["id"]},
        )
    return int(row["id"])


async def test_a_worker_tidies_its_queue(api: Api) -> None:
    """Old jobs that ended go, however they ended; a dead worker's job runs again, young failures stay to be seen."""
    old = {await _job(api, status, days=8) for status in ("failed", "cancelled", "aborted", "succeeded")}
    young = await _job(api, "failed", days=6)
    stalled = await _job(api, "doing", days=0)
    waiting = {young}
    stop = asyncio.Event()
    worker = asyncio.create_task(run_worker(api.settings, stop))
    try:
        async with asyncio.timeout(30):
            while {row["id"] for row in await _rows(api, "procrastinate_jobs")} != waiting:
                assert not worker.done()
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await asyncio.gather(worker, return_exceptions=True)
    assert not {row["id"] for row in await _rows(api, "procrastinate_jobs")} & (old | {stalled})
