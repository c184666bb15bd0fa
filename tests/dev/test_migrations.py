"""B11: each migration leaves the release before it everything that it uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from procrastinate.schema import SchemaManager
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from gateway.database import migrate, schema
from gateway.domain.errors import DatabaseUnavailable
from tests import schema as tables
from tests.processes import Process

SCRIPTS = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
REVISIONS = [script.revision for script in SCRIPTS.walk_revisions()][::-1]

# What a step does to a table that an older release uses, and why that release never notices.
HARMLESS = {
    "uploads: CHECK ((form_key <> object_key)) is new": "form_key is NULL in what an older release writes",
    "uploads: CHECK (((path IS NULL) OR (multipart_upload_id IS NULL))) is new": "path is NULL there too",
    "uploads: CREATE TRIGGER count_upload AFTER INSERT OR DELETE OR UPDATE OF state ON public.uploads FOR EACH ROW "
    "EXECUTE FUNCTION count_upload() is new": "it counts what an older release writes, and changes nothing of it",
}

FUNCTION = "suppress_redundant_updates_trigger()"

NEWEST_QUEUE_SCRIPT = "03.04.00_50_post_add_retry_failed_job_procedure.sql"


@contextmanager
def _migrating(url: str) -> Iterator[Any]:
    """Lend a function that brings the database to a revision, as `gateway db migrate` of that release did."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    config = migrate._config()

    def bring(revision: str, how: Any = command.upgrade) -> None:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            how(config, revision)
            connection.commit()

    yield bring
    engine.dispose()


def _breaks(url: str, older: str, newer: str) -> set[str]:
    with _migrating(url) as bring, psycopg.connect(url, autocommit=True) as connection:
        bring(older)
        before = tables.read(connection)
        bring(newer)
        return tables.breaks(connection, before, tables.read(connection))


@pytest.mark.parametrize(("older", "newer"), [*pairwise(REVISIONS)])
def test_b11_a_step_takes_nothing_from_the_release_before(empty_database_url: str, older: str, newer: str) -> None:
    """Each migration only adds, and what it adds cannot refuse what code writes that does not know of it."""
    found = _breaks(empty_database_url, older, newer)
    assert found <= set(HARMLESS), "change it in two releases (docs/operations.md), or say in HARMLESS why it may"


def test_b11_every_exception_is_still_needed(empty_database_url: str) -> None:
    """What HARMLESS excuses happens somewhere on the way to the newest schema."""
    assert set(HARMLESS) <= _breaks(empty_database_url, REVISIONS[0], REVISIONS[-1])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("DROP TABLE tickets", "tickets.principal is gone"),
        ("ALTER TABLE uploads RENAME COLUMN detection TO found", "uploads.detection is gone"),
        ("ALTER TABLE uploads RENAME TO files", "uploads.id is gone"),
        ("ALTER TABLE events ALTER id TYPE int", "events.id was biginta and is integera"),
        ("ALTER TABLE uploads ALTER detection SET NOT NULL", "uploads.detection takes no NULL any more"),
        (
            "ALTER TABLE uploads ALTER metadata DROP DEFAULT",
            "had the default '{}'::jsonb and has None",
        ),
        ("ALTER TABLE uploads ADD later text NOT NULL", "uploads.later is new and has no default"),
        ("ALTER TABLE uploads ADD later int DEFAULT 0 CHECK (later > 0)", "uploads: CHECK ((later > 0)) is new"),
        ("ALTER TABLE uploads ADD CHECK (filename <> '')", "uploads: CHECK ((filename <> ''::text)) is new"),
        ("ALTER TABLE uploads ADD UNIQUE (bucket)", "uploads: UNIQUE (bucket) is new"),
        ("CREATE UNIQUE INDEX ON uploads (lower(bucket))", "uploads: UNIQUE (lower(bucket)) is new"),
        ("ALTER TABLE uploads ADD later int DEFAULT 0 UNIQUE", "uploads: UNIQUE (later) is new"),
        ("ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey", "UNIQUE (tenant_id, key) is gone"),
        (
            "ALTER TABLE events DROP CONSTRAINT events_upload_id_fkey",
            "uploads(id) ON DELETE CASCADE is gone",
        ),
        ("CREATE TABLE later (id uuid REFERENCES uploads)", "keeps rows of uploads from being deleted"),
        (
            f"CREATE TRIGGER later BEFORE UPDATE ON uploads FOR EACH ROW EXECUTE FUNCTION {FUNCTION}",
            f"{FUNCTION} is new",
        ),
    ],
)
def test_b11_what_would_break_is_found(database_url: str, change: str, found: str) -> None:
    """The comparison knows every way to take something from an older release."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        before = tables.read(connection)
        connection.execute(change.encode())
        broken = tables.breaks(connection, before, tables.read(connection))
    assert any(text.endswith(found) for text in broken), broken


def test_b11_what_only_adds_is_let_through(database_url: str) -> None:
    """Tables, columns, indexes and rules that code need not know of break nothing."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        before = tables.read(connection)
        for change in tables.AHEAD:
            connection.execute(change.encode())
        assert tables.breaks(connection, before, tables.read(connection)) == set()


