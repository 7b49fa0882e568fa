"""The first ledger: subscriptions, attempts, commands, inbox, outbox, snapshots, notices.

Every table is spelled out and never edited again: a ledger made by an older release and one made by this release
have walked the same steps. `schema.metadata` says what the newest migration leaves; a test compares the two.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    "subscriptions",
    "contacts",
    "snapshots",
    "attempts",
    "method_verdicts",
    "account_gates",
    "customer_gates",
    "commands",
    "inbox",
    "outbox",
    "sequences",
    "notices",
)


def upgrade() -> None:
    """Create every table."""
    _create_subscriptions()
    _create_attempts()
    _create_gates()
    _create_commands()
    _create_inbox()
    _create_outbox()
    _create_notices()


def downgrade() -> None:
    """Drop every table: a ledger that is going away, never one in use."""
    for name in reversed(_TABLES):
        op.drop_table(name)


def _create_subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("terms", postgresql.JSONB(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _machine_instant("recorded_at"),
        sa.PrimaryKeyConstraint("account", "id"),
    )
    op.create_index("subscriptions_by_reference", "subscriptions", ["account", "reference"])
    op.create_index("subscriptions_by_status", "subscriptions", ["account", "status"])
    op.create_table(
        "contacts",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("contacts", postgresql.JSONB(), nullable=False),
        _machine_instant("updated_at"),
        sa.PrimaryKeyConstraint("account", "customer_id"),
    )
    op.create_table(
        "snapshots",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", postgresql.JSONB(), nullable=False),
        _machine_instant("recorded_at"),
        sa.PrimaryKeyConstraint("account", "subscription"),
    )


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("key", sa.Text(), nullable=False),
        *_what_an_attempt_is(),
        *_what_became_of_it(),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("account", "subscription", "generation", "obligation", "number"),
    )
    op.create_index("attempts_by_subscription", "attempts", ["account", "subscription"])
    op.create_index("attempts_by_payment", "attempts", ["account", "provider_payment_id"])
    op.create_index(
        "attempts_with_a_slot",
        "attempts",
        ["account", "customer_id", "lease_until"],
        postgresql_where=sa.text("status IN ('started', 'sent')"),
    )
    op.create_table(
        "method_verdicts",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("raw_code", sa.Text()),
        sa.Column("attempt_key", sa.Text(), nullable=False),
        _machine_instant("recorded_at"),
        sa.PrimaryKeyConstraint("account", "customer_id", "token"),
    )


def _what_an_attempt_is() -> list[sa.Column[object]]:
    return [
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("obligation", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("retry_of", sa.Integer()),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("business_at", sa.DateTime(timezone=True), nullable=False),
    ]


def _what_became_of_it() -> list[sa.Column[object]]:
    return [
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_sent_at", sa.DateTime(timezone=True)),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.Column("outcome", postgresql.JSONB()),
        sa.Column("late_outcome", postgresql.JSONB()),
        sa.Column("raw_code", sa.Text()),
        sa.Column("decline_class", sa.Text()),
        sa.Column("rule", sa.Text()),
        sa.Column("provider_payment_id", sa.Text()),
        sa.Column("latency_ms", sa.Integer()),
        _machine_instant("recorded_at"),
    ]


def _create_gates() -> None:
    op.create_table(
        "account_gates",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Float(), nullable=False),
        sa.Column("refilled_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account"),
    )
    op.create_table(
        "customer_gates",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "customer_id"),
    )


def _create_commands() -> None:
    op.create_table(
        "commands",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("command", postgresql.JSONB(), nullable=False),
        sa.Column("result", postgresql.JSONB()),
        _machine_instant("recorded_at"),
        sa.PrimaryKeyConstraint("account", "command_id"),
    )


def _create_inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("raw_type", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text()),
        sa.Column("subscription", sa.Text()),
        sa.Column("fact", postgresql.JSONB(), nullable=False),
        _machine_instant("received_at"),
        sa.Column("signalled_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("account", "message_id"),
    )
    op.create_index("inbox_unsignalled", "inbox", ["id"], postgresql_where=sa.text("signalled_at IS NULL"))


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _machine_instant("recorded_at"),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.Column("undelivered_at", sa.DateTime(timezone=True)),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        _machine_instant("next_at"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("account", "subscription", "sequence"),
    )
    is_waiting = sa.text("delivered_at IS NULL")
    op.create_index("outbox_waiting", "outbox", ["account", "next_at"], postgresql_where=is_waiting)
    op.create_table(
        "sequences",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("account", "subscription"),
    )


def _create_notices() -> None:
    op.create_table(
        "notices",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("occasion", sa.Text(), nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("provider_id", sa.Text()),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        _machine_instant("recorded_at"),
        sa.PrimaryKeyConstraint("account", "subscription", "key", "channel"),
    )


def _machine_instant(name: str) -> sa.Column[object]:
    """An instant by the database's clock, which all processes share."""
    clock = sa.text("clock_timestamp()")
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=clock)
