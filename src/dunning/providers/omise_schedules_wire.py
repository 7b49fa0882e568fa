"""Omise's schedules and occurrences, and what they mean in our words. Source: the contract sheet, B2.2 and B3 to B6."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

from dunning.domain.plans import PlanCycleStatus, PlanStatus, TryKind
from dunning.providers.base import MessageKind, Payment, PaymentStatus
from dunning.providers.following import Plan, PlanCycle, PlanMessage, PlanTry
from dunning.providers.omise_declines import FAILURE
from dunning.providers.omise_wire import SUBSCRIPTION, Id, Pairs, Wire, WireCharge, payment_of, text_in

PLAN = "dunning_plan"
"""On a schedule's charges: our reference of the plan."""
USUAL_HOUR = time(1, 30, tzinfo=UTC)
"""When scheduled charges were seen to run (sheet B6): an observation, used only where no instant is given."""
RETRIES = 2
_STATUS = {
    "active": PlanStatus.ACTIVE,
    "running": PlanStatus.ACTIVE,
    "expiring": PlanStatus.ACTIVE,
    "expired": PlanStatus.ENDED,
    "deleted": PlanStatus.ENDED,
    "suspended": PlanStatus.SUSPENDED,
}


def _days(value: object) -> object:
    return value if isinstance(value, list) else []


class WireScheduleCharge(Wire):
    """What a schedule collects each time, minor units."""

    amount: int
    currency: str = "thb"
    customer: Id = None
    card: Id = None
    metadata: Pairs = Field(default_factory=dict)


class WireSchedule(Wire):
    """A schedule. Older versions of the API name the list of days otherwise."""

    id: str = Field(min_length=1)
    status: str | None = None
    deleted: bool = False
    charge: WireScheduleCharge | None = None
    next_days: Annotated[tuple[date, ...], BeforeValidator(_days)] = Field(
        default=(), validation_alias=AliasChoices("next_occurrences_on", "next_occurrence_dates")
    )

    @property
    def reference(self) -> str | None:
        """Our reference, if we made it."""
        return text_in(self.charge.metadata, PLAN) if self.charge is not None else None

    @property
    def plan_status(self) -> PlanStatus:
        """Where it stands. A status that nobody documented is not over: nothing may be concluded from it."""
        return PlanStatus.ENDED if self.deleted else _STATUS.get(self.status or "", PlanStatus.ACTIVE)


class WireOccurrence(Wire):
    """One due day. The same object serves its retries (sheet B4); `result` is the charge made last."""

    id: str = Field(min_length=1)
    scheduled_on: date = Field(validation_alias=AliasChoices("scheduled_on", "schedule_date"))
    retry_on: date | None = Field(default=None, validation_alias=AliasChoices("retry_on", "retry_date"))
    processed_at: datetime | None = None
    status: str | None = None
    message: str | None = None
    result: Id = None


class DueDay:
    """Everything known of one due day: its occurrence, or several where each retry is listed as a line of its own."""

    def __init__(self, lines: Sequence[WireOccurrence]) -> None:
        self.lines = lines
        self.first, self.last = lines[0], lines[-1]

    @property
    def tried(self) -> int:
        """How often it was tried so far: on its day, the day after, and the day after that."""
        if self.last.status not in ("failed", "successful") and self.last.result is None:
            return 0
        tried_on = self.last.scheduled_on
        if self.last.retry_on is not None:
            is_planned = self.last.status == "failed" and not _is_after(self.last.processed_at, self.last.retry_on)
            tried_on = self.last.retry_on - timedelta(days=1) if is_planned else self.last.retry_on
        elif self.last.processed_at is not None:
            tried_on = max(tried_on, self.last.processed_at.astimezone(UTC).date())
        return min(max((tried_on - self.first.scheduled_on).days, 0), RETRIES) + 1

    def try_at(self, number: int) -> datetime:
        """When try `number` was made: as told of the last one, at the same hour before it."""
        at = self.last.processed_at or datetime.combine(self.first.scheduled_on, USUAL_HOUR)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        return at - timedelta(days=self.tried - number) if self.last.processed_at else at + timedelta(days=number - 1)

    @property
    def charges(self) -> dict[int, str]:
        """The charge of each try, as far as the occurrence names it."""
        found = {number: line.result for number, line in enumerate(self.lines, start=1) if line.result is not None}
        if len(self.lines) > 1 or self.last.result is None or not self.tried:
            return found
        return {self.tried: self.last.result}


def _is_after(processed: datetime | None, day: date) -> bool:
    return processed is not None and processed.astimezone(UTC).date() >= day


