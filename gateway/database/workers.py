"""Read the heartbeats of the workers from the database: the queue's library writes one for each worker."""

from __future__ import annotations

from gateway.database.engine import Database

HEARTBEAT_SECONDS = 5.0
"""Time between two signs of life of a worker."""

ALIVE_SECONDS = 20.0
"""Age up to which a heartbeat counts: three may be late on a busy machine."""


async def newest_sign(database: Database) -> float | None:
    """Return the age of the newest heartbeat, seconds; None where no worker is registered. Raises Unavailable."""
    row = await database.fetch_one(
        "SELECT extract(epoch FROM now() - max(last_heartbeat))::float AS age FROM procrastinate_workers", {}
    )
    return None if row is None or row["age"] is None else max(0.0, row["age"])
