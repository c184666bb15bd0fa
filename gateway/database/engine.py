"""Open the pool of PostgreSQL connections and turn its failures into the gateway's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from gateway.domain.errors import DatabaseUnavailable

_AWAY = (psycopg.OperationalError, psycopg.InterfaceError)
"""PoolTimeout and TooManyRequests are OperationalErrors, and so are a statement timeout and a shutdown."""

_STALE = (
    psycopg.errors.ReadOnlySqlTransaction,
    # A standby says so of unlogged tables, and any server of a plan that was made before a migration.
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
)
"""What passes with a new connection. DB-API files it under internal and other errors, not under operational ones."""

Connection: TypeAlias = psycopg.AsyncConnection[DictRow]
"""A connection in autocommit mode: one statement is one transaction, unless `Database.transaction` opened one."""


class Database:
    """Lend connections of one bounded pool.

    Every query that is lost with its connection, refused for want of one, refused by a server that only reads (a
    failover) or stopped by the statement timeout raises DatabaseUnavailable; what was asked may or may not have been
    committed, so callers must be able to ask again.
    """

    def __init__(self, url: str, *, pool_size: int, timeout_seconds: float) -> None:
        options = f"-c statement_timeout={int(timeout_seconds * 1000)} -c timezone=UTC"
        self._timeout = timeout_seconds
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            min_size=2,
            max_size=pool_size,
            timeout=timeout_seconds,
            max_lifetime=1800,
            max_waiting=pool_size * 100,
            reconnect_timeout=timeout_seconds,
            open=False,
            connection_class=psycopg.AsyncConnection[DictRow],
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "options": options,
                "connect_timeout": max(2, int(timeout_seconds)),
            },
        )

    async def open(self, *, wait_seconds: float = 30.0) -> None:
        """Open the pool and wait until it holds connections; raise DatabaseUnavailable when it gets none in time."""
        try:
            await self._pool.open(wait=True, timeout=wait_seconds)
        except PoolTimeout as exc:
            await self._pool.close()
            raise DatabaseUnavailable from exc

    async def close(self) -> None:
        """Close every connection of the pool."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection in autocommit mode."""
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        try:
            async with self._pool.connection() as connection:
                if task and task.cancelling() > cancelled:
                    # The pool waits with asyncio.wait_for, which on Python 3.11 swallows what comes as its wait ends:
                    # a loop that was told to end would go on for good, and whoever waits for that end with it.
                    raise asyncio.CancelledError
                try:
                    yield connection
                except _STALE:
                    # A primary that became a standby keeps its connections; a new one finds the new primary.
                    await connection.close()
                    raise
        except (*_AWAY, *_STALE) as exc:
            raise DatabaseUnavailable from exc

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
