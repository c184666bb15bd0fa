"""Remember which version of an object was checked, in a bucket that keeps versions."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE uploads ADD COLUMN observed_version_id text")


def downgrade() -> None:
    """Drop the column."""
    op.execute("ALTER TABLE uploads DROP COLUMN observed_version_id")
