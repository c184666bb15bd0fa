"""Bring a database to the schema of this release: our tables by Alembic, the job queue's by its own scripts."""

from __future__ import annotations

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from procrastinate.schema import SchemaManager
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from gateway.domain.errors import DatabaseUnavailable

_LOCK_ID = 0x75706C6F6164
"""Advisory lock held while migrating, so that replicas that start together do it once."""


def upgrade(url: str) -> None:
    """Apply every pending migration; run it as often as you like, from as many processes as you like.

    Blocking: meant for the command line and for start-up in a thread. Raises DatabaseUnavailable.
    """
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK_ID,))
            _upgrade_ours(url)
            _upgrade_queue(connection)
    except psycopg.OperationalError as exc:
        raise DatabaseUnavailable from exc


def pending(connection_version: str | None) -> bool:
    """Say whether a database at *connection_version* lacks a migration of this release."""
    return connection_version != head()


def head() -> str:
    """Return the newest schema version that this release knows."""
    current = ScriptDirectory.from_config(_config()).get_current_head()
    assert current is not None, "the package holds no migrations"
    return current


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _upgrade_ours(url: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    config = _config()
    with engine.connect() as connection:
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
