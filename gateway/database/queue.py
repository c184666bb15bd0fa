"""Put jobs into procrastinate's queue."""

from __future__ import annotations

from contextlib import suppress

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException

from gateway.database.engine import Database


class JobQueue:
    """Defer jobs by name; `gateway/jobs/` knows what they do."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        # The connector's own pool is opened by a worker only: deferring uses the gateway's pool.
        self.app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=4, timeout=timeout_seconds))

    async def defer_once(self, database: Database, task: str, *, name: str, **arguments: str) -> bool:
        """Add a job, unless one of the same *name* waits already; say whether it was added. Raises Unavailable."""
        async with database.connection() as connection:
            job = self.app.configure_task(
                task, allow_unknown=True, queueing_lock=name, connection=connection, queue="default"
            )
            try:
                await job.defer_async(**arguments)
            except AlreadyEnqueued:
                return False
            except ConnectorException as exc:
                # The connector wraps the driver's errors; the caller's connection translates the error inside.
                raise exc.__cause__ or exc from None
        return True

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
