"""Tell whether the database is at the schema this release needs."""

from __future__ import annotations

from gateway.database.engine import Database
from gateway.domain.errors import Unavailable

SCHEMA_VERSION = "0009"
"""The newest migration; a test holds it equal to the last script's, so that serving needs no Alembic."""


async def require_current(database: Database) -> None:
    """Raise Unavailable unless every migration of this release is applied; a newer database is fine."""
    row = await database.fetch_one("SELECT to_regclass('gateway_schema_version') IS NOT NULL AS there", {})
    if row is not None and row["there"]:
        row = await database.fetch_one("SELECT version_num FROM gateway_schema_version", {})
        if row is not None and row["version_num"] >= SCHEMA_VERSION:
            return
    raise Unavailable("migrations are pending: run `gateway db migrate`")
