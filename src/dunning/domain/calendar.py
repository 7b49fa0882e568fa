"""When cycles are due. SPEC 5.

`due(n) = anchor + (k + n - n0) x interval`: every instant is computed from the anchor, never from the one before,
so nothing drifts: Jan 31 -> Feb 28 -> Mar 31. Days are counted in the fixed UTC offset of the anchor (the 1st is
the 1st in Jakarta); results are in UTC.
"""

from __future__ import annotations

import calendar as gregorian
from bisect import bisect_left
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from pydantic import Field, field_validator, model_validator

from dunning.domain.base import Value

FAR = 4000
"""Years beyond this end a calendar; no date library reaches much further."""


class Interval(StrEnum):
    """The unit of a period."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    YEAR = "YEAR"


class Weekday(StrEnum):
    """A day of the week; the order is that of `date.weekday()`."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


_WEEKDAYS = list(Weekday)
ORDINALS = ("first", "second", "third", "fourth", "last")
WEEKDAYS_OF_MONTH = tuple(f"{o}_{d.value}" for o in ORDINALS for d in Weekday)


class On(Value):
    """Which days of a period are due; exactly one of the three forms."""

    days_of_month: tuple[int, ...] | None = None
    weekdays: tuple[Weekday, ...] | None = None
    weekday_of_month: str | None = None

    @field_validator("days_of_month")
    @classmethod
    def _are_days(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or any(not 1 <= d <= 31 for d in value)):
            raise ValueError("must be one or more days from 1 to 31")
        return value if value is None else tuple(sorted(set(value)))

    @field_validator("weekdays")
    @classmethod
    def _are_weekdays(cls, value: tuple[Weekday, ...] | None) -> tuple[Weekday, ...] | None:
        if value is not None and not value:
            raise ValueError("must name one or more weekdays")
        return value if value is None else tuple(sorted(set(value), key=_WEEKDAYS.index))

    @field_validator("weekday_of_month")
    @classmethod
    def _is_weekday_of_month(cls, value: str | None) -> str | None:
        if value is not None and value not in WEEKDAYS_OF_MONTH:
            raise ValueError("must be like first_monday or last_friday (first to fourth, last)")
        return value

    @model_validator(mode="after")
    def _is_one_form(self) -> On:
        given = [f for f in (self.days_of_month, self.weekdays, self.weekday_of_month) if f is not None]
        if len(given) != 1:
            raise ValueError("must have exactly one of days_of_month, weekdays, weekday_of_month")
        return self


class Moved(Value):
    """One due instant that was moved by itself (`defer` with `on`)."""

    number: int
    at: datetime


class Calendar(Value):
    """The calendar of one subscription, as numbers in the state.

    Attributes:
        anchor_at: keeps its fixed UTC offset; `index` 0 is its own period.
        k, n0: cycle `n0` stands at index `k`; SPEC 5's `(anchor, k, n0)`.
        immediate_at: the instant of cycle 1 when the full amount is due at the authorisation.
        end_at: inclusive.
    """

    anchor_at: datetime
    interval: Interval
    interval_count: int = Field(default=1, ge=1)
    on: On | None = None
    k: int = 0
    n0: int = 1
    immediate_at: datetime | None = None
    end_at: datetime | None = None
    total_cycles: int | None = None
    moved: tuple[Moved, ...] = ()

    def due(self, number: int) -> datetime:
        """When cycle `number` is due, in UTC. Raises `OverflowError` beyond the range of dates."""
        for moved in self.moved:
            if moved.number == number:
                return moved.at
        if number == 1 and self.immediate_at is not None:
            return self.immediate_at
        return self._at(self.k + number - self.n0)

    def has_cycle(self, number: int) -> bool:
        """Whether the calendar reaches cycle `number`; its end is inclusive."""
        if self.total_cycles is not None and number > self.total_cycles:
            return False
        try:
            due = self.due(number)
        except (OverflowError, ValueError):
            return False
        return self.end_at is None or due <= self.end_at

    def period(self, number: int) -> tuple[datetime, datetime]:
        """From the due instant of a cycle to that of the next, whether or not the calendar goes on."""
        return self.due(number), self.due(number + 1)

    def first_number_at_or_after(self, instant: datetime, *, after_number: int) -> int:
        """The first cycle later than `after_number` whose due instant is not before `instant`."""
        low = after_number + 1
        if self.due(low) >= instant:
            return low
        step = 1
        while self.due(low + step) < instant:
            low, step = low + step, step * 2
        span = range(low + 1, low + step + 1)
        return span[bisect_left(span, instant, key=self.due)]

    def deferred(self, number: int, days: int) -> Calendar:
        """Cycle `number` moves by `days` and the calendar is anchored there; with `on` only that instant moves."""
        at = self.due(number) + timedelta(days=days)
        if self.on is not None:
            others = tuple(m for m in self.moved if m.number != number)
            return self.but(moved=(*others, Moved(number=number, at=at)))
        return self._anchored(at, number, index=0)

    def reanchored(self, number: int, at: datetime) -> Calendar:
        """After a recovery in hold at `at`: cycle `number` is one interval later; with `on` the next listed one."""
        if self.on is not None:
            index = self._first_index(at, inclusive=False)
            return self.but(k=index, n0=number, moved=(), immediate_at=None)
        return self._anchored(at, number, index=1)

    def _anchored(self, at: datetime, number: int, index: int) -> Calendar:
        anchor = at.astimezone(self.anchor_at.tzinfo)
        return self.but(anchor_at=anchor, k=index, n0=number, moved=(), immediate_at=None)

    # --- instants by index, counted from the anchor's own period --------------------------------

    def _at(self, index: int) -> datetime:
        return (self._plain(index) if self.on is None else self._listed(index)).astimezone(UTC)

    def _plain(self, index: int) -> datetime:
        anchor, steps = self.anchor_at, index * self.interval_count
        if self.interval is Interval.DAY:
            return anchor + timedelta(days=steps)
        if self.interval is Interval.WEEK:
            return anchor + timedelta(weeks=steps)
        return self._on_date(_month_date(anchor.date(), steps * self._months))

    @property
    def _months(self) -> int:
        return 12 if self.interval is Interval.YEAR else 1

    def _on_date(self, day: date) -> datetime:
        return self.anchor_at.replace(year=day.year, month=day.month, day=day.day)

    def _listed(self, index: int) -> datetime:
        """The `index`-th listed day, counted from the first one in the anchor's period."""
        on, anchor = self.on, self.anchor_at
        if on is None:
            return self._plain(index)
        if on.weekdays is not None:
            period, place = divmod(index, len(on.weekdays))
            monday = anchor.date() - timedelta(days=anchor.weekday())
            week = monday + timedelta(weeks=period * self.interval_count)
            return self._on_date(week + timedelta(days=_WEEKDAYS.index(on.weekdays[place])))
        if on.weekday_of_month is not None:
            first = _month_date(anchor.date().replace(day=1), index * self.interval_count * self._months)
            return self._on_date(_weekday_of_month(first.year, first.month, on.weekday_of_month))
        return self._on_date(self._day_of_month(index))

    def _day_of_month(self, index: int) -> date:
        """Days are clamped and de-duplicated month by month, so months may hold fewer instants than days listed."""
        listed = self.on.days_of_month if self.on is not None and self.on.days_of_month is not None else ()
        anchor, step = self.anchor_at.date().replace(day=1), self.interval_count * self._months
        if len(listed) == 1 or listed[-2] <= 28:
            period, place = divmod(index, len(listed))
            first = _month_date(anchor, period * step)
            return first.replace(day=min(listed[place], _length(first)))
        return _walk(anchor, step, listed, index)

    def _first_index(self, instant: datetime, *, inclusive: bool) -> int:
        """The first index at or after (not inclusive: after) `instant`, never before the anchor itself."""

        def is_early(index: int) -> bool:
            at = self._at(index)
            early = at < self.anchor_at or at < instant
            return early or (not inclusive and at <= instant)

        low, high = -1, 1
        while is_early(high):
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if is_early(middle) else (low, middle)
        return high


