"""Notices: what became of them after they were accepted, opt-outs, and addresses that nothing reaches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NEW = ("customer_id", "business_at", "is_exempt", "wait_until", "delivered_at", "read_at", "failed_at")


def upgrade() -> None:
    """Add columns to notices, and two tables."""
    op.add_column("notices", sa.Column("customer_id", sa.Text()))
    op.add_column("notices", sa.Column("business_at", sa.DateTime(timezone=True)))
    op.add_column("notices", sa.Column("is_exempt", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    for name in ("wait_until", "delivered_at", "read_at", "failed_at"):
        op.add_column("notices", sa.Column(name, sa.DateTime(timezone=True)))
    op.create_index("notices_by_customer", "notices", ["account", "customer_id", "channel", "business_at"])
    op.create_index("notices_by_provider_id", "notices", ["account", "provider_id"])
    op.create_table(
        "opt_outs",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        _machine_instant("recorded_at"),
        sa.PrimaryKeyConstraint("account", "customer_id", "channel", "kind"),
    )
    op.create_table(
        "dead_addresses",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("address_hash", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        _machine_instant("recorded_at"),
        sa.PrimaryKeyConstraint("account", "channel", "address_hash"),
    )


def downgrade() -> None:
    """Take them away again: opt-outs and delivery statuses are lost."""
    op.drop_table("dead_addresses")
    op.drop_table("opt_outs")
    op.drop_index("notices_by_provider_id", "notices")
    op.drop_index("notices_by_customer", "notices")
    for name in reversed(_NEW):
        op.drop_column("notices", name)


def _machine_instant(name: str) -> sa.Column[object]:
    """An instant by the database's clock, which all processes share."""
    clock = sa.text("clock_timestamp()")
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=clock)
