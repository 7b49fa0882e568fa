"""Schedules in the sandbox's Omise: which days are due, and what is charged when their instant comes. Sheet B4 to B6.

They run on business time, as told by whoever asks (`x-dunning-business-at`) or by the control API's `advance`. A failed
day is tried again on the next two days, whatever the reason; then the schedule is suspended for good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from dunning.sandbox.book import MetadataValue, Payment, PaymentMethod, Subscription, new_id

RUNS_AT = time(1, 30, tzinfo=UTC)
"""When Omise was seen to charge (sheet B6)."""
RETRIES = 2
MAX_SHOWN = 30
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ORDINALS = ("first", "second", "third", "fourth", "last")
FAR = date(2200, 1, 1)

Charge = Callable[["OmiseSchedule", datetime], Payment]


@dataclass
class Occurrence:
    """One due day. The same object serves its retries."""

    occurrence_id: str
    scheduled_on: date
    status: str = "scheduled"
    retry_on: date | None = None
    processed_at: datetime | None = None
    result: str | None = None
    message: str | None = None
    tries: int = 0


@dataclass
class OmiseSchedule:
    """A schedule, with what it has done. Amounts are minor units; days are plain dates."""

    schedule_id: str
    customer: Subscription
    every: int
    period: str
    on: dict[str, Any]
    start: date
    end: date
    amount: int
    currency: str
    created_at: datetime
    card: PaymentMethod | None = None
    description: str | None = None
    metadata: dict[str, MetadataValue] = field(default_factory=dict)
    status: str = "running"
    occurrences: list[Occurrence] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        """Whether it charges any more."""
        return self.status in ("running", "expiring")

    def days(self, after: date) -> Iterator[date]:
        """Due days later than `after`, to the end, which is inclusive."""
        for day in self._all():
            if day > self.end:
                return
            if day > after and day >= self.start:
                yield day

    def next_days(self) -> list[date]:
        """The days to come, as the API shows them; none once it is over."""
        if not self.runs:
            return []
        last = self.occurrences[-1].scheduled_on if self.occurrences else date.min
        found: list[date] = []
        for day in self.days(last):
            found.append(day)
            if len(found) == MAX_SHOWN:
                break
        return found

    def _all(self) -> Iterator[date]:
        at = self.start
        while at < FAR:
            yield from self._in_period(at)
            at = self._later(at)

    def _later(self, at: date) -> date:
        if self.period == "month":
            months = at.year * 12 + at.month - 1 + self.every
            return date(months // 12, months % 12 + 1, 1)
        return at + timedelta(days=self.every if self.period == "day" else 7 * self.every)

    def _in_period(self, at: date) -> list[date]:
        if self.period == "day":
            return [at]
        if self.period == "week":
            monday = at - timedelta(days=at.weekday())
            return sorted(monday + timedelta(days=WEEKDAYS.index(day)) for day in self.on["weekdays"])
        if "weekday_of_month" in self.on:
            ordinal, weekday = str(self.on["weekday_of_month"]).split("_")
            return [_weekday_of_month(at, ordinal, WEEKDAYS.index(weekday))]
        return sorted(at.replace(day=day) for day in self.on["days_of_month"])


def _weekday_of_month(at: date, ordinal: str, weekday: int) -> date:
    first = at.replace(day=1)
    found = [day for n in range(31) if (day := first + timedelta(days=n)).month == first.month]
    wanted = [day for day in found if day.weekday() == weekday]
    return wanted[-1] if ordinal == "last" else wanted[ORDINALS.index(ordinal)]


class Scheduler:
    """Runs what is due."""

    def __init__(self, charge: Charge, tell: Callable[[str, OmiseSchedule], None]) -> None:
        self.schedules: dict[str, OmiseSchedule] = {}
        self._charge = charge
        self._tell = tell

    def add(self, schedule: OmiseSchedule) -> OmiseSchedule:
        """Write a schedule down and tell of it."""
        self.schedules[schedule.schedule_id] = schedule
        self._tell("schedule.create", schedule)
        return schedule

    def destroy(self, schedule: OmiseSchedule) -> None:
        """For good."""
        if schedule.status != "deleted":
            schedule.status = "deleted"
            self._tell("schedule.destroy", schedule)

    def of(self, customer: Subscription) -> list[OmiseSchedule]:
        """One customer's, in the order of their making."""
        return [one for one in self.schedules.values() if one.customer is customer]

    def advance(self, business_now: datetime, customer: Subscription | None = None) -> None:
        """Charge everything whose instant has come, in its order."""
        for schedule in list(self.schedules.values()):
            if customer is None or schedule.customer is customer:
                while schedule.runs and (due := self._next(schedule)) is not None and due[0] <= business_now:
                    self._run(schedule, *due)

    def next_at(self, customer: Subscription) -> datetime | None:
        """When one of a customer's charges next; None: never."""
        running = [self._next(one) for one in self.of(customer) if one.runs]
        return min((one[0] for one in running if one is not None), default=None)

    def _next(self, schedule: OmiseSchedule) -> tuple[datetime, Occurrence | None] | None:
        """The next instant to charge at: a retry, or the next due day (None: a new occurrence)."""
        waiting = [one for one in schedule.occurrences if one.retry_on is not None and one.status == "failed"]
        found = [(datetime.combine(one.retry_on or FAR, RUNS_AT), one) for one in waiting]
        days = schedule.next_days()
        new = [(datetime.combine(days[0], RUNS_AT), None)] if days else []
        return min([*found, *new], key=lambda one: one[0], default=None)

    def _run(self, schedule: OmiseSchedule, at: datetime, again: Occurrence | None) -> None:
        occurrence = again or Occurrence(new_id("occu_test"), at.date())
        if again is None:
            schedule.occurrences.append(occurrence)
        payment = self._charge(schedule, at)
        occurrence.tries += 1
        occurrence.processed_at, occurrence.result = at, payment.payment_id
        occurrence.status = "successful" if payment.status == "succeeded" else "failed"
        occurrence.message = None if occurrence.status == "successful" else payment.error_code
        if occurrence.status == "successful":
            occurrence.retry_on = None if again is None else occurrence.retry_on
        elif occurrence.tries <= RETRIES:
            occurrence.retry_on = at.date() + timedelta(days=1)
        else:
            schedule.status = "suspended"
            self._tell("schedule.suspend", schedule)
            return
        self._see_end(schedule)

    def _see_end(self, schedule: OmiseSchedule) -> None:
        left = len(schedule.next_days())
        is_retrying = any(one.status == "failed" for one in schedule.occurrences)
        if left == 0 and not is_retrying:
            schedule.status = "expired"
            self._tell("schedule.expire", schedule)
        elif left == 1 and schedule.status == "running":
            schedule.status = "expiring"
            self._tell("schedule.expiring", schedule)
