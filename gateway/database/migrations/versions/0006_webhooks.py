"""Tell tenants' servers of their uploads: where to, and what is still to be sent."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

WEBHOOKS = """
CREATE TABLE webhooks (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    url text NOT NULL,
    description text NOT NULL,
    event_types text[] NOT NULL,
    -- Signing secrets are made from the gateway's own secret, the id and this number: none is kept here.
    secret_number integer NOT NULL DEFAULT 1,
    -- Until then the secret before it signs as well.
    previous_secret_until timestamptz,
    -- Failures since the last answer that was good; NULL and 0 when the last one was.
    failing_since timestamptz,
    failures integer NOT NULL DEFAULT 0,
    disabled_at timestamptz,
    disabled_reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
);
CREATE INDEX webhooks_by_tenant ON webhooks (tenant_id, id DESC);
"""

DELIVERIES = """
CREATE TABLE webhook_deliveries (
    -- Receivers know the message by it: the same in every attempt.
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    webhook_id uuid NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id bigint NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    -- Whoever sends it holds it until then; a process that died lets go by that.
    claim uuid,
    claimed_until timestamptz,
    last_attempt_at timestamptz,
    last_status integer,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    UNIQUE (webhook_id, event_id),
    CHECK ((state = 'pending') = (ended_at IS NULL))
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_claimed ON webhook_deliveries (webhook_id) WHERE claimed_until IS NOT NULL;
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;
-- A forgotten event takes its deliveries with it.
CREATE INDEX webhook_deliveries_by_event ON webhook_deliveries (event_id);
"""


def upgrade() -> None:
    """Create the tables."""
    for statements in (WEBHOOKS, DELIVERIES):
        op.execute(statements)


def downgrade() -> None:
    """Drop the tables."""
    op.execute("DROP TABLE webhook_deliveries, webhooks")
