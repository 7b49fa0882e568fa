"""Calendars and retries that a provider runs, in our own words. SPEC 8, 9, 12.

Where `collection` is `provider` the provider's plan (a schedule, a purchase) owns time and retries. We follow: what
the provider says now is one value, a `PlanStanding`, whether a message carried it or a read found it. Older, repeated
and partial standings are harmless, so everything also works when every message is lost.
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from dunning.domain.attempts import Outcome
from dunning.domain.base import Known, Value
from dunning.domain.commands import Command
from dunning.domain.play_prices import PriceChangeMode, PriceChangeState
from dunning.domain.recovery_period import Decline
from dunning.domain.terms import Terms


class PlanStatus(StrEnum):
    """Where a plan stands at the provider.

    `suspended`: it stopped for good after a cycle could not be collected. `ended`: it was ended, or ran out.
    """

    REQUIRES_ACTION = "requires_action"
    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    ENDED = "ended"


OVER = frozenset({PlanStatus.SUSPENDED, PlanStatus.ENDED})
"""It never charges again."""


class PlanPhase(StrEnum):
    """Where a plan that states access stands (Play). `ending`: it will not renew; `hold`: nothing gives access."""

    PENDING = "pending"
    ACTIVE = "active"
    GRACE = "grace"
    HOLD = "hold"
    PAUSED = "paused"
    ENDING = "ending"
    OVER = "over"


class PlanCycleStatus(StrEnum):
    """Where one of a plan's cycles stands. `given_up`: the provider will not try it again."""

    SCHEDULED = "scheduled"
    ATTEMPTING = "attempting"
    RETRYING = "retrying"
    PAID = "paid"
    GIVEN_UP = "given_up"
    CANCELED = "canceled"


class TryKind(StrEnum):
    """Why the provider tried: the cycle was due, its own retry, our `retry_now`, or the customer by a link."""

    DUE = "due"
    RETRY = "retry"
    FORCED = "forced"
    LINK = "link"


class TryStanding(Value):
    """One try of a cycle, as recorded once: the class and the rule that classified it are inside the outcome.

    Attributes:
        number: the provider's, from 1 within the cycle, without a gap.
        at: when the provider made it (UTC).
    """

    number: int = Field(ge=1)
    kind: TryKind
    at: datetime
    outcome: Outcome
    method: str | None = None


class CycleStanding(Value):
    """One cycle of a plan. It is matched by its id, else by number, else by day, else by the nearest instant.

    Attributes:
        cycle_id: the provider's own; empty where it names none yet.
        number: counted from 1 as ours are; None where the provider does not count.
        due_on: the day it was first due, in the offset of the anchor, where the provider thinks in days.
        due_at: the instant it was first due; never the instant of a retry.
        amount: minor units.
        tries: all so far, oldest first. Fewer than we know: an older standing, which changes nothing.
        next_try_at: when the provider says it tries again.
    """

    cycle_id: str = ""
    number: int | None = None
    due_on: date | None = None
    due_at: datetime | None = None
    status: PlanCycleStatus
    amount: int
    currency: str
    tries: tuple[TryStanding, ...] = ()
    next_try_at: datetime | None = None


