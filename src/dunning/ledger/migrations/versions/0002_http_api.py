"""The HTTP API: keys of merchant accounts, and first answers by `Idempotency-Key`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two tables, and the index for lists by customer."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        _machine_instant("created_at"),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("api_keys_by_account", "api_keys", ["account", "id"])
    op.create_table(
        "answers",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("body", postgresql.JSONB()),
        _machine_instant("recorded_at"),
        sa.PrimaryKeyConstraint("account", "key"),
    )
    op.create_index("subscriptions_by_customer", "subscriptions", ["account", "customer_id", "id"])


def downgrade() -> None:
    """Take them away again: keys and first answers are lost."""
    op.drop_index("subscriptions_by_customer", "subscriptions")
    op.drop_table("answers")
    op.drop_table("api_keys")


def _machine_instant(name: str) -> sa.Column[object]:
    """An instant by the database's clock, which all processes share."""
    clock = sa.text("clock_timestamp()")
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=clock)
