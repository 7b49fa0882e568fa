"""Commands: what a person or a backend may ask of a subscription. SPEC 9.

`command_id` is given by the caller and unique per account; the same id returns the first result. `requested_at`
is when the person did it (business time), where that differs from the arrival. Whether a command is allowed in
a state is `command_table`'s business; here stands only what a command may say.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from dunning.domain.base import Value
from dunning.domain.fields import (
    MAX_AMOUNT,
    STORED,
    Amount,
    Currency,
    Flag,
    Identifier,
    Instant,
    Metadata,
    Month,
    Text,
    Token,
    Whole,
)
from dunning.domain.play_items import BillingFlow, ReplacementMode
from dunning.domain.terms import FailedCycleAction, OnHardDecline, RetryPolicy, Role


class CancelType(StrEnum):
    """Who wants the end, and of what."""

    USER_REQUESTED_STOP_RENEWALS = "USER_REQUESTED_STOP_RENEWALS"
    DEVELOPER_REQUESTED_STOP_PAYMENTS = "DEVELOPER_REQUESTED_STOP_PAYMENTS"


class RevokeType(StrEnum):
    """What is given back when access ends at once: all of the running period's price, its unused days, one item's."""

    FULL = "FULL"
    PRORATED = "PRORATED"
    ITEM = "ITEM"


class _Command(Value):
    command_id: Identifier
    requested_at: Instant | None = None


class Cancel(_Command):
    """Stop; a missing type is the developer's."""

    name: Literal["cancel"] = "cancel"
    type: CancelType = CancelType.DEVELOPER_REQUESTED_STOP_PAYMENTS


class Restore(_Command):
    """Take a user's cancel back, before it expires."""

    name: Literal["restore"] = "restore"


class Pause(_Command):
    """Skip cycles, until resumed or until an instant."""

    name: Literal["pause"] = "pause"
    until: Instant | None = None


class Resume(_Command):
    """End a pause."""

    name: Literal["resume"] = "resume"


class Defer(_Command):
    """Move the next due instant."""

    name: Literal["defer"] = "defer"
    days: Annotated[Whole, Field(ge=1, le=365)]


class Charge(_Command):
    """Collect an amount (minor units) on demand."""

    name: Literal["charge"] = "charge"
    amount: Annotated[Whole, Field(gt=0, le=MAX_AMOUNT)]
    currency: Currency | None = None
    description: Text | None = None
    metadata: Metadata | None = None


class RetryNow(_Command):
    """Try what is owed now; the oldest obligation, or the one named."""

    name: Literal["retry_now"] = "retry_now"
    obligation: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,80}$"), STORED] | None = None


class UpdatePaymentMethod(_Command):
    """Make a token current. `expires` is `YYYY-MM`."""

    name: Literal["update_payment_method"] = "update_payment_method"
    token: Token
    expires: Month | None = None
    network: Text | None = None
    fingerprint: Text | None = None


class SkipCycle(_Command):
    """Do not collect the next cycle, or a numbered one."""

    name: Literal["skip_cycle"] = "skip_cycle"
    number: Annotated[Whole, Field(ge=1)] | None = None


class SetPolicy(_Command):
    """Change the recovery policy from the next cycle on; what is not given stays."""

    name: Literal["set_policy"] = "set_policy"
    retry: RetryPolicy | None = None
    grace_days: Annotated[Whole, Field(ge=0, le=30)] | None = None
    hold_days: Annotated[Whole, Field(ge=0, le=60)] | None = None
    on_hard_decline: OnHardDecline | None = None
    failed_cycle_action: FailedCycleAction | None = None
    failed_attempt_notifications: tuple[Annotated[Whole, Field(ge=1)], ...] | None = None


class MarkFixed(_Command):
    """An operator repaired our configuration at the provider: what waited is tried."""

    name: Literal["mark_fixed"] = "mark_fixed"


class Reinstate(_Command):
    """Give access back after a late payment for an ended subscription."""

    name: Literal["reinstate"] = "reinstate"


class Refund(_Command):
    """Give a payment back, all that is left of it or an `amount` (minor units).

    `order` is what was paid: the provider's id of the payment, an attempt's key, a cycle's number, or a charge's
    obligation. `revoke` ends access as well, once the provider has taken the refund.
    """

    name: Literal["refund"] = "refund"
    order: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,255}$")]
    amount: Annotated[Whole, Field(gt=0, le=MAX_AMOUNT)] | None = None
    revoke: Flag = False


class Revoke(_Command):
    """End access at once and give the running period back: all of it, its unused days, or one item's price."""

    name: Literal["revoke"] = "revoke"
    type: RevokeType
    item: Text | None = None


class WantedItem(Value):
    """One product that shall be had from now on. `unit_amount` in minor units.

    Where the customer's app has to buy it: `base_plan_id` and `offer_id` as the store has them, `period` (ISO 8601,
    `P1M`; not given: the subscription's), `is_prepaid` for a plan that does not renew by itself.
    """

    product_id: Identifier
    role: Role
    quantity: Annotated[Whole, Field(ge=1, le=1_000_000)] = 1
    unit_amount: Amount | None = None
    base_plan_id: Identifier | None = None
    offer_id: Identifier | None = None
    period: Annotated[str, Field(pattern=r"^P[1-9][0-9]{0,2}[DWMY]$"), STORED] | None = None
    is_prepaid: Flag = False


class ChangeItems(_Command):
    """Have other products: `items` is everything that shall be had, with exactly one base item.

    Where only the customer can buy, nothing changes by this command: it answers with what the app has to pass on
    (`billing_flow`), and the change is taken in when the customer has bought.
    """

    name: Literal["change_items"] = "change_items"
    items: Annotated[tuple[WantedItem, ...], Field(min_length=1, max_length=100)]
    replacement_mode: ReplacementMode | None = None


Command = Annotated[
    Cancel
    | Restore
    | Pause
    | Resume
    | Defer
    | Charge
    | RetryNow
    | UpdatePaymentMethod
    | SkipCycle
    | SetPolicy
    | MarkFixed
    | Reinstate
    | Refund
    | Revoke
    | ChangeItems,
    Field(discriminator="name"),
]


USED_FOR_ANOTHER = "command_id: must be unique in the account; it was used for another command"
"""The reason of a refusal: an id stands for one command for ever. SPEC 9."""


class CommandResult(Value):
    """What came of a command. `accepted`: it waits for a charge on its way; the ledger has the final result.

    `billing_flow`: what the customer's app has to pass on, where only the customer can do it.
    """

    command_id: str
    status: Literal["done", "refused", "accepted"]
    reason: str = ""
    detail: dict[str, str] = Field(default_factory=dict)
    billing_flow: BillingFlow | None = None
