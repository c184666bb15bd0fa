"""Compare two states of a database as the release before the migration sees them: what of it would break?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import class_row, dict_row

Connection = psycopg.Connection[Any]

OURS = """relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname NOT LIKE 'procrastinate_%'
    AND relname NOT IN ('gateway_schema_version', 'gateway_queue_scripts')"""


@dataclass(frozen=True)
class Column:
    """One column of one table."""

    table: str
    name: str
    type: str
    required: bool
    default: str | None
    made_by: str
    """How PostgreSQL itself fills it: identity or generated; empty where it does not."""


@dataclass(frozen=True)
class Rule:
    """One constraint, unique index or trigger."""

    table: str
    kind: str
    columns: tuple[str, ...]
    """Empty where it is about an expression, or about the row."""
    definition: str
    target: str | None
    on_delete: str | None

    def __str__(self) -> str:
        return f"{self.table}: {self.definition}"


@dataclass(frozen=True)
class Schema:
    """Tables with their columns and rules."""

    columns: dict[tuple[str, str], Column]
    rules: dict[str, Rule]

    @property
    def tables(self) -> set[str]:
        """Give the names of the tables."""
        return {table for table, _ in self.columns}


_COLUMNS = f"""
SELECT relname AS "table", attname AS name, format_type(atttypid, atttypmod) AS type, attnotnull AS required,
    pg_get_expr(adbin, adrelid) AS default, attidentity::text || attgenerated::text AS made_by
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE {OURS} AND attnum > 0 AND NOT attisdropped"""

_NAMES = """ARRAY(SELECT attname::text FROM unnest({}) WITH ORDINALITY AS part (number, place)
    JOIN pg_attribute ON attrelid = pg_class.oid AND attnum = number ORDER BY place)"""

_RULES = f"""
SELECT relname AS "table", contype::text AS kind, {_NAMES.format("conkey")} AS columns,
    pg_get_constraintdef(pg_constraint.oid) AS definition, confrelid::regclass::text AS target,
    confdeltype::text AS on_delete
FROM pg_class JOIN pg_constraint ON conrelid = pg_class.oid WHERE {OURS} AND contype IN ('c', 'f', 'x')
UNION ALL
SELECT relname, 'u', CASE WHEN 0 = ANY (indkey) OR indpred IS NOT NULL THEN '{{}}' ELSE {_NAMES.format("indkey")} END,
    regexp_replace(pg_get_indexdef(indexrelid), '^CREATE UNIQUE INDEX \\S+ ON \\S+ USING \\w+ ', 'UNIQUE '), NULL, NULL
FROM pg_class JOIN pg_index ON indrelid = pg_class.oid WHERE {OURS} AND indisunique
UNION ALL
SELECT relname, 't', '{{}}', pg_get_triggerdef(pg_trigger.oid), NULL, NULL
FROM pg_class JOIN pg_trigger ON tgrelid = pg_class.oid WHERE {OURS} AND NOT tgisinternal"""


def read(connection: Connection) -> Schema:
    """Read the gateway's own tables; the queue's are not ours to migrate."""
    with connection.cursor(row_factory=class_row(Column)) as cursor:
        columns = {(column.table, column.name): column for column in cursor.execute(_COLUMNS.encode())}
    with connection.cursor(row_factory=dict_row) as cursor:
        found = [Rule(**{**row, "columns": tuple(row["columns"])}) for row in cursor.execute(_RULES.encode())]
    return Schema(columns, {str(rule): rule for rule in found})


def breaks(connection: Connection, before: Schema, after: Schema) -> set[str]:
    """Name all in *after*, where the connection is, that a release which knows only *before* may stumble over."""
    return _columns(before, after) | _gone(before, after) | _new(connection, before, after)


def _columns(before: Schema, after: Schema) -> set[str]:
    found = set()
    for key, old in before.columns.items():
        name, new = ".".join(key), after.columns.get(key)
        if new is None:
            found.add(f"{name} is gone")
            continue
        if new.type != old.type or new.made_by != old.made_by:
            found.add(f"{name} was {old.type}{old.made_by} and is {new.type}{new.made_by}")
        if new.default != old.default:
            found.add(f"{name} had the default {old.default} and has {new.default}")
        if new.required and not old.required:
            found.add(f"{name} takes no NULL any more")
    for key, new in after.columns.items():
        known = key in before.columns or new.table not in before.tables
        if not known and new.required and new.default is None and not new.made_by:
            found.add(f"{'.'.join(key)} is new and has no default")
    return found


def _gone(before: Schema, after: Schema) -> set[str]:
    """Find what old code may lean on: ON CONFLICT on a key, DELETE on a cascade."""
    gone = [rule for text, rule in before.rules.items() if text not in after.rules and rule.table in after.tables]
    return {f"{rule} is gone" for rule in gone if rule.kind in "uf"}


def _new(connection: Connection, before: Schema, after: Schema) -> set[str]:
    found = set()
    for text, rule in after.rules.items():
        if text in before.rules:
            continue
        if rule.table in before.tables and not _spares_old_writes(connection, before, after, rule):
            found.add(f"{rule} is new")
        if rule.kind == "f" and rule.target in before.tables and rule.on_delete not in ("c", "n"):
            found.add(f"{rule} keeps rows of {rule.target} from being deleted")
    return found


def _spares_old_writes(connection: Connection, before: Schema, after: Schema, rule: Rule) -> bool:
    """Say whether rows by code that leaves the new columns at their defaults always pass. When in doubt: no."""
    if not rule.columns or any((rule.table, name) in before.columns for name in rule.columns):
        return False
    columns = [after.columns[rule.table, name] for name in rule.columns]
    if rule.kind in "uf":
        # Of NULL there may be any number, and it refers to nothing.
        return "NULLS NOT DISTINCT" not in rule.definition and any(column.default is None for column in columns)
    if rule.kind != "c":
        return False
    row = ", ".join(f'({column.default or "NULL"})::{column.type} AS "{column.name}"' for column in columns)
    check = rule.definition.removeprefix("CHECK ")
    held = connection.execute(f"SELECT {check} IS NOT FALSE FROM (SELECT {row}) AS written".encode()).fetchone()
    return held is not None and bool(held[0])


AHEAD = (
    "CREATE TABLE later (id uuid PRIMARY KEY REFERENCES uploads ON DELETE CASCADE, state text, filename text)",
    "ALTER TABLE uploads ADD later_id uuid UNIQUE REFERENCES later ON DELETE SET NULL",
    "ALTER TABLE uploads ADD later_bytes bigint CHECK (later_bytes > 0)",
    "CREATE INDEX ON uploads (created_at)",
    *(
        f"ALTER TABLE {table} ADD later text NOT NULL DEFAULT 'later', ADD at timestamptz NOT NULL DEFAULT now()"
        for table in ("uploads", "part_checksums", "events", "idempotency_keys", "api_keys", "tickets")
    ),
    *(f"ALTER TABLE {table} ADD later text DEFAULT 'later'" for table in ("upload_progress", "upload_tokens")),
)
"""What a later release may do to the tables. As columns of one name, they also find whoever reads a table by `*`."""


def same_names(url: str) -> list[str]:
    """Give every table the columns that only others have: no query may lean on a name being in one table alone."""
    with psycopg.connect(url) as connection:
        known = read(connection)
    kinds = {column.name: column.type for column in known.columns.values()}
    return [
        f'ALTER TABLE {table} ADD "{name}" {kind}'
        for table in sorted(known.tables)
        for name, kind in sorted(kinds.items())
        if (table, name) not in known.columns
    ]