class PriceStanding(Value):
    """Another price of one item, as the provider states it.

    Attributes:
        new_amount: for one period, minor units of the item's currency.
        charge_at: when it is charged for the first time (UTC).
    """

    mode: PriceChangeMode
    state: PriceChangeState
    new_amount: int
    charge_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether the new price is still to come."""
        return self.state in (PriceChangeState.OUTSTANDING, PriceChangeState.CONFIRMED)

    @property
    def needs_consent(self) -> bool:
        """Whether the customer has to agree, or the item is not renewed."""
        return self.mode is PriceChangeMode.PRICE_INCREASE and self.state is PriceChangeState.OUTSTANDING


class ItemStanding(Value):
    """What one item gives now, where the provider states it for each.

    Attributes:
        until: access ends then (UTC); None: it gives none now.
        amount, currency: what a whole period costs, minor units.
        order_id: what paid it last.
        price_change: the latest one.
    """

    product_id: str
    until: datetime | None = None
    is_renewing: bool = True
    is_prepaid: bool = False
    base_plan_id: str | None = None
    amount: int | None = None
    currency: str | None = None
    order_id: str | None = None
    price_change: PriceStanding | None = None


class RefundStanding(Value):
    """What the provider has given back of one order so far. Minor units; `parts`: by product."""

    order_id: str
    amount: int
    currency: str
    at: datetime
    parts: dict[str, int] = Field(default_factory=dict)


class PlanStanding(Value):
    """What the provider says now: the whole plan, or (`is_whole` False) the part that a message carried.

    Attributes:
        plan_id: the provider's own.
        reference: our own name of it, where it was found.
        customer_reference: whom the provider charges; what our own charges name after a take-over.
        method_token: what it charges, where it says so.
        link, link_expires_at: where the customer completes what `requires_action` asks for.
        next_due: the instants at which the provider will collect, as far as it tells.
        access_until: what the provider states about access, where it owns that too (Play); else None.
        because: why it stands so, for operators.
        phase: what the provider states of the whole, where access is its own.
        takes_place_of: the plan that this one goes on from (a purchase made anew).
        is_by_user: whoever ends it was the customer.
        region: the customer's, ISO 3166-1.
        refunds: orders of which something was given back.
    """

    plan_id: str
    reference: str | None = None
    status: PlanStatus | None = None
    phase: PlanPhase | None = None
    takes_place_of: str | None = None
    is_by_user: bool = False
    cycles: tuple[CycleStanding, ...] = ()
    is_whole: bool = True
    customer_reference: str | None = None
    method_token: str | None = None
    link: str | None = None
    link_expires_at: datetime | None = None
    next_due: tuple[datetime, ...] = ()
    access_until: datetime | None = None
    items: tuple[ItemStanding, ...] = ()
    region: str | None = None
    refunds: tuple[RefundStanding, ...] = ()
    because: str = ""


# --- changes ---------------------------------------------------------------------------------------


class ForceAttempt(Value):
    """Try a cycle now (`retry_now`)."""

    change: Literal["force_attempt"] = "force_attempt"
    cycle_id: str


class CancelCycle(Value):
    """Do not collect one scheduled cycle. `cycle_id` empty: the one that is due at `due_at`."""

    change: Literal["cancel_cycle"] = "cancel_cycle"
    cycle_id: str = ""
    due_at: datetime | None = None


class MoveNext(Value):
    """The next cycle is due at `to`, and the calendar goes on from there (`defer`)."""

    change: Literal["move_next"] = "move_next"
    to: datetime
    days: int


class ReplaceMethod(Value):
    """Charge this token from now on (`update_payment_method`)."""

    change: Literal["replace_method"] = "replace_method"
    token: str


class ChangeTerms(Value):
    """From the next cycle on these terms: amount, items, retry rule, failed-cycle action (`set_policy`, price)."""

    change: Literal["change_terms"] = "change_terms"
    terms: Terms


class StopRenewals(Value):
    """It renews no more (`cancel`): as by the customer, who may take it back, or by the product."""

    change: Literal["stop_renewals"] = "stop_renewals"
    is_by_user: bool


class RevokeAccess(Value):
    """End access at once (`revoke`): all money back, the unused days', or one item's alone."""

    change: Literal["revoke_access"] = "revoke_access"
    is_prorated: bool = False
    product_id: str | None = None


class RefundOrder(Value):
    """Give one order back whole (`refund`); `revokes` ends access too, where it is the latest order."""

    change: Literal["refund_order"] = "refund_order"
    order_id: str
    amount: int | None = None
    revokes: bool = False


PlanChange = Annotated[
    ForceAttempt | CancelCycle | MoveNext | ReplaceMethod | ChangeTerms | StopRenewals | RevokeAccess | RefundOrder,
    Field(discriminator="change"),
]
"""Of plans that can be changed. An immutable one is replaced: made anew under the next reference, then ended."""


class PendingChange(Known):
    """A change on its way to the provider, and the command that asked for it."""

    change: PlanChange
    command: Command
    tries: int = 0
    wait_until: datetime | None = None


class PlanState(Known):
    """What the state of a subscription knows of its plan.

    Attributes:
        plan_id: the provider's; None until it is made.
        number: which plan of this generation; replacements count up. Part of the reference.
        created: when the plan was asked for the first time; the look-up by reference goes back so far.
        is_unclear: a creation was sent and its answer never came: looked up before anything is made again.
        verify_at: look once more whether an unclear creation made a second plan.
        expected: the next instant at which the provider has something to tell, as known at the last look.
        looks: reads since `expected` came to be; they back off.
        is_hinted: a message says that there is something to read.
        is_released: the plan is over for good, as read back (or was never made): the engine may charge.
        is_taken_over: the engine collects from here on; until `is_released` it charges nothing.
        ends_because: the plan has to be ended at the provider.
        change: what is on its way to the provider.
        replaces: why it is to be replaced by a new one (immutable plans), as soon as no day can suffer from it.
        old_plan_id: the plan that this one replaces, still to be ended.
        access_until, items, phase, next_due: what was read last, where the provider states access.
        region: the customer's, where the provider tells it.
        base, wanted_base: the product that the others are added to; what the customer was asked to make it.
        is_replaced: another purchase has taken the place of the one that was read last.
        refunded: what was given back, order by order, as it was told; the latest 50.
        cycles_seen: the provider's ids of cycles that were taken in, the latest 200.
        paid_items: what each item was paid up to, as it was read last while no renewal was declined.
        decline: what our own model forecasts of the declined renewal that was read, where the lengths are known.
    """

    plan_id: str | None = None
    number: int = 1
    status: PlanStatus = PlanStatus.PENDING
    link: str | None = None
    link_expires_at: datetime | None = None
    created: datetime | None = None
    tries: int = 0
    wait_until: datetime | None = None
    is_unclear: bool = False
    verify_at: datetime | None = None
    expected: datetime | None = None
    looks: int = 0
    is_hinted: bool = False
    is_released: bool = False
    is_taken_over: bool = False
    ends_because: str | None = None
    change: PendingChange | None = None
    replaces: str | None = None
    old_plan_id: str | None = None
    access_until: datetime | None = None
    items: tuple[ItemStanding, ...] = ()
    phase: PlanPhase | None = None
    next_due: tuple[datetime, ...] = ()
    region: str | None = None
    base: str | None = None
    wanted_base: str | None = None
    is_replaced: bool = False
    refunded: tuple[RefundStanding, ...] = ()
    cycles_seen: tuple[str, ...] = ()
    paid_items: tuple[ItemStanding, ...] = ()
    decline: Decline | None = None


def plan_reference(account: str, subscription: str, generation: int, number: int) -> str:
    """Our own name of a plan at the provider: derived, so that any worker finds what another one made. SPEC 13."""
    parts = "\x1f".join((account, subscription, str(generation), "plan", str(number)))
    return "pl_" + hashlib.sha256(parts.encode()).hexdigest()[:40]