def test_b11_versions_grow_in_one_line() -> None:
    """A process knows by its number whether a database is ahead of it."""
    assert [f"{number:04}" for number in range(1, len(REVISIONS) + 1)] == REVISIONS
    assert SCRIPTS.get_heads() == [schema.SCHEMA_VERSION]


def test_b11_the_queue_brings_no_step_that_nobody_looked_at() -> None:
    """Post scripts of a newer procrastinate may break workers of the one before: decide when they run."""
    assert max(path.name for path in Path(SchemaManager.get_migrations_path()).glob("*.sql")) == NEWEST_QUEUE_SCRIPT


def test_b11_the_database_of_a_newer_release_is_left_alone(empty_database_url: str, tmp_path: Path) -> None:
    """A replica of the older release that starts again, migrations first, says so and changes nothing."""
    migrate.upgrade(empty_database_url)
    newer = f"{len(REVISIONS) + 1:04}"
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("UPDATE gateway_schema_version SET version_num = %s", (newer,))
        before = tables.read(connection)
        environment = {"GATEWAY_DATABASE_URL": empty_database_url}
        with Process("db", "migrate", cwd=tmp_path, environment=environment) as process:
            assert process.ended() == 0, process.output
        assert process.output == [
            f"The database is at schema {newer}. This release needs {REVISIONS[-1]}: nothing to do."
        ]
        assert tables.read(connection) == before


def test_b11_a_migration_does_not_queue_behind_a_backup(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a table is in use, a migration gives up its place: who comes later is not kept waiting; then it runs."""
    monkeypatch.setattr(migrate, "_LOCK_WAIT", "50ms")
    monkeypatch.setattr(migrate, "_PAUSE_SECONDS", 0.01)
    before_one_that_alters_uploads = "0004"
    with _migrating(empty_database_url) as bring:
        bring(before_one_that_alters_uploads)
    with psycopg.connect(empty_database_url) as backup, psycopg.connect(empty_database_url) as later:
        backup.execute("SELECT FROM uploads")
        with pytest.raises(migrate.TableInUse):
            migrate.upgrade(empty_database_url)
        later.execute("SELECT FROM uploads")
        assert later.execute("SELECT version_num FROM gateway_schema_version").fetchone() == (
            before_one_that_alters_uploads,
        )
    assert migrate.upgrade(empty_database_url) == REVISIONS[-1]


def test_b11_without_a_database_migrating_says_so() -> None:
    """What SQLAlchemy calls an error of the database is the gateway's own."""
    with pytest.raises(DatabaseUnavailable):
        migrate.upgrade("postgresql://nobody@127.0.0.1:9/none")
