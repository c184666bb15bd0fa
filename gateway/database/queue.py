"""Put jobs into procrastinate's queue in the transaction that makes them necessary."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException

from gateway.database.engine import Connection


class JobQueue:
    """Defer jobs by name; `gateway/jobs/` knows what they do."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        # The connector's own pool is opened by a worker only: deferring uses the caller's connection.
        self.app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=4, timeout=timeout_seconds))

    async def defer(
        self, connection: Connection, task: str, *, lock: str, schedule_at: datetime | None = None, **arguments: str
    ) -> None:
        """Add a job that exists only if the caller's transaction commits; of one *lock*, one runs at a time."""
        job = self.app.configure_task(
            task, allow_unknown=True, lock=lock, schedule_at=schedule_at, connection=connection, queue="default"
        )
        await job.defer_async(**arguments)

    async def tidy(self, *, after_hours: int) -> None:
        """Delete jobs that ended so long ago, and give back those of dead workers; for an open app, a worker's.

        A dead worker's job keeps its lock, so that no other job of the same upload would ever run.
        """
        manager = self.app.job_manager
        for job in await manager.get_stalled_jobs():
            # It ended this moment, or another worker gave it back; a lost database fails the next call as well.
            with suppress(ConnectorException):
                await manager.retry_job(job)
        await manager.delete_old_jobs(after_hours, include_failed=True, include_cancelled=True, include_aborted=True)
