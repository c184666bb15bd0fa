"""Create uploads, the event log, idempotency keys and API keys."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UPLOADS = """
CREATE TABLE uploads (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    state text NOT NULL CHECK (state IN
        ('uploading', 'completing', 'validating', 'ready', 'rejected', 'aborted', 'expired')),
    filename text NOT NULL,
    extension text NOT NULL,
    declared_size_bytes bigint CHECK (declared_size_bytes > 0),
    declared_content_type text,
    part_size_bytes bigint,
    part_checksums text CHECK (part_checksums = 'sha256'),
    checksums text[],
    metadata jsonb NOT NULL DEFAULT '{}',
    bucket text NOT NULL,
    object_key text NOT NULL UNIQUE,
    content_type text NOT NULL,
    -- NULL while the store has not answered CreateMultipartUpload: the row is the intent to call it.
    multipart_upload_id text,
    -- [[part_number, size_bytes, etag, checksum_sha256], ...] as compared with the plan: this alone is assembled.
    assembly jsonb,
    observed_size_bytes bigint,
    observed_etag text,
    detection jsonb,
    rejection_code text,
    rejection_detail text,
    lease_token uuid,
    lease_until timestamptz,
    -- True while the store may hold parts or an object that nobody will ask for again.
    cleanup_pending boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    -- 'ready' names an exact content.
    CHECK (state <> 'ready' OR (observed_etag IS NOT NULL AND observed_size_bytes > 0)),
    CHECK ((state = 'rejected') = (rejection_code IS NOT NULL))
);
CREATE INDEX uploads_by_tenant ON uploads (tenant_id, id DESC);
CREATE INDEX uploads_by_tenant_and_state ON uploads (tenant_id, state, id DESC);
CREATE INDEX uploads_to_expire ON uploads (expires_at) WHERE state = 'uploading';
CREATE INDEX uploads_leased ON uploads (lease_until) WHERE state IN ('completing', 'validating');
CREATE INDEX uploads_to_clean ON uploads (updated_at) WHERE cleanup_pending;
"""

PART_CHECKSUMS = """
CREATE TABLE part_checksums (
    upload_id uuid NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    part_number int NOT NULL,
    checksum_sha256 text NOT NULL,
    PRIMARY KEY (upload_id, part_number)
);
"""

EVENTS = """
CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Ids are drawn before commit, so a later id may be seen earlier. A reader of many uploads orders by
    -- (transaction_id, id) and stops at the oldest transaction still running.
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    tenant_id text NOT NULL,
    upload_id uuid NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    type text NOT NULL,
    data jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX events_by_upload ON events (upload_id, id);
CREATE INDEX events_by_tenant ON events (tenant_id, transaction_id, id);
"""

KEYS = """
CREATE TABLE idempotency_keys (
    tenant_id text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    upload_id uuid NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_by_upload ON idempotency_keys (upload_id);

CREATE TABLE api_keys (
    id text PRIMARY KEY,
    tenant_id text NOT NULL,
    name text NOT NULL,
    -- SHA-256 of the key. It holds 256 random bits: nothing to guess, so no slow hash is needed.
    secret_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
"""


def upgrade() -> None:
    """Create the tables."""
    for statements in (UPLOADS, PART_CHECKSUMS, EVENTS, KEYS):
        op.execute(statements)


def downgrade() -> None:
    """Drop the tables."""
    op.execute("DROP TABLE api_keys, idempotency_keys, events, part_checksums, uploads")
