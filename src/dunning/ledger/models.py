"""What goes into the ledger and what comes out: values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import Field

from dunning.domain.attempts import Attempt, Outcome
from dunning.domain.base import Value
from dunning.domain.commands import CommandResult
from dunning.domain.messages import EventDraft, PlannedNotice
from dunning.domain.refunds import RefundOutcome
from dunning.domain.terms import Terms


class FollowedAttempt(Value):
    """A try that the provider made by its own calendar, with what it came to. `amount` in minor units."""

    obligation: str
    customer: str
    attempt: Attempt
    amount: int
    currency: str


class Record(Value):
    """What follows from a step of the state, written before the workflow goes on. SPEC 10.

    Keyed by (generation, revision): writing it again changes nothing, and the snapshot never goes back.
    """

    account: str
    subscription: str
    generation: int
    revision: int
    events: tuple[EventDraft, ...] = ()
    notices: tuple[PlannedNotice, ...] = ()
    command_results: tuple[CommandResult, ...] = ()
    followed: tuple[FollowedAttempt, ...] = ()
    status: str
    is_open: bool
    reference: str | None = None
    snapshot: dict[str, Any]


class ChargeInput(Value):
    """One attempt, handed to a worker. `business_at` is business time; `carry` is recorded with the admission."""

    account: str
    subscription: str
    generation: int
    customer: str
    obligation: str
    attempt: Attempt
    amount: int
    currency: str
    description: str
    reference: str = Field(description="the provider's id of the mandate or subscription")
    metadata: dict[str, str | int | bool] = Field(default_factory=dict)
    business_at: datetime
    recurs_every_days: int | None = Field(
        default=None, description="days between two cycles, at least; None: it is no cycle"
    )
    is_method_attached: bool = Field(default=True, description="the provider has this method as the current one")
    known_payments: tuple[str, ...] = Field(
        default=(), description="the provider's ids of payments without our key that are matched already"
    )
    fees_inclusive: bool | None = Field(default=None, description="as the provider's options say")
    is_on_page: bool = Field(default=False, description="the customer pays it on the mandate's page: it is never sent")
    carry: Record | None = None


class LookUpInput(Value):
    """Ask the provider what became of one attempt. `may_close_absent`: it has been absent for long enough."""

    account: str
    subscription: str
    generation: int
    customer: str
    obligation: str
    attempt: Attempt
    amount: int
    currency: str
    reference: str
    business_at: datetime
    may_close_absent: bool = False
    known_payments: tuple[str, ...] = ()


class RefundInput(Value):
    """One refund, handed to a worker. What the state does not know of the order, the ledger finds.

    Attributes:
        order: a payment's id, an attempt's key, a cycle's number, or a charge's obligation.
        payment_id, paid: a payment without our key, of which the ledger has no attempt.
        amount: minor units; None: all that is left.
        items: what each product cost of it, so that the parts are known.
        disputed: payments that are not given back: the customer's bank has them in hand.
    """

    account: str
    subscription: str
    generation: int
    customer: str
    key: str
    command_id: str
    order: str
    payment_id: str | None = None
    obligation: str | None = None
    paid: int | None = None
    currency: str
    amount: int | None = None
    may_be_less: bool = False
    item: str | None = None
    items: dict[str, int] = Field(default_factory=dict)
    disputed: tuple[str, ...] = ()
    metadata: dict[str, str | int | bool] = Field(default_factory=dict)
    business_at: datetime


class RefundLookUpInput(Value):
    """Ask the provider what became of one refund. `may_close_absent`: it has been absent for long enough."""

    account: str
    key: str
    business_at: datetime
    may_close_absent: bool = False


class StoredRefund(Value):
    """One refund's row. Instants named `*_at` are the database's clock but `business_at`; amounts are minor units."""

    key: str
    account: str
    subscription: str
    customer_id: str
    command_id: str
    order_id: str
    obligation: str | None
    payment_id: str
    paid: int
    amount: int
    currency: str
    parts: dict[str, int]
    business_at: datetime
    status: str
    is_given: bool
    epoch: int
    sent_at: datetime | None
    settled_at: datetime | None
    outcome: RefundOutcome | None
    provider_refund_id: str | None

    @property
    def owner_is_us(self) -> bool:
        """Whether a command of ours asked for it; else it was made at the provider."""
        return bool(self.command_id)


class Created(Value):
    """A subscription in the ledger. `is_new` False: it was there with the same terms."""

    generation: int
    is_new: bool


class Stored(Value):
    """A subscription as the ledger knows it."""

    account: str
    id: str
    generation: int
    terms: Terms
    customer_id: str
    reference: str | None
    status: str
    is_open: bool
    created_at: datetime
    snapshot: dict[str, Any] | None


class StoredAttempt(Value):
    """One attempt's row. Instants named `*_at` are the database's clock but `planned_at` and `business_at`."""

    key: str
    account: str
    subscription: str
    generation: int
    obligation: str
    number: int
    customer_id: str
    amount: int
    currency: str
    method: str
    trigger: str
    retry_of: int | None
    planned_at: datetime
    business_at: datetime
    status: str
    epoch: int
    first_sent_at: datetime | None
    sent_at: datetime | None
    settled_at: datetime | None
    outcome: Outcome | None
    provider_payment_id: str | None
    latency_ms: int | None


class Claim(Value):
    """The right to send one attempt: valid while owner, epoch and lease hold.

    `lease_seconds` count from the moment the database gave it: later than the asking, by every clock.
    """

    key: str
    owner: str
    epoch: int
    lease_seconds: float


class Admission(Value):
    """The answer to asking for an attempt: a claim to send it, or the outcome to return at once. SPEC 13."""

    claim: Claim | None = None
    outcome: Outcome | None = None


class RefundAdmission(Value):
    """The answer to asking for a refund: the claim and the row to send, or the outcome to return at once."""

    claim: Claim | None = None
    row: StoredRefund | None = None
    outcome: RefundOutcome | None = None


class Begun(Value):
    """A command in the ledger: new, or known with its first result, or used for something else."""

    is_new: bool
    result: CommandResult | None = None
    is_conflict: bool = False


class ToSettle(Value):
    """What a message says that is still to be held against the ledger, by its own words.

    Attributes:
        at: when it was accepted (machine clock).
        subscription: our id that it names; perhaps nobody's.
        outcome: what its payment comes to for the attempt that it is about; `at` in it is not business time yet.
    """

    at: datetime
    subscription: str | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A provider's message on its way into the inbox. `fact` and `to_settle` are JSON."""

    account: str
    message_id: str
    kind: str
    raw_type: str
    reference: str | None
    fact: str
    to_settle: str

    @property
    def identity(self) -> tuple[str, str]:
        """What makes it one message, however often it is delivered."""
        return self.account, self.message_id

    def as_json(self) -> str:
        """All of it as one JSON object."""
        names = ("account", "message_id", "kind", "raw_type", "reference")
        known = json.dumps({name: getattr(self, name) for name in names})
        return f'{known[:-1]}, "fact": {self.fact}, "to_settle": {self.to_settle}}}'


