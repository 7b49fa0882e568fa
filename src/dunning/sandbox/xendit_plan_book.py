"""What the sandbox's Xendit writes down of recurring plans: plans, their calendars, cycles, tries. Sheet A2.2, A2.3.

Amounts are minor units. Instants are the plan's own clock, UTC, but for the anchor, which keeps the offset in which it
was given: days and months are counted there (sheet A5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from dunning.domain.months import later_month
from dunning.sandbox.book import Customer, Link, MetadataValue, Payment, Subscription

CURRENT, LEGACY = "2026-01-01", "2022-10-01"
"""The two contracts, by their `api-version`."""

PlanStatus = Literal["REQUIRES_ACTION", "PENDING", "ACTIVE", "INACTIVE"]
CycleStatus = Literal["SCHEDULED", "PENDING", "RETRYING", "SUCCEEDED", "FAILED", "CANCELLED"]
TryKind = Literal["INITIAL", "RETRY", "FORCED", "PAYMENT_LINK"]
CLOSED: frozenset[str] = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


@dataclass(frozen=True)
class Calendar:
    """When a plan's cycles are due, and how often a failed one is tried again.

    Attributes:
        anchor: as it was given, with its offset.
        gap_days: days between two tries; None: no retries.
        notified: which failed attempts are told to the customer by Xendit.
        schedule_id, reference: the legacy contract's own object.
    """

    interval: Literal["DAY", "WEEK", "MONTH", "YEAR"]
    count: int
    anchor: datetime
    total: int | None = None
    gap_days: int | None = None
    retries: int = 0
    notified: tuple[int, ...] = ()
    schedule_id: str = ""
    reference: str | None = None

    def instant(self, k: int) -> datetime:
        """The k-th instant of the calendar (0 is the anchor), UTC. A legacy anchor after the 28th moves to the 1st."""
        step = k * self.count
        if self.interval in ("DAY", "WEEK"):
            days = step * (7 if self.interval == "WEEK" else 1)
            return (self.anchor + timedelta(days=days)).astimezone(UTC)
        first = self.anchor
        if first.day > 28:
            following = later_month(first.date().replace(day=1), 1)
            first = first.replace(year=following.year, month=following.month, day=1)
        day = later_month(first.date(), step * (12 if self.interval == "YEAR" else 1))
        return first.replace(year=day.year, month=day.month, day=day.day).astimezone(UTC)

    def first_from(self, at: datetime, *, is_after: bool) -> datetime:
        """The first instant at or (`is_after`) after `at`."""
        k = 0
        while (found := self.instant(k)) < at or (is_after and found == at):
            k += 1
        return found


@dataclass
class Action:
    """One token tried within one try, with the payment that it made."""

    attempt_number: int
    action_number: int
    kind: TryKind
    created_at: datetime
    payment: Payment
    next_retry_at: datetime | None = None
    link: Link | None = None
    link_url: str | None = None


@dataclass
class Trying:
    """A try under way: the tokens that are still to be tried, and where the cycle stood before."""

    kind: TryKind
    number: int
    tokens: list[str]
    before: CycleStatus
    forced_amount: int | None = None
    decline: str | None = None


@dataclass
class Cycle:
    """One cycle. `scheduled_at` moves with each retry, as Xendit's does; `retries` counts those planned so far."""

    cycle_id: str
    kind: Literal["SCHEDULED", "IMMEDIATE"]
    number: int
    scheduled_at: datetime
    amount: int
    currency: str
    created_at: datetime
    updated_at: datetime
    status: CycleStatus = "SCHEDULED"
    metadata: dict[str, MetadataValue] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    retries: int = 0
    attempts: int = 0
    forced: int = 0
    trying: Trying | None = None


@dataclass(frozen=True)
class Notice:
    """A message that Xendit itself would have sent to the customer."""

    occasion: Literal["created", "succeeded", "failed"]
    channel: str
    attempt: int | None


@dataclass
class Plan:
    """A recurring plan. `contract`: the version in which it was made, and in which its messages speak.

    Attributes:
        agreement: its entry in the shared books, under which its payments stand and its script is found.
        channels: by occasion (`created`, `succeeded`, `failed`), on which Xendit tells the customer.
        told: the latest business instant that anybody named; None: it runs by the machine clock.
        moment: the instant of the step that is being run.
        notices: what Xendit itself told the customer.
    """

    plan_id: str
    contract: str
    reference: str
    agreement: Subscription
    customer: Customer
    currency: str
    amount: int
    tokens: list[str]
    calendar: Calendar
    created_at: datetime
    updated_at: datetime
    status: PlanStatus = "PENDING"
    failure_code: str | None = None
    is_immediate: bool = False
    on_failure: Literal["RESUME", "STOP"] = "RESUME"
    channels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    has_payment_links: bool = False
    fields: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, MetadataValue] = field(default_factory=dict)
    cycles: list[Cycle] = field(default_factory=list)
    link: Link | None = None
    link_url: str | None = None
    base_url: str = ""
    told: datetime | None = None
    moment: datetime | None = None
    notices: list[Notice] = field(default_factory=list)

    @property
    def is_legacy(self) -> bool:
        """Whether it was made by the guide's contract."""
        return self.contract == LEGACY

    def cycle(self, cycle_id: str) -> Cycle | None:
        """One of its cycles."""
        return next((one for one in self.cycles if one.cycle_id == cycle_id), None)
