"""Bring a database to the schema of this release: our tables by Alembic, the job queue's by its own scripts."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from procrastinate.schema import SchemaManager
from sqlalchemy import create_engine, exc, make_url, text
from sqlalchemy.pool import NullPool

from gateway.domain.errors import DatabaseUnavailable

_LOCK_ID = 0x75706C6F6164
"""Advisory lock held while migrating, so that replicas that start together do it once."""


_LOCK_WAIT = "3s"
"""Longest wait for a table lock. It is below the statement timeout, because other statements wait as long."""

_ATTEMPTS = 5

_PAUSE_SECONDS = 2.0
"""Time for those who queued behind a migration that did not get its table."""


class TableInUse(DatabaseUnavailable):
    """A table is in use by something that does not end, a backup maybe; nothing was changed, so try again."""


def upgrade(url: str) -> str:
    """Apply every pending migration and return the schema's version; run it often and from many places at once.

    The database of a newer release is not changed. Blocking: meant for the command line and for start-up in a thread.
    Raises DatabaseUnavailable, and TableInUse after five tries.
    """
    for _ in range(_ATTEMPTS - 1):
        with suppress(TableInUse):
            return _try_upgrade(url)
        time.sleep(_PAUSE_SECONDS)
    return _try_upgrade(url)


def pending(version: str | None) -> bool:
    """Say whether a database at *version* lacks a migration of this release."""
    return version is None or version < head()


def head() -> str:
    """Return the newest schema version that this release knows."""
    current = ScriptDirectory.from_config(_config()).get_current_head()
    assert current is not None, "the package holds no migrations"
    return current


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _try_upgrade(url: str) -> str:
    try:
        return _upgrade(url)
    except (psycopg.OperationalError, exc.OperationalError) as error:
        cause = error.orig if isinstance(error, exc.OperationalError) else error
        if isinstance(cause, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected):
            raise TableInUse from cause
        raise DatabaseUnavailable from cause


def _upgrade(url: str) -> str:
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK_ID,))
        if pending(_version(connection)):
            _upgrade_ours(url)
        connection.execute(f"SET lock_timeout = '{_LOCK_WAIT}'".encode())
        _upgrade_queue(connection)
        return _version(connection) or ""


def _version(connection: psycopg.Connection[tuple[object, ...]]) -> str | None:
    there = connection.execute("SELECT to_regclass('gateway_schema_version') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return None
    row = connection.execute("SELECT version_num FROM gateway_schema_version").fetchone()
    return None if row is None else str(row[0])


def _upgrade_ours(url: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    config = _config()
    with engine.connect() as connection:
        connection.execute(text(f"SET lock_timeout = '{_LOCK_WAIT}'"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    engine.dispose()


def _upgrade_queue(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Apply the queue's whole schema to a new database, and only its newer scripts to an old one."""
    scripts = sorted(path for path in Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    with connection.transaction():
        connection.execute("CREATE TABLE IF NOT EXISTS gateway_queue_scripts (name text PRIMARY KEY)")
        done = {row[0] for row in connection.execute("SELECT name FROM gateway_queue_scripts")}
        if not done:
            connection.execute(SchemaManager.get_schema())
        for script in scripts:
            if script.name in done:
                continue
            if done:
                connection.execute(script.read_bytes())
            connection.execute("INSERT INTO gateway_queue_scripts VALUES (%s)", (script.name,))
