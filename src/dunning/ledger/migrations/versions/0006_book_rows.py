"""Books of providers that keep the money first: charge, fee, tax and refund rows per item and order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add one table."""
    op.create_table(
        "book_rows",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("subscription", sa.Text()),
        sa.PrimaryKeyConstraint("account", "order_id", "product_id", "kind", "number"),
    )


def downgrade() -> None:
    """Take it away again; the rows can be read of the provider once more."""
    op.drop_table("book_rows")
