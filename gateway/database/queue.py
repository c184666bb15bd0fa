"""Put jobs into procrastinate's queue in the transaction that makes them necessary."""

from __future__ import annotations

from datetime import datetime

from procrastinate import App, PsycopgConnector

from gateway.database.engine import Connection


class JobQueue:
    """Defer jobs by name; `gateway/jobs/` knows what they do."""

    def __init__(self, url: str) -> None:
        # The connector's own pool is opened by a worker only: deferring uses the caller's connection.
        self.app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=4))

    async def defer(
        self, connection: Connection, task: str, *, lock: str, schedule_at: datetime | None = None, **arguments: str
    ) -> None:
        """Add a job that exists only if the caller's transaction commits; of one *lock*, one runs at a time."""
        job = self.app.configure_task(
            task, allow_unknown=True, lock=lock, schedule_at=schedule_at, connection=connection, queue="default"
        )
        await job.defer_async(**arguments)