@dataclass(frozen=True, slots=True)
class UnsettledMessage:
    """A message that was accepted, and that nothing was done by yet. `fact` and `to_settle` are JSON."""

    id: int
    account: str
    message_id: str
    reference: str | None
    fact: str
    to_settle: str


@dataclass(frozen=True, slots=True)
class SettledMessage:
    """What became of a message.

    Attributes:
        id: its row.
        subscription: who is to be told; None: nobody.
        known: what the ledger adds to its fact.
    """

    id: int
    subscription: str | None
    known: dict[str, Any]


class InboxRow(Value):
    """A provider's message that was accepted."""

    id: int
    account: str
    message_id: str
    subscription: str | None
    fact: dict[str, Any]
    received_at: datetime


class OutboxRow(Value):
    """An event on its way to the backend."""

    id: str
    account: str
    subscription: str
    sequence: int
    type: str
    data: dict[str, Any]
    created_at: datetime
    tries: int


class StoredNotice(Value):
    """One notice on one channel.

    Attributes:
        planned_at, wait_until: business time; no further step before the latter.
        provider_id: the channel's own id of the message.
        delivered_at, read_at, failed_at: the channel's clock, as it reported.
    """

    key: str
    channel: str
    occasion: str
    planned_at: datetime
    status: str
    because: str
    outcome: str | None
    provider_id: str | None
    tries: int
    wait_until: datetime | None
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    failed_at: datetime | None
