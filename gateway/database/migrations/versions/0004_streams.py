"""Let the gateway itself receive a file: into the store or onto its own disk."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UPLOADS = """
ALTER TABLE uploads
    -- Where the file is kept when it is on the gateway's own disk; NULL: in the store.
    ADD COLUMN path text,
    -- While the gateway receives the file: who does, and until when without a sign of life.
    ADD COLUMN stream_token uuid,
    ADD COLUMN stream_until timestamptz,
    ADD COLUMN streamed_bytes bigint CHECK (streamed_bytes >= 0),
    ADD CHECK (path IS NULL OR multipart_upload_id IS NULL);
CREATE INDEX uploads_on_disk ON uploads (id) WHERE path IS NOT NULL;
"""


def upgrade() -> None:
    """Add the columns."""
    op.execute(UPLOADS)


def downgrade() -> None:
    """Drop the columns."""
    op.execute(
        "ALTER TABLE uploads DROP COLUMN path, DROP COLUMN stream_token, DROP COLUMN stream_until, "
        "DROP COLUMN streamed_bytes"
    )
