"""Events that are delivered again: since when one is tried, what went wrong last, and lists of those given up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what waits now has waited since it was written."""
    clock = sa.text("clock_timestamp()")
    op.add_column(
        "outbox", sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=False, server_default=clock)
    )
    op.execute("update outbox set waiting_since = recorded_at")
    op.add_column("outbox", sa.Column("last_error", sa.Text()))
    op.create_index("outbox_by_time", "outbox", ["account", "recorded_at"])
    op.create_index(
        "outbox_given_up",
        "outbox",
        ["account", "undelivered_at", "id"],
        postgresql_where=sa.text("undelivered_at is not null"),
    )


def downgrade() -> None:
    """Take them away again."""
    op.drop_index("outbox_given_up", "outbox")
    op.drop_index("outbox_by_time", "outbox")
    op.drop_column("outbox", "last_error")
    op.drop_column("outbox", "waiting_since")
