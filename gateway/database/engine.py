"""Open the pool of PostgreSQL connections and turn its failures into the gateway's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from gateway.database.connecting import DatabaseAddress, diagnose
from gateway.database.notify import NOTIFY_CHANNEL, Announcements
from gateway.domain.errors import DatabaseUnavailable

CLOSE_SECONDS = 0.5
"""Longest wait for the pool's own tasks: an attempt to connect to a host that is away would hold up the end."""

_AWAY = (psycopg.OperationalError, psycopg.InterfaceError)
"""PoolTimeout and TooManyRequests are OperationalErrors, and so are a statement timeout and a shutdown."""

_STALE = (
    psycopg.errors.ReadOnlySqlTransaction,
    # A standby raises it for unlogged tables, and any server for a plan that is older than a migration.
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
)
"""What passes with a new connection. DB-API files it under internal and other errors, not under operational ones."""

Connection: TypeAlias = psycopg.AsyncConnection[DictRow]
"""A connection in autocommit mode: one statement is one transaction, unless `Database.transaction` opened one."""


async def _use_utc(connection: Connection) -> None:
    # PgBouncer keeps the time zone of a client across its server connections; a startup option it refuses.
    await connection.execute("SET TIME ZONE 'UTC'")


@asynccontextmanager
async def _bounded(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        raise DatabaseUnavailable from exc


class Database:
    """Lend connections of one bounded pool.

    DatabaseUnavailable is raised for a query without a connection, with a lost connection, on a read-only server (a
    failover), and after the statement timeout. The statement may have been committed or not, so callers must be able
    to repeat it.
    """

    def __init__(self, address: DatabaseAddress | str, *, pool_size: int, timeout_seconds: float) -> None:
        self._address = DatabaseAddress(address) if isinstance(address, str) else address
        self._timeout = timeout_seconds
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            self._address.url,
            min_size=2,
            max_size=pool_size,
            timeout=timeout_seconds,
            max_lifetime=1800,
            max_waiting=pool_size * 100,
            reconnect_timeout=timeout_seconds,
            open=False,
            connection_class=psycopg.AsyncConnection[DictRow],
            configure=_use_utc if self._address.through_pooler else None,
            kwargs={"row_factory": dict_row, **self._address.connect_options(timeout_seconds)},
        )

        self.announcements = Announcements(self._notify)

    async def open(self, *, wait_seconds: float | None = 30.0) -> None:
        """Open the pool and wait until it holds connections; raise DatabaseUnavailable when it gets none in time.

        With *wait_seconds* None it returns at once: the pool connects in the background, and again after a failure.
        """
        if wait_seconds is None:
            await self._pool.open(wait=False)
            return
        try:
            await self._pool.open(wait=True, timeout=wait_seconds)
        except PoolTimeout as exc:
            await self.close()
            raise DatabaseUnavailable from exc

    async def close(self) -> None:
        """Close every connection of the pool; an attempt to connect that is under way is not waited for."""
        await self.announcements.close()
        await self._pool.close(timeout=CLOSE_SECONDS)

    async def _notify(self, payloads: Sequence[str]) -> None:
        await self.execute(
            "SELECT pg_notify(%(channel)s, payload) FROM unnest(%(payloads)s::text[]) AS payload",
            {"channel": NOTIFY_CHANNEL, "payloads": list(payloads)},
        )

    async def diagnose(self) -> str:
        """Return `ok`, or in one sentence why there is no usable connection; it names no host and no user."""
        return await diagnose(self._address, self._timeout)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection in autocommit mode."""
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        try:
            async with self._pool.connection() as connection:
                if task and task.cancelling() > cancelled:
                    # The pool waits with asyncio.wait_for, which on Python 3.11 swallows a cancellation that arrives as
                    # the wait ends. The cancelled task would continue, and its canceller would wait for ever.
                    raise asyncio.CancelledError
                try:
                    async with self._statement_timeout():
                        yield connection
                except _STALE:
                    # A primary that became a standby keeps its connections; a new one finds the new primary.
                    await connection.close()
                    raise
        except (*_AWAY, *_STALE) as exc:
            raise DatabaseUnavailable from exc

    def _statement_timeout(self) -> AbstractAsyncContextManager[object]:
        """Bound the use of a pooler's connection, where no statement timeout of the session is possible."""
        return _bounded(self._timeout) if self._address.through_pooler else nullcontext()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction that commits at the end of the block; keep network calls out of it."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch_one(self, query: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
        """Run one statement and return its first row."""
        async with self.connection() as connection:
            cursor = await connection.execute(query.encode(), parameters)
            return await cursor.fetchone()

    async def fetch_all(self, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """Run one statement and return all its rows; bound them by LIMIT."""
        async with self.connection() as connection:
            cursor = await connection.execute(query.encode(), parameters)
            return await cursor.fetchall()

    async def execute(self, query: str, parameters: dict[str, Any]) -> int:
        """Run one statement and return the number of rows it touched."""
        async with self.connection() as connection:
            cursor = await connection.execute(query.encode(), parameters)
            return cursor.rowcount
