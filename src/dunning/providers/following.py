"""What the engine asks of a provider that runs calendars and retries itself. SPEC 12.

A second, smaller protocol beside `PaymentProvider`: an adapter that has plans (schedules, purchases) implements both.
Both sides are our own types; a vendor's words stop at its adapter, and so do its raw codes: `standing_of` classifies
them once, where they come in.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Protocol, runtime_checkable

from pydantic import Field

from dunning.domain.base import Value
from dunning.domain.books import BookRow
from dunning.domain.calendar import Calendar
from dunning.domain.declines import DeclineTable
from dunning.domain.plan_rules import PlanRules
from dunning.domain.plans import (
    CycleStanding,
    ItemStanding,
    PlanChange,
    PlanCycleStatus,
    PlanPhase,
    PlanStanding,
    PlanStatus,
    RefundStanding,
    TryKind,
    TryStanding,
)
from dunning.domain.terms import Contacts, Terms
from dunning.errors import ProviderError
from dunning.providers.base import MessageKind, Payment, ProviderMessage
from dunning.providers.outcomes import outcome_of


class PlanRequest(Value):
    """Make a plan. Amounts in minor units, instants UTC.

    Attributes:
        reference: our name of it, derived (`plan_reference`): put where `find_plans` finds it again.
        customer_reference: the provider's id of who pays, where there is one already.
        method_tokens: what may be charged, ranked; empty: the customer gives a method by the link.
        calendar: fixed already where a mandate came first; None where the plan is the mandate: then take `terms`.
        first_due_at: the first instant to collect at; the plan charges nothing before that day.
        was_unclear: an earlier creation under this reference was sent and its answer never came.
        business_at: now (business time); terms hold calendar, amount, retry rule, items, urls and metadata.
    """

    subscription: str
    account: str
    reference: str
    customer_reference: str | None = None
    method_tokens: tuple[str, ...] = ()
    terms: Terms
    contacts: Contacts
    calendar: Calendar | None = None
    first_due_at: datetime | None = None
    cycles_left: int | None = None
    was_unclear: bool = False
    business_at: datetime


class PlanTry(Value):
    """One try of a cycle as the provider tells it: the payment (which may have failed) and why it was tried."""

    number: int = Field(ge=1)
    kind: TryKind
    at: datetime
    payment: Payment


class PlanCycle(Value):
    """One cycle of a plan as the provider tells it; see `CycleStanding` for the fields."""

    cycle_id: str = ""
    number: int | None = None
    due_on: date | None = None
    due_at: datetime | None = None
    status: PlanCycleStatus
    amount: int
    currency: str
    tries: tuple[PlanTry, ...] = ()
    next_try_at: datetime | None = None


class Plan(Value):
    """A plan as the provider tells it; see `PlanStanding` for the fields. `reference` is ours, found in it.

    `rows`: what it collected, for the books, where the provider keeps the money first.
    """

    plan_id: str
    status: PlanStatus | None = None
    phase: PlanPhase | None = None
    takes_place_of: str | None = None
    is_by_user: bool = False
    reference: str | None = None
    cycles: tuple[PlanCycle, ...] = ()
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
    rows: tuple[BookRow, ...] = ()


class PlanMessage(ProviderMessage):
    """A message about a plan: with what the provider says now (all of it or a part), or None: then it is read.

    `reference` is the plan's id there, or the customer's; the gateway finds the subscription by either.
    """

    kind: MessageKind = MessageKind.PLAN
    plan: Plan | None = None


class PlanUnclear(ProviderError):
    """A request that makes or changes a plan was sent and its answer never came: perhaps it took effect."""


@runtime_checkable
class PlanProvider(Protocol):
    """A provider's plans, for one merchant account. No method retries, sleeps or keeps state.

    Every method raises `ProviderUnavailable` (surely nothing changed; ask again) or `ProviderRefused` (asking again
    is useless); `create_plan`, `change_plan` and `end_plan` also `PlanUnclear`.
    """

    @property
    def plan_rules(self) -> PlanRules:
        """What its plans can do, as data: one of `PLAN_RULES`."""
        ...

    async def create_plan(self, request: PlanRequest) -> Plan:
        """Make the plan, once, after every check of the provider's own guide; `requires_action` comes with a link."""
        ...

    async def find_plans(self, request: PlanRequest, *, since: datetime) -> tuple[Plan, ...]:
        """Plans that carry `request.reference` and are not over, oldest first; `since`: the machine clock."""
        ...

    async def read_plan(self, plan_id: str, *, business_at: datetime) -> Plan:
        """The whole plan with its cycles and tries. A plan that is gone is read as `ended`."""
        ...

    async def end_plan(self, plan_id: str, *, business_at: datetime, reason: str) -> Plan:
        """End it for good and read it back; already over is success."""
        ...

    async def change_plan(self, plan_id: str, change: PlanChange, *, business_at: datetime) -> Plan:
        """Make one change and read the plan back."""
        ...


def standing_of(plan: Plan, table: DeclineTable) -> PlanStanding:
    """A plan with every try classified, as it is recorded: by the adapter's table, once. SPEC 3."""
    return PlanStanding(
        plan_id=plan.plan_id,
        reference=plan.reference,
        status=plan.status,
        phase=plan.phase,
        takes_place_of=plan.takes_place_of,
        is_by_user=plan.is_by_user,
        cycles=tuple(_cycle(one, table) for one in plan.cycles),
        is_whole=plan.is_whole,
        customer_reference=plan.customer_reference,
        method_token=plan.method_token,
        link=plan.link,
        link_expires_at=plan.link_expires_at,
        next_due=plan.next_due,
        access_until=plan.access_until,
        items=plan.items,
        region=plan.region,
        refunds=plan.refunds,
        because=plan.because,
    )


def live(plans: Iterable[Plan]) -> tuple[Plan, ...]:
    """Those that may still charge, now or later."""
    return tuple(one for one in plans if one.status not in (PlanStatus.ENDED, PlanStatus.SUSPENDED))


def _cycle(cycle: PlanCycle, table: DeclineTable) -> CycleStanding:
    return CycleStanding(
        cycle_id=cycle.cycle_id,
        number=cycle.number,
        due_on=cycle.due_on,
        due_at=cycle.due_at,
        status=cycle.status,
        amount=cycle.amount,
        currency=cycle.currency,
        tries=tuple(
            TryStanding(
                number=one.number,
                kind=one.kind,
                at=one.at,
                outcome=outcome_of(one.payment, table, one.at),
                method=one.payment.method_token,
            )
            for one in cycle.tries
        ),
        next_try_at=cycle.next_try_at,
    )