def open_calendar(
    *,
    anchor_at: datetime,
    interval: Interval,
    interval_count: int,
    on: On | None,
    start_at: datetime | None,
    end_at: datetime | None,
    total_cycles: int | None,
    trial_ends_at: datetime | None,
    authorized_at: datetime,
    immediate: bool,
) -> Calendar:
    """The calendar from the authorisation on.

    Instants before the authorisation, `start_at` and the trial's end give the phase only: cycle 1 is the first
    at or after all of them. With `immediate`, cycle 1 is due at the authorisation itself (or when the start and
    the trial allow) and cycle 2 is the first calendar instant after it.
    """
    calendar = Calendar(
        anchor_at=anchor_at,
        interval=interval,
        interval_count=interval_count,
        on=on,
        end_at=end_at,
        total_cycles=total_cycles,
    )
    not_before = max(t for t in (authorized_at, start_at, trial_ends_at) if t is not None).astimezone(UTC)
    index = calendar._first_index(not_before, inclusive=not immediate)
    if immediate:
        return calendar.but(k=index, n0=2, immediate_at=not_before)
    return calendar.but(k=index, n0=1)


def _length(day: date) -> int:
    return gregorian.monthrange(day.year, day.month)[1]


def _month_date(day: date, months: int) -> date:
    """`day` so many months later, clamped to the month's length."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not 1 <= year <= FAR:
        raise OverflowError("the calendar has no end within the range of dates")
    return date(year, month + 1, min(day.day, gregorian.monthrange(year, month + 1)[1]))


def _weekday_of_month(year: int, month: int, name: str) -> date:
    ordinal, day = name.split("_")
    wanted = _WEEKDAYS.index(Weekday(day))
    first = date(year, month, 1)
    start = first + timedelta(days=(wanted - first.weekday()) % 7)
    if ordinal == "last":
        last = start + timedelta(weeks=4)
        return last if last.month == month else start + timedelta(weeks=3)
    return start + timedelta(weeks=ORDINALS.index(ordinal))


def _clamped(first: date, listed: tuple[int, ...]) -> list[int]:
    return sorted({min(d, _length(first)) for d in listed})


def _walk(anchor: date, step: int, listed: tuple[int, ...], index: int) -> date:
    """Month by month: only where short months swallow one of several listed days."""
    first, sign = anchor, 1 if index >= 0 else -1
    left = index
    if sign < 0:
        while left < 0:
            first = _month_date(first, -step)
            left += len(_clamped(first, listed))
        return first.replace(day=_clamped(first, listed)[left])
    while left >= len(days := _clamped(first, listed)):
        left -= len(days)
        first = _month_date(first, step)
    return first.replace(day=days[left])
