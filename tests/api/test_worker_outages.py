"""B3: a database that is away costs the worker's queue time, never the worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import pytest

from gateway.domain.errors import DatabaseUnavailable, Unavailable
from gateway.jobs import worker
from gateway.uploads.process import FORMER_PROCESS_TASK, PROCESS_TASK
from tests.api.conftest import Api
from tests.api.test_faults import cut_off

ENDS_SECONDS = 60.0


@asynccontextmanager
async def _working(api: Api) -> AsyncIterator[asyncio.Event]:
    """Run a worker that lives until the block, or the event it is given, ends it."""
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run_worker(api.settings, stop))
    try:
        await _job_is_done(api)
        yield stop
        assert stop.is_set() or not task.done(), task
    finally:
        stop.set()
        async with asyncio.timeout(ENDS_SECONDS):
            await task


async def _job_is_done(api: Api, task_name: str = PROCESS_TASK) -> None:
    """Put a job into the queue, and wait until none of its kind is left."""
    left = "SELECT FROM procrastinate_jobs WHERE task_name = %(name)s"
    async with asyncio.timeout(ENDS_SECONDS):
        await _defer(api, task_name)
        while await api.gateway.database.fetch_all(left, {"name": task_name}):
            await asyncio.sleep(0.05)


async def _defer(api: Api, task_name: str = PROCESS_TASK) -> None:
    while True:
        # Connections that were cut are found out one by one.
        with suppress(DatabaseUnavailable):
            identity = str(uuid4())
            await api.gateway.queue.defer_once(api.gateway.database, task_name, name=identity, upload_id=identity)
            return


def _url(api: Api) -> str:
    return api.settings.database_url.get_secret_value()


async def test_b3_a_worker_outlives_a_database_that_refuses_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """All connections are cut and no new one is let in for a while; the next job is done by the same worker."""
    monkeypatch.setattr(worker, "WORK_AGAIN_SECONDS", 0.2)
    async with _working(api):
        cut_off(_url(api), refuse=True)
        await asyncio.sleep(2)
        cut_off(_url(api), refuse=False)
        await _job_is_done(api)


async def test_b3_a_worker_outlives_connections_that_are_cut(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often all its connections are cut, the next job is done."""
    monkeypatch.setattr(worker, "WORK_AGAIN_SECONDS", 0.2)
    async with _working(api):
        for _ in range(10):
            cut_off(_url(api), refuse=True)
            cut_off(_url(api), refuse=False)
            await asyncio.sleep(0.05)
        await _job_is_done(api)


async def test_b3_a_worker_stops_though_its_database_is_away(api: Api) -> None:
    """Told to stop while no connection can be had, it ends by itself and without an error."""
    async with _working(api) as stop:
        cut_off(_url(api), refuse=True)
        await asyncio.sleep(0.5)
        stop.set()
    cut_off(_url(api), refuse=False)


async def test_b3_tidying_goes_on_after_an_error_in_its_minute(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A queue that cannot be tidied when it is due is tidied the next time, and jobs are done."""
    monkeypatch.setattr(worker, "TIDY_CRON", "* * * * * *")
    monkeypatch.setattr(worker, "WORK_AGAIN_SECONDS", 0.2)
    rename = "ALTER TABLE {} RENAME TO {}"
    async with _working(api):
        await api.gateway.database.execute(rename.format("procrastinate_periodic_defers", "elsewhere"), {})
        async with asyncio.timeout(ENDS_SECONDS):
            while not any("Side task deferrer failed" in record.message for record in caplog.records):
                await asyncio.sleep(0.05)
        await api.gateway.database.execute(rename.format("elsewhere", "procrastinate_periodic_defers"), {})
        before = await _last_tidied(api)
        async with asyncio.timeout(ENDS_SECONDS):
            while await _last_tidied(api) == before:
                await asyncio.sleep(0.05)
        await _job_is_done(api)


async def _last_tidied(api: Api) -> int:
    query = "SELECT max(defer_timestamp) AS at FROM procrastinate_periodic_defers"
    row = await api.gateway.database.fetch_one(query, {})
    return int(row["at"]) if row else 0


async def test_b11_a_worker_does_not_start_on_an_older_schema(api: Api) -> None:
    """It says what to do instead of failing at every job."""
    await api.gateway.database.execute("UPDATE gateway_schema_version SET version_num = '0001'", {})
    with pytest.raises(Unavailable, match="gateway db migrate"):
        await worker.run_worker(api.settings, asyncio.Event())


async def test_b11_a_worker_runs_jobs_of_the_former_task_name(api: Api) -> None:
    """A job that an earlier release queued under the task's former name is done."""
    async with _working(api):
        await _job_is_done(api, FORMER_PROCESS_TASK)
        failed = "SELECT FROM procrastinate_jobs WHERE status = 'failed'"
        assert await api.gateway.database.fetch_all(failed, {}) == []
