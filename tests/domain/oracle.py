"""A second opinion on calendars, by python-dateutil: it shares no line with the code under test.

It walks forward, instant by instant, where the product code counts. Slow, plain, and independent.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import count, islice
from typing import Any

from dateutil.relativedelta import relativedelta
from dateutil.rrule import DAILY, MONTHLY, WEEKLY, YEARLY, rrule, weekdays

NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PLACES = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}


@dataclass(frozen=True)
class Given:
    """A schedule as the backend would give it; `anchor` has its fixed offset, `on` is the plain JSON."""

    anchor: datetime
    interval: str
    interval_count: int
    on: dict[str, Any] | None
    authorized_at: datetime
    start_at: datetime | None = None
    trial_ends_at: datetime | None = None
    end_at: datetime | None = None
    total_cycles: int | None = None
    immediate: bool = False

    @property
    def allowed_from(self) -> datetime:
        return max(t for t in (self.authorized_at, self.start_at, self.trial_ends_at) if t is not None)


def cycles(given: Given, number: int) -> list[datetime]:
    """The due instants of the first `number` cycles, in UTC; fewer where the calendar ends sooner."""
    wanted = number if given.total_cycles is None else min(number, given.total_cycles)
    found: list[datetime] = []
    for at in islice(_billed(given), wanted):
        if given.end_at is not None and at > given.end_at:
            break
        found.append(at)
    return found


def _billed(given: Given) -> Iterator[datetime]:
    allowed = given.allowed_from
    if given.immediate:
        yield allowed.astimezone(UTC)
    for at in _instants(given):
        is_early = at <= allowed if given.immediate else at < allowed
        if not is_early and at >= given.anchor:
            yield at


def _instants(given: Given) -> Iterator[datetime]:
    """Every instant of the calendar from the anchor's own period on, without end."""
    offset = given.anchor.utcoffset()
    assert offset is not None
    zone = timezone(offset)
    for local in _local(given, given.anchor.replace(tzinfo=None)):
        yield local.replace(tzinfo=zone).astimezone(UTC)


def _local(given: Given, anchor: datetime) -> Iterator[datetime]:
    step, on = given.interval_count, given.on
    if on is None and given.interval in ("DAY", "WEEK"):
        # rrule drops microseconds: the generators below use whole seconds
        return iter(rrule(DAILY if given.interval == "DAY" else WEEKLY, interval=step, dtstart=anchor))
    if on is None:
        if given.interval == "MONTH":
            return (anchor + relativedelta(months=step * i) for i in count())
        return (anchor + relativedelta(years=step * i) for i in count())
    if "weekdays" in on:
        chosen = [weekdays[NAMES.index(name)] for name in on["weekdays"]]
        monday = anchor - timedelta(days=anchor.weekday())
        return iter(rrule(WEEKLY, interval=step, wkst=weekdays[0], byweekday=chosen, dtstart=monday))
    if "weekday_of_month" in on:
        place, name = str(on["weekday_of_month"]).split("_")
        day = weekdays[NAMES.index(name)](PLACES[place])
        first = anchor.replace(day=1)
        if given.interval == "MONTH":
            return iter(rrule(MONTHLY, interval=step, byweekday=day, dtstart=first))
        return iter(rrule(YEARLY, interval=step, bymonth=anchor.month, byweekday=day, dtstart=first))
    return _days_of_month(anchor, step * (1 if given.interval == "MONTH" else 12), on["days_of_month"])


def _days_of_month(anchor: datetime, step: int, listed: object) -> Iterator[datetime]:
    assert isinstance(listed, list)
    first = anchor.replace(day=1)
    for i in count():
        month = first + relativedelta(months=step * i)
        yield from sorted({month + relativedelta(day=day) for day in listed})  # an absolute `day` clamps


def is_clamped(given: Given, dues: list[datetime]) -> bool:
    """Whether any of these instants stands on a shorter month's last day instead of the day asked for."""
    if given.interval in ("DAY", "WEEK"):
        return False
    wanted = [given.anchor.day] if given.on is None else given.on.get("days_of_month", [])
    assert isinstance(wanted, list)
    calendar_dues = dues[1:] if given.immediate else dues
    for due in calendar_dues:
        local = due.astimezone(given.anchor.tzinfo)
        length = (local + relativedelta(day=31)).day
        if local.day == length and any(day > length for day in wanted):
            return True
    return False


# --- random calendars ------------------------------------------------------------------------------

FORMS = (
    "DAY",
    "WEEK",
    "MONTH",
    "YEAR",
    "days_of_month",
    "weekdays",
    "weekday_of_month",
)
_OFFSETS = (0, 0, 420, -300, 330, 345, 540, 765, 840, -720, -210)
_EPOCH = datetime.fromisoformat("1995-01-01")
_REACH = {"DAY": 300, "WEEK": 1000, "MONTH": 2000, "YEAR": 4000}


def random_given(form: str, rng: random.Random) -> Given:
    """A random schedule of this form; month ends are frequent on purpose."""
    interval, on = _random_form(form, rng)
    anchor = _random_anchor(rng, is_leap_day=form == "YEAR" and rng.random() < 0.4)
    reach = _REACH[interval]
    authorized = anchor + timedelta(days=rng.randint(-60, reach), seconds=rng.randint(-4000, 4000))
    if rng.random() < 0.15:
        authorized = anchor

    def sometimes(share: float, low: int, high: int) -> datetime | None:
        return authorized + timedelta(days=rng.randint(low, high)) if rng.random() < share else None

    return Given(
        anchor=anchor,
        interval=interval,
        interval_count=rng.choice((1, 1, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13)),
        on=on,
        authorized_at=authorized.astimezone(UTC),
        start_at=sometimes(0.25, -30, 200),
        trial_ends_at=sometimes(0.25, 0, 90),
        end_at=sometimes(0.2, 0, 2 * reach),
        total_cycles=rng.randint(1, 20) if rng.random() < 0.2 else None,
        immediate=rng.random() < 0.3,
    )


def _random_form(form: str, rng: random.Random) -> tuple[str, dict[str, object] | None]:
    if form == "days_of_month":
        pool = range(27, 32) if rng.random() < 0.6 else range(1, 32)
        days = sorted(rng.sample(pool, rng.randint(1, 4)))
        return rng.choice(("MONTH", "MONTH", "MONTH", "YEAR")), {form: days}
    if form == "weekdays":
        return "WEEK", {form: rng.sample(NAMES, rng.randint(1, 7))}
    if form == "weekday_of_month":
        name = f"{rng.choice(list(PLACES))}_{rng.choice(NAMES)}"
        return rng.choice(("MONTH", "MONTH", "MONTH", "YEAR")), {form: name}
    return form, None


def _random_anchor(rng: random.Random, *, is_leap_day: bool) -> datetime:
    local = _EPOCH + timedelta(days=rng.randint(0, 20_000), seconds=rng.randint(0, 86_399))
    if is_leap_day:
        local = local.replace(year=local.year - local.year % 4, month=2, day=29)
    elif rng.random() < 0.5:
        local += relativedelta(day=rng.randint(29, 31))
    return local.replace(tzinfo=timezone(timedelta(minutes=rng.choice(_OFFSETS))))
