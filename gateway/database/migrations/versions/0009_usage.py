"""Count what each upload token, API key and tenant uses, without walking rows, and watch what open uploads hold."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

UPLOADS = """
ALTER TABLE uploads
    -- The API key that created the upload, or that made its token. NULL: created by an earlier release.
    ADD COLUMN key_id text,
    -- Bytes that the upload counts for while it is open: the declared size, or the largest that is accepted.
    ADD COLUMN counted_bytes bigint,
    -- True while the store may hold a second multipart upload, of a CreateMultipartUpload whose answer was lost.
    ADD COLUMN orphans_possible boolean NOT NULL DEFAULT false,
    -- When to ask the store next how much the upload holds; NULL: never.
    ADD COLUMN measure_at timestamptz,
    -- Part URLs without a signed length that were given out.
    ADD COLUMN unsized_urls integer NOT NULL DEFAULT 0;
CREATE INDEX uploads_with_orphans ON uploads (created_at) WHERE orphans_possible;
CREATE INDEX uploads_to_measure ON uploads (measure_at) WHERE state = 'uploading' AND measure_at IS NOT NULL;
CREATE INDEX uploads_open_by_token ON uploads (token_id) WHERE state = 'uploading' AND token_id IS NOT NULL;
-- The sweep takes from every tenant in turn.
CREATE INDEX uploads_to_expire_by_tenant ON uploads (tenant_id, expires_at) WHERE state = 'uploading';
CREATE INDEX uploads_to_clean_by_tenant ON uploads (tenant_id, updated_at) WHERE cleanup_pending;
"""

USAGE = """
CREATE TABLE usage_counters (
    scope text NOT NULL CHECK (scope IN ('key', 'tenant', 'token')),
    id text NOT NULL,
    open_uploads bigint NOT NULL DEFAULT 0,
    open_bytes bigint NOT NULL DEFAULT 0,
    creates bigint NOT NULL DEFAULT 0,
    -- Creates without those that were aborted or have expired.
    files bigint NOT NULL DEFAULT 0,
    creates_day date NOT NULL DEFAULT current_date,
    creates_that_day bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, id)
) WITH (fillfactor = 50);
"""

# A trigger, so that releases without it, which serve during an upgrade, are counted as well.
TRIGGER = """
CREATE FUNCTION count_upload() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ended CONSTANT text[] := ARRAY['ready', 'rejected', 'aborted', 'expired'];
    given_up CONSTANT text[] := ARRAY['aborted', 'expired'];
    today CONSTANT date := (now() AT TIME ZONE 'UTC')::date;
    counted uploads%ROWTYPE;
    opened integer := 0;
    created integer := 0;
    kept integer := 0;
BEGIN
    IF TG_OP = 'INSERT' THEN
        counted := NEW;
        created := 1;
        opened := (NEW.state <> ALL (ended))::integer;
        kept := (NEW.state <> ALL (given_up))::integer;
    ELSIF TG_OP = 'UPDATE' THEN
        counted := NEW;
        opened := (NEW.state <> ALL (ended))::integer - (OLD.state <> ALL (ended))::integer;
        kept := (NEW.state <> ALL (given_up))::integer - (OLD.state <> ALL (given_up))::integer;
    ELSE
        -- An intent that is taken back; ended uploads stay counted as files of their token.
        counted := OLD;
        IF OLD.state = ANY (ended) THEN RETURN NULL; END IF;
        created := -1;
        opened := -1;
        kept := -1;
    END IF;
    IF created = 0 AND opened = 0 AND kept = 0 THEN RETURN NULL; END IF;
    -- Always in the same order of scopes: two transactions then never wait for each other.
    INSERT INTO usage_counters AS known
        (scope, id, open_uploads, open_bytes, creates, files, creates_day, creates_that_day)
    SELECT scope, counter_id, opened, opened * coalesce(counted.counted_bytes, 0), created, kept, today, created
    FROM (VALUES ('key', counted.key_id), ('tenant', counted.tenant_id), ('token', counted.token_id::text))
        AS counters (scope, counter_id)
    WHERE counter_id IS NOT NULL ORDER BY scope
    ON CONFLICT (scope, id) DO UPDATE SET
        open_uploads = greatest(0, known.open_uploads + excluded.open_uploads),
        open_bytes = greatest(0, known.open_bytes + excluded.open_bytes),
        creates = greatest(0, known.creates + excluded.creates),
        files = greatest(0, known.files + excluded.files),
        creates_that_day = greatest(0, excluded.creates_that_day
            + CASE WHEN known.creates_day = today THEN known.creates_that_day ELSE 0 END),
        creates_day = today;
    RETURN NULL;
END $$;
CREATE TRIGGER count_upload AFTER INSERT OR UPDATE OF state OR DELETE ON uploads
    FOR EACH ROW EXECUTE FUNCTION count_upload();
"""

# After the trigger, whose lock keeps every writer out until this transaction ends.
EXISTING = """
INSERT INTO usage_counters (scope, id, open_uploads, open_bytes, creates, files)
SELECT 'tenant', tenant_id, count(*), coalesce(sum(declared_size_bytes), 0), 0, 0
FROM uploads WHERE state IN ('uploading', 'completing', 'validating') GROUP BY tenant_id;
UPDATE uploads SET counted_bytes = declared_size_bytes WHERE state IN ('uploading', 'completing', 'validating');
INSERT INTO usage_counters (scope, id, open_uploads, open_bytes, creates, files)
SELECT 'token', token_id::text, count(*) FILTER (WHERE state IN ('uploading', 'completing', 'validating')),
    coalesce(sum(declared_size_bytes) FILTER (WHERE state IN ('uploading', 'completing', 'validating')), 0), count(*),
    count(*) FILTER (WHERE state NOT IN ('aborted', 'expired'))
FROM uploads WHERE token_id IS NOT NULL GROUP BY token_id;
"""


def upgrade() -> None:
    """Add the columns, the counters and the trigger."""
    for statements in (UPLOADS, USAGE, TRIGGER, EXISTING):
        op.execute(statements)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TRIGGER count_upload ON uploads")
    op.execute("DROP FUNCTION count_upload")
    op.execute("DROP TABLE usage_counters")
    op.execute(
        "ALTER TABLE uploads DROP COLUMN key_id, DROP COLUMN counted_bytes, DROP COLUMN orphans_possible, "
        "DROP COLUMN measure_at, DROP COLUMN unsized_urls"
    )
    op.execute("DROP INDEX uploads_open_by_token, uploads_to_expire_by_tenant, uploads_to_clean_by_tenant")
