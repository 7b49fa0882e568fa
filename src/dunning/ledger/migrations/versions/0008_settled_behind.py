"""Messages are stored as they came, and settled behind the answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rows that are there were settled when they were stored."""
    op.add_column("inbox", sa.Column("to_settle", postgresql.JSONB()))
    op.add_column("inbox", sa.Column("settle_after", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Take them away again; let a gateway settle what waits before."""
    op.drop_column("inbox", "settle_after")
    op.drop_column("inbox", "to_settle")
