"""Let an upload token require part checksums."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE upload_tokens ADD COLUMN part_checksums text")


def downgrade() -> None:
    """Drop the column."""
    op.execute("ALTER TABLE upload_tokens DROP COLUMN part_checksums")
