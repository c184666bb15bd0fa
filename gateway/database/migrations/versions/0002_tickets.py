"""Create one-use tickets for watching, and the latest progress of watched uploads."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TICKETS = """
CREATE TABLE tickets (
    -- SHA-256 of the ticket. It holds 256 random bits: nothing to guess, so no slow hash is needed.
    ticket_hash bytea PRIMARY KEY,
    tenant_id text NOT NULL,
    -- Whom the ticket stands for, as the one who asked for it was recognised.
    principal jsonb NOT NULL,
    -- NULL: every upload of the tenant.
    upload_id uuid REFERENCES uploads (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX tickets_by_age ON tickets (expires_at);
CREATE INDEX tickets_by_upload ON tickets (upload_id);
"""

PROGRESS = """
-- Unlogged: a crash forgets it, and the next question to the store makes it again.
CREATE UNLOGGED TABLE upload_progress (
    upload_id uuid PRIMARY KEY REFERENCES uploads (id) ON DELETE CASCADE,
    -- Set before the store is asked: of all replicas, the one that moves it asks.
    polled_at timestamptz NOT NULL DEFAULT '-infinity',
    bytes_received bigint,
    parts integer,
    bytes_per_second double precision,
    observed_at timestamptz
) WITH (fillfactor = 50);
"""


def upgrade() -> None:
    """Create the tables."""
    for statements in (TICKETS, PROGRESS):
        op.execute(statements)


def downgrade() -> None:
    """Drop the tables."""
    op.execute("DROP TABLE upload_progress, tickets")
