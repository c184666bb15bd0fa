"""Run the migrations on the connection that `gateway.database.migrate` hands over."""

from __future__ import annotations

from alembic import context


def run() -> None:
    """Run every pending migration in one transaction."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, version_table="gateway_schema_version")
    with context.begin_transaction():
        context.run_migrations()


run()
