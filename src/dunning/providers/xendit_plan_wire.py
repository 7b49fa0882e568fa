"""Xendit's plans and cycles, and what they mean in our words. Source: the contract sheet, A2.2, A2.3, A3, A4.

Both contracts are read by the same models: each names some fields the other does not. Amounts come in major units.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from pydantic import Field

from dunning.domain.plans import PlanCycleStatus, PlanStatus, TryKind
from dunning.providers.base import Payment, PaymentStatus
from dunning.providers.following import Plan, PlanCycle, PlanTry
from dunning.providers.xendit_declines import FAILURE
from dunning.providers.xendit_wire import Number, Pairs, Wire, WirePayment, aware, minor, payment_of

LEGACY_PREFIX = "legacy:"
"""Marks, in our own books, a plan of the older contract: everything about it is asked in its version."""
OUR_PLAN = re.compile(r"pl_[0-9a-f]{40}")
"""Our own names of plans. One with another name was made by somebody else, and counts its cycles from its own start."""

PLAN_STATUS = {
    "REQUIRES_ACTION": PlanStatus.REQUIRES_ACTION,
    "PENDING": PlanStatus.PENDING,
    "ACTIVE": PlanStatus.ACTIVE,
    "INACTIVE": PlanStatus.ENDED,
}
_CYCLE_STATUS = {
    "SCHEDULED": PlanCycleStatus.SCHEDULED,
    "PENDING": PlanCycleStatus.ATTEMPTING,
    "RETRYING": PlanCycleStatus.RETRYING,
    "SUCCEEDED": PlanCycleStatus.PAID,
    "FAILED": PlanCycleStatus.GIVEN_UP,
    "CANCELLED": PlanCycleStatus.CANCELED,
}
_KINDS = {
    "INITIAL": TryKind.DUE,
    "RETRY": TryKind.RETRY,
    "FORCED": TryKind.FORCED,
    "PAYMENT_LINK": TryKind.LINK,
}
_DAYS = {"DAY": 1, "WEEK": 7}
CLOSED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


class RankedToken(Wire):
    """A payment token of a plan, with its rank; the legacy contract calls it a method."""

    payment_token_id: str | None = None
    payment_method_id: str | None = None
    rank: int = 1

    @property
    def token(self) -> str | None:
        """Its id."""
        return self.payment_token_id or self.payment_method_id


class WireSchedule(Wire):
    """A plan's calendar."""

    interval: str | None = None
    interval_count: int = 1
    anchor_date: datetime | None = None
    total_recurrence: int | None = None
    retry_interval_count: int | None = None
    total_retry: int | None = None
    failed_attempt_notifications: list[int] | None = None


class WireStep(Wire):
    """What the customer has to do."""

    url: str | None = None


class WirePlan(Wire):
    """A plan."""

    id: str = Field(min_length=1)
    reference_id: str | None = None
    customer_id: str | None = None
    status: str | None = None
    amount: Number
    currency: str
    description: str | None = None
    failed_cycle_action: str | None = None
    failure_code: str | None = None
    payment_tokens: list[RankedToken] | None = None
    payment_methods: list[RankedToken] | None = None
    schedule: WireSchedule | None = None
    actions: list[WireStep] | None = None
    metadata: Pairs = Field(default_factory=dict)

    @property
    def ranked(self) -> tuple[str, ...]:
        """What is charged, in its order."""
        found = sorted(self.payment_tokens or self.payment_methods or [], key=lambda one: one.rank)
        return tuple(one.token for one in found if one.token)

    @property
    def is_ours(self) -> bool:
        """Whether the engine made it."""
        return bool(self.reference_id and OUR_PLAN.fullmatch(self.reference_id))


class WireAction(Wire):
    """One token tried within one attempt. The legacy contract's `action_id` is the payment."""

    attempt_number: int = 1
    action_number: int = 1
    type: str | None = None
    created: datetime | None = None
    payment_id: str | None = None
    action_id: str | None = None
    payment_token_id: str | None = None
    status: str | None = None
    failure_code: str | None = None
    next_retry_timestamp: datetime | None = None

    @property
    def payment(self) -> str:
        """The payment that it made."""
        return self.payment_id or self.action_id or f"attempt-{self.attempt_number}-{self.action_number}"

    @property
    def is_failed(self) -> bool:
        """Whether it surely brought no money."""
        return self.status == "FAILED"


