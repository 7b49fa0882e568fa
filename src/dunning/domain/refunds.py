"""Money given back: what a refund is, what may come of it, and how it is shared out. SPEC 9, 13.

A refund is made once for one command: its key is derived from the command's id, and the ledger's row of that key
decides who may send it. Amounts are minor units.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from dunning.domain.base import Known, Value


class RefundStatus(StrEnum):
    """Where a refund stands."""

    PLANNED = "planned"
    PENDING = "pending"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


OPEN_REFUND = frozenset({RefundStatus.PLANNED, RefundStatus.PENDING, RefundStatus.UNKNOWN})
"""Something is still to be done or heard about it."""

UNCLEAR_REFUND = frozenset({RefundStatus.PENDING, RefundStatus.UNKNOWN})
"""It was put to the provider; the provider is asked what became of it."""


class RefundKind(StrEnum):
    """What a refund came to, so far as we know.

    `refused`: nothing was given back, for certain and for good. `absent`: the provider has had none of this key for
    a day. `outage`, `deferred`: nothing was sent, and the same refund is to be put again later.
    """

    SUCCEEDED = "succeeded"
    PENDING = "pending"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    ABSENT = "absent"
    OUTAGE = "outage"
    DEFERRED = "deferred"


class RefundOutcome(Value):
    """What a refund came to, as recorded once.

    Attributes:
        at: business time, UTC.
        amount: minor units; None where nothing was ever claimed.
        parts: what of it belongs to which product; empty where the paid amount is not that of the items.
        until: for `deferred`, when to ask again (business time).
        because: a sentence for operators.
    """

    kind: RefundKind
    at: datetime
    amount: int | None = None
    currency: str | None = None
    payment_id: str | None = None
    refund_id: str | None = None
    obligation: str | None = None
    parts: dict[str, int] = Field(default_factory=dict)
    code: str | None = None
    retry_after_seconds: int | None = None
    until: datetime | None = None
    because: str = ""


class Refund(Known):
    """One refund in the state of a subscription.

    Attributes:
        order: what is given back: a payment's id, an attempt's key, a cycle's number or a charge's obligation.
        amount: minor units; None: all that is left of the payment.
        may_be_less: where less is left than `amount`, that is given back.
        item: give back what was paid for this product, and no more.
        by: `refund` or `revoke` (commands), or `provider` (made there without us).
        ends_access: access ends when the provider has taken the refund.
        since: since when it is unclear or pending (business time).
    """

    key: str
    command_id: str
    order: str
    by: str
    at: datetime
    payment_id: str | None = None
    obligation: str | None = None
    paid: int | None = None
    amount: int | None = None
    currency: str | None = None
    may_be_less: bool = False
    item: str | None = None
    items: dict[str, int] = field(default_factory=dict)
    ends_access: bool = False
    status: RefundStatus = RefundStatus.PLANNED
    tries: int = 0
    looks: int = 0
    since: datetime | None = None
    wait_until: datetime | None = None
    refund_id: str | None = None
    parts: dict[str, int] = field(default_factory=dict)
    is_flagged: bool = False
    because: str = ""

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done or heard about it."""
        return self.status in OPEN_REFUND


def refund_key(account: str, subscription: str, command_id: str) -> str:
    """The refund's one key: a command refunds once, whatever crashes and whatever run carries it out. SPEC 13."""
    parts = "\x1f".join((account, subscription, "refund", command_id))
    return "rf_" + hashlib.sha256(parts.encode()).hexdigest()[:40]


def shares(whole: int, left: Mapping[str, int]) -> dict[str, int]:
    """Share `whole` out over what is left of each product, in proportion; the shares add up to the whole.

    Largest remainders get the units that rounding leaves over, ties in the order given. No share is more than what
    is left of its product. Raises `ValueError` when `whole` is negative or more than all that is left.
    """
    total = sum(left.values())
    if whole < 0 or whole > total or any(amount < 0 for amount in left.values()):
        raise ValueError(f"whole: must be from 0 to {total}, was {whole}")
    if total == 0:
        return dict.fromkeys(left, 0)
    found = {name: whole * amount // total for name, amount in left.items()}
    rests = sorted(left, key=lambda name: -(whole * left[name] % total))
    for name in rests[: whole - sum(found.values())]:
        found[name] += 1
    return found


class Given(Value):
    """What a refund takes of a payment: the amount, and the products' parts of it."""

    amount: int
    parts: dict[str, int] = Field(default_factory=dict)


class TooMuch(ValueError):
    """More was asked for than is left of what was paid."""


def give(
    *,
    paid: int,
    items: Mapping[str, int],
    before: Mapping[str, int],
    refunded: int,
    amount: int | None,
    item: str | None = None,
    may_be_less: bool = False,
) -> Given:
    """What a refund takes of a payment, never more than was paid, in total and for each product. SPEC 9.

    Args:
        paid: what the payment was, minor units.
        items: what of it each product cost; ignored where it does not add up to `paid`.
        before: what of each product was given back already.
        refunded: what was given back already in all.
        amount: what is asked for; None: all that is left.

    Raises:
        TooMuch: nothing is left, or less than was asked for.
    """
    left_in_all = max(paid - refunded, 0)
    left = {name: max(cost - before.get(name, 0), 0) for name, cost in items.items()}
    is_itemised = sum(items.values()) == paid and sum(left.values()) == left_in_all
    limit = left_in_all
    if item is not None:
        limit = min(left_in_all, left.get(item, 0))
    wanted = limit if amount is None else min(amount, limit) if may_be_less else amount
    if limit == 0:
        raise TooMuch("nothing is left to give back of this payment")
    if not 0 < wanted <= limit:
        raise TooMuch(f"amount: at most {limit} is left to give back, was {wanted}")
    if item is not None:
        return Given(amount=wanted, parts={item: wanted})
    return Given(amount=wanted, parts=shares(wanted, left) if is_itemised else {})
