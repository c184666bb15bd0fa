"""Create upload tokens, and let an upload come by one of them or as a form."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TOKENS = """
CREATE TABLE upload_tokens (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    -- The key that made it: revoking that key ends its tokens too.
    key_id text NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    policy text NOT NULL,
    max_files integer CHECK (max_files > 0),
    max_size_bytes bigint CHECK (max_size_bytes > 0),
    metadata jsonb NOT NULL DEFAULT '{}',
    allowed_origins text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX upload_tokens_by_tenant ON upload_tokens (tenant_id, id DESC);
-- A preflight carries no token, only the origin it asks for.
CREATE INDEX upload_tokens_by_origin ON upload_tokens USING gin (allowed_origins);
"""

UPLOADS = """
ALTER TABLE uploads
    ADD COLUMN token_id uuid REFERENCES upload_tokens (id),
    -- The limit its token set, kept here for work that nobody's token stands behind.
    ADD COLUMN max_size_bytes bigint CHECK (max_size_bytes > 0),
    -- Key a browser form may write to, for as long as the store may hold something there; never the key of the upload.
    ADD COLUMN form_key text UNIQUE,
    ADD CHECK (form_key <> object_key);
CREATE INDEX uploads_by_token ON uploads (token_id, id DESC) WHERE token_id IS NOT NULL;
CREATE INDEX uploads_forms_to_look_at ON uploads (updated_at) WHERE form_key IS NOT NULL AND state = 'uploading';
CREATE INDEX uploads_forms_to_remove ON uploads (expires_at) WHERE form_key IS NOT NULL AND state <> 'uploading';
"""


def upgrade() -> None:
    """Create the table and the columns."""
    for statements in (TOKENS, UPLOADS):
        op.execute(statements)


def downgrade() -> None:
    """Drop the columns and the table."""
    op.execute("ALTER TABLE uploads DROP COLUMN token_id, DROP COLUMN max_size_bytes, DROP COLUMN form_key")
    op.execute("DROP TABLE upload_tokens")
