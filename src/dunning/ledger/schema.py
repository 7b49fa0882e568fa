"""The ledger's tables. SPEC 13. Changes come as migrations; `metadata` is what the newest one leaves."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import func

metadata = MetaData()

_instant = DateTime(timezone=True)


def _created(name: str = "recorded_at") -> Column[object]:
    """The machine's clock: the database's, so that all processes share one."""
    return Column(name, _instant, nullable=False, server_default=func.clock_timestamp())


subscriptions = Table(
    "subscriptions",
    metadata,
    Column("account", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("terms", JSONB, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("reference", Text),
    Column("status", Text, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("created_at", _instant, nullable=False),
    _created(),
    Index("subscriptions_by_reference", "account", "reference"),
    Index("subscriptions_by_status", "account", "status"),
    Index("subscriptions_by_customer", "account", "customer_id", "id"),
)

contacts = Table(
    "contacts",
    metadata,
    Column("account", Text, primary_key=True),
    Column("customer_id", Text, primary_key=True),
    Column("contacts", JSONB, nullable=False),
    _created("updated_at"),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("account", Text, primary_key=True),
    Column("subscription", Text, primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", JSONB, nullable=False),
    _created(),
)

attempts = Table(
    "attempts",
    metadata,
    Column("key", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("subscription", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("obligation", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("retry_of", Integer),
    Column("planned_at", _instant, nullable=False),
    Column("business_at", _instant, nullable=False),
    # started: claimed; sent: the first byte may have left; pending, unknown: not settled; settled: for good
    Column("status", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("lease_until", _instant, nullable=False),
    Column("first_sent_at", _instant),
    Column("sent_at", _instant),
    Column("settled_at", _instant),
    Column("outcome", JSONB),
    Column("late_outcome", JSONB),
    Column("raw_code", Text),
    Column("decline_class", Text),
    Column("rule", Text),
    Column("provider_payment_id", Text),
    Column("latency_ms", Integer),
    _created(),
    UniqueConstraint("account", "subscription", "generation", "obligation", "number"),
    Index("attempts_by_subscription", "account", "subscription"),
    Index("attempts_by_payment", "account", "provider_payment_id"),
    Index(
        "attempts_with_a_slot",
        "account",
        "customer_id",
        "lease_until",
        postgresql_where=Column("status", Text).in_(["started", "sent"]),
    ),
)

refunds = Table(
    "refunds",
    metadata,
    # derived from the command's id; of a refund that was made at the provider, from the provider's id of it
    Column("key", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("subscription", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("command_id", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("obligation", Text),
    Column("payment_id", Text, nullable=False),
    Column("paid", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("parts", JSONB, nullable=False),
    Column("business_at", _instant, nullable=False),
    # as of attempts; what was refused or is absent is settled too, and counts as nothing
    Column("status", Text, nullable=False),
    Column("is_given", Boolean, nullable=False),
    Column("owner", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("lease_until", _instant, nullable=False),
    Column("sent_at", _instant),
    Column("settled_at", _instant),
    Column("outcome", JSONB),
    Column("provider_refund_id", Text),
    _created(),
    Index("refunds_by_subscription", "account", "subscription"),
    Index("refunds_by_payment", "account", "payment_id"),
    Index("refunds_by_provider_id", "account", "provider_refund_id"),
)

method_verdicts = Table(
    "method_verdicts",
    metadata,
    Column("account", Text, primary_key=True),
    Column("customer_id", Text, primary_key=True),
    Column("token", Text, primary_key=True),
    Column("raw_code", Text),
    Column("attempt_key", Text, nullable=False),
    _created(),
)

account_gates = Table(
    "account_gates",
    metadata,
    Column("account", Text, primary_key=True),
    Column("tokens", Float, nullable=False),
    Column("refilled_at", _instant, nullable=False),
)

customer_gates = Table(
    "customer_gates",
    metadata,
    Column("account", Text, primary_key=True),
    Column("customer_id", Text, primary_key=True),
)

commands = Table(
    "commands",
    metadata,
    Column("account", Text, primary_key=True),
    Column("command_id", Text, primary_key=True),
    Column("subscription", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("command", JSONB, nullable=False),
    Column("result", JSONB),
    _created(),
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("account", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("raw_type", Text, nullable=False),
    Column("reference", Text),
    Column("subscription", Text),
    Column("fact", JSONB, nullable=False),
    _created("received_at"),
    Column("signalled_at", _instant),
    # what is still to be held against the ledger; and until when it is left in peace, because it failed
    Column("to_settle", JSONB),
    Column("settle_after", _instant),
    UniqueConstraint("account", "message_id"),
    Index("inbox_unsignalled", "id", postgresql_where=Column("signalled_at", _instant).is_(None)),
)

refused_messages = Table(
    "refused_messages",
    metadata,
    Column("account", Text, primary_key=True),
    Column("because", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    _created("first_at"),
    _created("last_at"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("subscription", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("created_at", _instant, nullable=False),
    _created(),
    Column("delivered_at", _instant),
    Column("undelivered_at", _instant),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("next_at", _instant, nullable=False, server_default=func.clock_timestamp()),
    # since when it is tried: a redelivery has its own three days
    Column("waiting_since", _instant, nullable=False, server_default=func.clock_timestamp()),
    Column("last_error", Text),
    UniqueConstraint("account", "subscription", "sequence"),
    Index("outbox_by_time", "account", "recorded_at"),
    Index(
        "outbox_given_up",
        "account",
        "undelivered_at",
        "id",
        postgresql_where=Column("undelivered_at", _instant).is_not(None),
    ),
    Index(
        "outbox_waiting",
        "account",
        "next_at",
        postgresql_where=Column("delivered_at", _instant).is_(None),
    ),
)

sequences = Table(
    "sequences",
    metadata,
    Column("account", Text, primary_key=True),
    Column("subscription", Text, primary_key=True),
    Column("last", Integer, nullable=False),
)

notices = Table(
    "notices",
    metadata,
    Column("account", Text, primary_key=True),
    Column("subscription", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("occasion", Text, nullable=False),
    Column("planned_at", _instant, nullable=False),
    # planned, sending, sent, delivered, read, dropped, failed, unclear, skipped
    Column("status", Text, nullable=False),
    Column("because", Text, nullable=False),
    Column("outcome", Text),
    Column("provider_id", Text),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("lease_until", _instant),
    Column("sent_at", _instant),
    _created(),
    Column("customer_id", Text),
    # business time of the last try; caps are counted by it
    Column("business_at", _instant),
    # caps and quiet hours do not hold it back, and it does not count in them
    Column("is_exempt", Boolean, nullable=False, server_default=text("false")),
    # business time: no further step on this channel before it
    Column("wait_until", _instant),
    # the channel's own clock
    Column("delivered_at", _instant),
    Column("read_at", _instant),
    Column("failed_at", _instant),
    Index("notices_by_customer", "account", "customer_id", "channel", "business_at"),
    Index("notices_by_provider_id", "account", "provider_id"),
)

opt_outs = Table(
    "opt_outs",
    metadata,
    Column("account", Text, primary_key=True),
    Column("customer_id", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    # routine or service
    Column("kind", Text, primary_key=True),
    Column("source", Text, nullable=False),
    _created(),
)

dead_addresses = Table(
    "dead_addresses",
    metadata,
    Column("account", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    # SHA-256: a changed address is a new one, and no address outlives the contacts
    Column("address_hash", Text, primary_key=True),
    Column("because", Text, nullable=False),
    _created(),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("name", Text, nullable=False),
    # SHA-256 of the secret part; the key itself is shown once and kept nowhere
    Column("hash", Text, nullable=False),
    _created("created_at"),
    Column("expires_at", _instant),
    Column("revoked_at", _instant),
    Column("last_used_at", _instant),
    Index("api_keys_by_account", "account", "id"),
)

answers = Table(
    "answers",
    metadata,
    Column("account", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    # the generation that the request makes; a repeat after a crash sees whether it got there
    Column("generation", Integer, nullable=False),
    Column("status", Integer),
    Column("body", JSONB),
    _created(),
)

# what a provider collected by itself, per item and order (minor units); kind: charge, fee, tax, refund
book_rows = Table(
    "book_rows",
    metadata,
    Column("account", Text, primary_key=True),
    Column("order_id", Text, primary_key=True),
    Column("product_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("at", _instant, nullable=False),
    Column("subscription", Text),
)
