"""Messages that the gateway refused, counted by account and reason: why nothing arrives can be told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add one table."""
    now = sa.func.clock_timestamp()
    op.create_table(
        "refused_messages",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.PrimaryKeyConstraint("account", "because"),
    )


def downgrade() -> None:
    """Take it away again; it only helps to find what is wrong."""
    op.drop_table("refused_messages")
