"""Let the sweep find, by index, what nobody needs any more."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Not CONCURRENTLY: a replica that waits for the migrations' lock holds a snapshot, which that would wait for in turn.
UPLOADS = """
ALTER TABLE uploads
    -- True while part checksums and progress may be there, which only an open upload needs.
    ADD COLUMN has_working_rows boolean NOT NULL DEFAULT true;
CREATE INDEX uploads_with_working_rows ON uploads (updated_at)
    WHERE has_working_rows AND NOT cleanup_pending AND state IN ('ready', 'rejected', 'aborted', 'expired');
CREATE INDEX uploads_to_forget ON uploads (updated_at)
    WHERE NOT has_working_rows AND NOT cleanup_pending AND form_key IS NULL
        AND state IN ('rejected', 'aborted', 'expired');
"""

TOKENS = """
ALTER TABLE upload_tokens
    -- When the sweep last saw that uploads name this token; it looks again later, and at the others meanwhile.
    ADD COLUMN seen_used_at timestamptz NOT NULL DEFAULT '-infinity';
CREATE INDEX upload_tokens_to_forget ON upload_tokens (greatest(expires_at, seen_used_at));
"""


def upgrade() -> None:
    """Add the columns and the indexes."""
    for statements in (UPLOADS, TOKENS):
        op.execute(statements)


def downgrade() -> None:
    """Drop the columns, and the indexes with them."""
    op.execute("ALTER TABLE uploads DROP COLUMN has_working_rows")
    op.execute("ALTER TABLE upload_tokens DROP COLUMN seen_used_at")
