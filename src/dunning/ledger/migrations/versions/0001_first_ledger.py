"""The first ledger: subscriptions, attempts, commands, inbox, outbox, snapshots, notices.

The first release creates what `schema.metadata` holds at that time; from then on every migration spells its
own changes out.
"""

from __future__ import annotations

from alembic import op

from dunning.ledger.schema import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    metadata.create_all(op.get_bind())


def downgrade() -> None:
    """Drop every table: a ledger that is going away, never one in use."""
    metadata.drop_all(op.get_bind())