class WireCycle(Wire):
    """A cycle. `scheduled_timestamp` moves with each retry."""

    id: str = Field(min_length=1)
    type: str | None = None
    plan_id: str | None = None
    reference_id: str | None = None
    cycle_number: int | None = None
    status: str | None = None
    amount: Number
    currency: str
    scheduled_timestamp: datetime | None = None
    created: datetime | None = None
    forced_attempt_count: int = 0
    attempt_details: list[WireAction] | None = None
    metadata: Pairs = Field(default_factory=dict)

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is tried."""
        return self.status in CLOSED

    @property
    def actions(self) -> list[WireAction]:
        """What was tried, in its order."""
        found = self.attempt_details or []
        return sorted(found, key=lambda one: (one.attempt_number, one.action_number))


def plan_of(
    wire: WirePlan,
    plan_id: str,
    cycles: Sequence[WireCycle],
    payments: Mapping[str, WirePayment],
    *,
    otherwise: datetime,
) -> Plan:
    """A plan in our words. `plan_id`: as our books name it. `payments`: what was read of the cycles' payments.

    Raises:
        ValueError: an amount that its currency does not have.
    """
    told = tuple(cycle_of(one, wire, payments, otherwise=otherwise) for one in cycles)
    step = next((one.url for one in wire.actions or [] if one.url), None)
    tokens = wire.ranked
    ahead = (one.due_at for one in told if one.status is PlanCycleStatus.SCHEDULED)
    return Plan(
        plan_id=plan_id,
        status=PLAN_STATUS.get(wire.status or "", PlanStatus.PENDING),
        reference=wire.reference_id,
        cycles=tuple(sorted(told, key=lambda one: (one.number or 0, one.due_at or otherwise))),
        customer_reference=tokens[0] if tokens else None,
        method_token=tokens[0] if tokens else None,
        link=step,
        next_due=tuple(at for at in ahead if at is not None),
        because=_because(wire, cycles),
    )


def cycle_of(wire: WireCycle, plan: WirePlan, payments: Mapping[str, WirePayment], *, otherwise: datetime) -> PlanCycle:
    """A cycle in our words; a status that nobody documented is being attempted. Raises `ValueError` as `plan_of`."""
    groups = groupby(wire.actions, key=lambda one: (one.attempt_number, one.type))
    tries = tuple(_try(number, list(found), wire, payments, otherwise) for number, (_, found) in enumerate(groups, 1))
    status = _CYCLE_STATUS.get(wire.status or "", PlanCycleStatus.ATTEMPTING)
    scheduled = None if wire.scheduled_timestamp is None else aware(wire.scheduled_timestamp, otherwise)
    return PlanCycle(
        cycle_id=wire.id,
        number=wire.cycle_number if plan.is_ours else None,
        due_at=_due(wire, plan, scheduled, otherwise),
        status=status,
        amount=minor(wire.amount, wire.currency),
        currency=wire.currency.upper(),
        tries=tries,
        next_try_at=scheduled if status is PlanCycleStatus.RETRYING else None,
    )


def _try(
    number: int, actions: list[WireAction], cycle: WireCycle, payments: Mapping[str, WirePayment], otherwise: datetime
) -> PlanTry:
    """One attempt. Of several tokens the one that paid counts, else the last; the others are named."""
    last = next((one for one in actions if one.status == "SUCCEEDED"), actions[-1])
    at = aware(actions[0].created, otherwise)
    told = payments.get(last.payment)
    read = payment_of(told, otherwise=at) if told is not None else None
    status = {"SUCCEEDED": PaymentStatus.SUCCEEDED, "FAILED": PaymentStatus.FAILED}.get(last.status or "")
    others = ", ".join(f"{one.payment_token_id}: {one.failure_code}" for one in actions if one is not last)
    is_advised = read is not None and read.code is not None and last.is_failed
    payment = Payment(
        payment_id=read.payment_id if read is not None else last.payment,
        status=status or PaymentStatus.PENDING,
        amount=minor(cycle.amount, cycle.currency),
        currency=cycle.currency.upper(),
        code_field=read.code_field if read is not None and is_advised else FAILURE,
        code=read.code if read is not None and is_advised else (last.failure_code or "").strip() or None,
        message=others or (read.message if read is not None else None),
        created_at=at,
        method_token=last.payment_token_id,
    )
    return PlanTry(number=number, kind=_KINDS.get(last.type or "", TryKind.RETRY), at=at, payment=payment)


def _due(wire: WireCycle, plan: WirePlan, scheduled: datetime | None, otherwise: datetime) -> datetime | None:
    """When a cycle was first due: as scheduled while untried, else by its first attempt, up to a day late (A4, 3)."""
    first = next((one.created for one in wire.actions if one.type == "INITIAL" and one.created is not None), None)
    if first is None:
        return scheduled
    at = aware(first, otherwise)
    schedule = plan.schedule
    step = _DAYS.get(schedule.interval or "") if schedule is not None else None
    if schedule is None or step is None or schedule.anchor_date is None or wire.type == "IMMEDIATE":
        return at
    anchor, gap = aware(schedule.anchor_date, at), timedelta(days=step * schedule.interval_count)
    return anchor + (at - anchor) // gap * gap if at >= anchor else at


def _because(wire: WirePlan, cycles: Sequence[WireCycle]) -> str:
    if wire.status != "INACTIVE":
        return ""
    if any(one.type == "IMMEDIATE" and one.status == "FAILED" for one in cycles):
        return "the first payment was declined, so Xendit ended the plan"
    return f"Xendit ended the plan ({wire.failure_code})" if wire.failure_code else "the plan is inactive at Xendit"
