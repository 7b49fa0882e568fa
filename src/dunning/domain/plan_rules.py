"""What each provider's own plans can and cannot do, as data. SPEC 9, 12.

The engine reads these rules and never asks which provider it has. They are rules of the state: an edit that changes
what a running subscription does needs a new `rules_version` (SPEC 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from dunning.domain.base import Value
from dunning.domain.calendar import INTERVALS_OF_ON, Calendar, Interval, open_calendar
from dunning.domain.fields import BrokenRule
from dunning.domain.scheduling import Schedule

FORESEEN = 40
"""Due days that are looked at for their gaps: more than a year of the closest calendars that are let through."""


class Means(StrEnum):
    """How a command is carried out where the provider runs the calendar. SPEC 9.

    `engine`: as everywhere, nothing changes at the plan. `plan`: a change of the plan, and what it means to us once
    the provider has taken it. `take_over`: the plan is ended, read back, and the engine carries it out. `end_plan`:
    as everywhere, and the plan is ended at once. `app`: only the customer can, in the product's app: nothing changes
    at once, and the answer is what the app has to pass on. `refused`: never, with the reason.
    """

    ENGINE = "engine"
    PLAN = "plan"
    TAKE_OVER = "take_over"
    END_PLAN = "end_plan"
    APP = "app"
    REFUSED = "refused"


class Way(Value):
    """One cell of SPEC 9's provider columns. `because`: why it is refused."""

    means: Means
    because: str = ""


class Expressible(Value):
    """The calendars that a plan can follow.

    Attributes:
        last_day: the last day of a month that may be named.
        is_any_anchor_bound: the anchor's day is bound by it whatever the interval; else only where it gives the day.
        forms: forms of `on`.
        charges_at_once: `immediate_action: FULL_AMOUNT` is something it can do.
        most_intervals: the most of `interval_count`; None: no limit is published.
        least_gap_days: two due days lie at least so far apart, so that retries never meet the next charge.
    """

    last_day: int = 28
    is_any_anchor_bound: bool = False
    intervals: tuple[Interval, ...] = tuple(Interval)
    forms: tuple[str, ...] = ()
    charges_at_once: bool = True
    most_intervals: int | None = None
    least_gap_days: int = 0


class PlanRules(Value):
    """One provider's plans.

    Attributes:
        native_days: the days after the due day on which the provider tries again, whatever we ask for; None: its
            retries are those of the terms.
        resumes: it goes on with later cycles after it gave one up. False: it stops for good (suspends).
        hands_over: what is left after it stopped is the engine's: the rungs it did not use, and later cycles.
        lateness: how late a fact may be before we ask. SPEC 12.
        is_immutable: a plan cannot be changed: a new one is made, then the old one ended.
        is_mandate: the plan is the authorisation itself: it is made first, and its link is the mandate's.
        owns_access: it states who has access until when, and we only repeat it (Play).
        max_forced: forced attempts of one cycle; 0: it cannot be forced.
        calendar: what it can express; None: it is not made by us, so nothing has to be expressed.
        ways: what each command does; a command that is not named is `engine`.
    """

    provider: str
    native_days: tuple[int, ...] | None = None
    resumes: bool = True
    hands_over: bool = False
    lateness: timedelta = timedelta(hours=24)
    is_immutable: bool = False
    is_mandate: bool = False
    owns_access: bool = False
    max_forced: int = 0
    calendar: Expressible | None = None
    ways: Mapping[str, Way] = {}

    def way(self, command: str) -> Way:
        """How a command is carried out."""
        return self.ways.get(command, _ENGINE)


_ENGINE = Way(means=Means.ENGINE)
_PLAN = Way(means=Means.PLAN)
_TAKE_OVER = Way(means=Means.TAKE_OVER)
_END = Way(means=Means.END_PLAN)
_APP = Way(means=Means.APP)


def _never(because: str) -> Way:
    return Way(means=Means.REFUSED, because=because)


PLAN_RULES: Mapping[str, PlanRules] = {
    # Sheet B5: tried on D, D+1, D+2, whatever the reason of the decline; then suspended and never runs again.
    # Sheet B2.2: no update, no pause. Days are plain dates and their zone is not documented: a day late is not late.
    "omise": PlanRules(
        provider="omise",
        native_days=(1, 2),
        resumes=False,
        hands_over=True,
        lateness=timedelta(hours=24),
        is_immutable=True,
        calendar=Expressible(forms=tuple(INTERVALS_OF_ON), charges_at_once=False, least_gap_days=3),
        ways={
            "cancel": _END,
            "revoke": _END,
            "restore": _TAKE_OVER,
            "pause": _TAKE_OVER,
            "resume": _TAKE_OVER,
            "defer": _TAKE_OVER,
            "change_items": _TAKE_OVER,
            "change_price": _TAKE_OVER,
            "confirm_price": _TAKE_OVER,
            "retry_now": _never("Omise tries this cycle by itself until its third try; wait until it has given up"),
            "skip_cycle": _never("an Omise schedule cannot leave a cycle out; pause takes the calendar over"),
            "set_policy": _never("an Omise schedule keeps its own retries; pause takes the calendar over"),
        },
    ),
    # Sheet A2.2, A4: uniform gaps as asked for, days up to 28, runs up to 24 h late, at most 5 forced attempts.
    "xendit": PlanRules(
        provider="xendit",
        is_mandate=True,
        max_forced=5,
        calendar=Expressible(is_any_anchor_bound=True, most_intervals=365),
        ways={
            "cancel": _END,
            "revoke": _END,
            "restore": _never("a Xendit plan that was deactivated cannot be activated again; start it anew"),
            "pause": _PLAN,
            "defer": _PLAN,
            "retry_now": _PLAN,
            "update_payment_method": _PLAN,
            "change_items": _PLAN,
            "change_price": _PLAN,
            "skip_cycle": _PLAN,
            "set_policy": _PLAN,
        },
    ),
    # Play bills, retries and states access by itself; only what its API offers can be asked for.
    "google_play": PlanRules(
        provider="google_play",
        native_days=(),
        is_mandate=True,
        owns_access=True,
        lateness=timedelta(minutes=15),
        ways={
            "cancel": _PLAN,
            "refund": _PLAN,
            "revoke": _PLAN,
            "restore": _never("only the customer can restore it, in Google Play"),
            "pause": _never("only the customer can pause it, in Google Play"),
            "resume": _never("only the customer can resume it, in Google Play"),
            "defer": _PLAN,
            "charge": _never("Google Play charges nothing on demand"),
            "retry_now": _never("Google Play retries by itself and cannot be asked to"),
            "update_payment_method": _never("only the customer can change it, in Google Play"),
            "change_items": _APP,
            "change_price": _never("Google Play moves prices by cohort, not by subscriber"),
            "confirm_price": _never("Google Play moves prices by cohort, not by subscriber"),
            "skip_cycle": _never("Google Play skips no cycle"),
            "set_policy": _never("Google Play keeps its own retries"),
        },
    ),
}
"""By provider."""