def due_days(occurrences: Iterable[WireOccurrence]) -> list[DueDay]:
    """Occurrences by due day, oldest first: a line that is dated as the retry of the one before belongs to it."""
    ordered = sorted(occurrences, key=lambda one: one.scheduled_on)
    groups: list[list[WireOccurrence]] = [ordered[:1]] if ordered else []
    for before, one in pairwise(ordered):
        is_retry = before.status == "failed" and before.retry_on == one.scheduled_on
        if is_retry:
            groups[-1].append(one)
        else:
            groups.append([one])
    return [DueDay(lines) for lines in groups]


def cycle_of(day: DueDay, schedule: WireSchedule, charges: Mapping[int, WireCharge]) -> PlanCycle:
    """One due day in our words. `charges`: those of its tries that were found, by the number of the try.

    The day of the next try is told (`retry_on`), its hour is not: it is left to the rules, which give the same day.
    """
    tries = tuple(_try(day, number, schedule, charges.get(number)) for number in range(1, day.tried + 1))
    price = schedule.charge or WireScheduleCharge(amount=0)
    status = _cycle_status(day, schedule, tries)
    return PlanCycle(
        cycle_id=day.first.id,
        due_on=day.first.scheduled_on,
        status=status,
        amount=price.amount,
        currency=price.currency.upper(),
        tries=tries,
    )


def _cycle_status(day: DueDay, schedule: WireSchedule, tries: tuple[PlanTry, ...]) -> PlanCycleStatus:
    last = tries[-1].payment.status if tries else None
    if day.last.status == "skipped":
        return PlanCycleStatus.CANCELED
    if last is None:
        return PlanCycleStatus.SCHEDULED
    if last is PaymentStatus.SUCCEEDED:
        return PlanCycleStatus.PAID
    if last is PaymentStatus.PENDING:
        return PlanCycleStatus.ATTEMPTING
    is_used_up = day.tried > RETRIES or schedule.plan_status is PlanStatus.SUSPENDED
    return PlanCycleStatus.GIVEN_UP if is_used_up else PlanCycleStatus.RETRYING


def _try(day: DueDay, number: int, schedule: WireSchedule, charge: WireCharge | None) -> PlanTry:
    """One try; where its charge was not found, the occurrence's own word counts."""
    at = day.try_at(number)
    kind = TryKind.DUE if number == 1 else TryKind.RETRY
    if charge is not None:
        return PlanTry(number=number, kind=kind, at=at, payment=payment_of(charge, otherwise=at))
    is_paid = number == day.tried and day.last.status == "successful"
    price = schedule.charge or WireScheduleCharge(amount=0)
    payment = Payment(
        payment_id=day.charges.get(number, ""),
        status=PaymentStatus.SUCCEEDED if is_paid else PaymentStatus.FAILED,
        amount=price.amount,
        currency=price.currency.upper(),
        code_field=FAILURE,
        message=day.last.message if number == day.tried else None,
        created_at=at,
        method_token=price.card,
    )
    return PlanTry(number=number, kind=kind, at=at, payment=payment)


def plan_of(schedule: WireSchedule, cycles: tuple[PlanCycle, ...] = ()) -> Plan:
    """A schedule in our words."""
    price = schedule.charge
    return Plan(
        plan_id=schedule.id,
        status=schedule.plan_status,
        reference=schedule.reference,
        cycles=cycles,
        customer_reference=price.customer if price is not None else None,
        method_token=price.card if price is not None else None,
        next_due=tuple(datetime.combine(day, USUAL_HOUR) for day in schedule.next_days),
        because=f"the schedule is {schedule.status or 'in no known status'}",
    )


def gone(plan_id: str) -> Plan:
    """A schedule that is not there any more."""
    return Plan(plan_id=plan_id, status=PlanStatus.ENDED, because="Omise does not know the schedule")


def schedule_message(data: Mapping[str, Any], common: dict[str, Any]) -> PlanMessage:
    """Anything about a schedule: whatever its key says, the schedule is read afresh (sheet B7)."""
    wire = WireSchedule.model_validate(data)
    metadata = wire.charge.metadata if wire.charge is not None else {}
    reference = wire.charge.customer if wire.charge is not None else None
    return PlanMessage(
        kind=MessageKind.PLAN, subscription=text_in(metadata, SUBSCRIPTION), reference=reference or wire.id, **common
    )


def scheduled_charge_message(wire: WireCharge, common: dict[str, Any]) -> PlanMessage:
    """A charge that a schedule made: the schedule is read, which tells more than one charge."""
    subscription = text_in(wire.metadata, SUBSCRIPTION)
    return PlanMessage(
        kind=MessageKind.PLAN, subscription=subscription, reference=wire.customer or wire.schedule, **common
    )