def calendar_faults(rules: PlanRules, schedule: Schedule, *, is_immediate: bool) -> Iterator[BrokenRule]:
    """What of a schedule this provider's plan cannot follow: field, rule (with the alternative) and value."""
    can = rules.calendar
    if can is None:
        return
    name = rules.provider
    other = "collection engine follows any"
    if schedule.interval not in can.intervals:
        words = ", ".join(one.value for one in can.intervals)
        yield BrokenRule("schedule.interval", f"must be one of {words} for {name}; {other}", schedule.interval.value)
    if can.most_intervals is not None and schedule.interval_count > can.most_intervals:
        rule = f"must be at most {can.most_intervals} for {name}; {other}"
        yield BrokenRule("schedule.interval_count", rule, schedule.interval_count)
    if schedule.on is not None and schedule.on.form not in can.forms:
        rule = "is not something that this provider's calendar can follow; collection engine does"
        yield BrokenRule("schedule.on", rule, "given")
    yield from _day_faults(can, schedule)
    yield from _gap_faults(can, schedule, name)
    if is_immediate and not can.charges_at_once:
        rule = f"must be NONE: the first charge of {name}'s own calendar lies a day ahead; collection engine does it"
        yield BrokenRule("immediate_action", rule, "FULL_AMOUNT")


def _day_faults(can: Expressible, schedule: Schedule) -> Iterator[BrokenRule]:
    days = schedule.on.days_of_month if schedule.on is not None else None
    for place, day in enumerate(days or ()):
        if day > can.last_day:
            rule = f"must be 1 to {can.last_day} for this provider; collection engine clamps later days"
            yield BrokenRule(f"schedule.on.days_of_month.{place}", rule, day)
    anchor = schedule.anchor_at
    gives_day = schedule.on is None and schedule.interval in (Interval.MONTH, Interval.YEAR)
    if (gives_day or can.is_any_anchor_bound) and anchor.day > can.last_day:
        rule = f"must be on day 1 to {can.last_day} of its month; collection engine follows any day"
        yield BrokenRule("schedule.anchor_at", rule, anchor.isoformat())


def _gap_faults(can: Expressible, schedule: Schedule, name: str) -> Iterator[BrokenRule]:
    """What happens when a retry and the next due day meet is documented nowhere, so it is not risked."""
    least = timedelta(days=can.least_gap_days)
    calendar = _calendar(schedule, schedule.anchor_at)
    days = [due for number in range(1, FORESEEN) if (due := calendar.due_if_any(number)) is not None]
    if any(after - before < least for before, after in pairwise(days)):
        field = "schedule.interval_count" if schedule.on is None else "schedule.on"
        rule = f"must leave {can.least_gap_days} days between two charges, {name} retries in between"
        value = schedule.interval_count if schedule.on is None else "given"
        yield BrokenRule(field, f"{rule}; collection engine follows any", value)


def too_soon(rules: PlanRules, schedule: Schedule, at: datetime) -> Iterator[BrokenRule]:
    """The first charge lies at least a day ahead where the plan cannot charge at once (Omise's guide)."""
    if rules.calendar is None or rules.calendar.charges_at_once:
        return
    calendar = _calendar(schedule, at)
    first = calendar.due_if_any(1)
    zone = schedule.anchor_at.tzinfo
    if first is not None and first.astimezone(zone).date() <= at.astimezone(zone).date():
        rule = f"must lie at least a day ahead for {rules.provider}'s own calendar; collection engine charges today"
        yield BrokenRule("schedule.anchor_at", rule, schedule.anchor_at.isoformat())


def _calendar(schedule: Schedule, authorized_at: datetime) -> Calendar:
    return open_calendar(
        anchor_at=schedule.anchor_at,
        interval=schedule.interval,
        interval_count=schedule.interval_count,
        on=schedule.on,
        start_at=schedule.start_at,
        end_at=schedule.end_at,
        total_cycles=schedule.total_cycles,
        trial_ends_at=schedule.trial_ends_at,
        authorized_at=authorized_at,
        immediate=False,
    )
