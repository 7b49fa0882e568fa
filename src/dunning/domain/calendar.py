"""When cycles are due. SPEC 5.

`due(n) = anchor + (k + n - n0) x interval`: every instant is computed from the anchor, never from the one
before, so nothing drifts: Jan 31 -> Feb 28 -> Mar 31. Days are counted in the fixed UTC offset of the anchor
(the 1st is the 1st in Jakarta); results are in UTC.

Where SPEC 5 is silent, never sooner than the backend or the customer was told:
- no instant before the anchor itself is billed, also when the anchor lies after the authorisation;
- `FULL_AMOUNT` with a start or a trial still to come is due when those allow, not at the authorisation;
- a deferred listed instant (`on`) swallows the listed ones that it passes, so cycles stay in order and no
  heap of missed cycles is charged after the deferral.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum

from pydantic import AwareDatetime, Field, field_validator, model_validator

from dunning.domain.base import Value
from dunning.domain.months import FAR, ORDINALS, later_month, listed_day, weekday_of_month

END_OF_DATES = datetime(FAR, 12, 31, tzinfo=UTC)
"""Where the period of a calendar's very last cycle ends."""


class Interval(StrEnum):
    """The unit of a period."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    YEAR = "YEAR"


_DAYS_OF = {Interval.DAY: 1, Interval.WEEK: 7}
_MONTHS_OF = {Interval.MONTH: 1, Interval.YEAR: 12}


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
WEEKDAYS_OF_MONTH = tuple(f"{o}_{d.value}" for o in ORDINALS for d in Weekday)

INTERVALS_OF_ON = {
    "days_of_month": (Interval.MONTH, Interval.YEAR),
    "weekdays": (Interval.WEEK,),
    "weekday_of_month": (Interval.MONTH, Interval.YEAR),
}
"""Which periods each form of `on` divides. Within a year it is the anchor's month."""


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
        if sum(getattr(self, form) is not None for form in INTERVALS_OF_ON) != 1:
            raise ValueError("must have exactly one of days_of_month, weekdays, weekday_of_month")
        return self

    @property
    def form(self) -> str:
        """The name of the one form that is given."""
        return next(form for form in INTERVALS_OF_ON if getattr(self, form) is not None)


class Moved(Value):
    """One due instant that was moved by itself (`defer` with `on`)."""

    number: int
    at: AwareDatetime


class Calendar(Value):
    """The calendar of one subscription, as numbers in the state.

    Numbers before the latest defer or recovery are history: their due instants stand with their obligations.

    Attributes:
        anchor_at: keeps its fixed UTC offset, also when serialised; `index` 0 is its own period.
        k, n0: cycle `n0` stands at index `k`; SPEC 5's `(anchor, k, n0)`.
        immediate_at: the instant of cycle 1 when the full amount is due at the authorisation.
        start_at: as the backend gave it; already contained in `not_before`.
        not_before: the latest of authorisation, `start_at` and the trial's end: no cycle is due before it.
        end_at: inclusive.
        total_cycles: numbers that a pause or a hold skipped count too.
        moved: exceptions to the formula.
    """

    anchor_at: AwareDatetime
    interval: Interval
    interval_count: int = Field(default=1, ge=1)
    on: On | None = None
    k: int = 0
    n0: int = 1
    immediate_at: AwareDatetime | None = None
    start_at: AwareDatetime | None = None
    not_before: AwareDatetime | None = None
    end_at: AwareDatetime | None = None
    total_cycles: int | None = Field(default=None, ge=1)
    moved: tuple[Moved, ...] = ()

    @field_validator("anchor_at")
    @classmethod
    def _has_fixed_offset(cls, value: datetime) -> datetime:
        """A zone with daylight saving is frozen to the offset at the anchor; JSON keeps whole minutes."""
        offset = value.utcoffset() or timedelta(0)
        if offset % timedelta(minutes=1):
            raise ValueError("must have an offset of whole minutes")
        return value.astimezone(timezone(offset) if offset else UTC)

    @model_validator(mode="after")
    def _fits_together(self) -> Calendar:
        if self.on is not None and self.interval not in INTERVALS_OF_ON[self.on.form]:
            raise ValueError(f"on: {self.on.form} does not divide an interval of {self.interval}")
        return self

    def due(self, number: int) -> datetime:
        """When cycle `number` is due, in UTC. Raises `OverflowError` beyond the range of dates."""
        for moved in self.moved:
            if moved.number == number:
                return moved.at
        if number == 1 and self.immediate_at is not None:
            return self.immediate_at
        return self._at(self.k + number - self.n0)

    def has_cycle(self, number: int) -> bool:
        """Whether the calendar reaches cycle `number` (from 1); its end is inclusive."""
        return self.due_if_any(number) is not None

    def due_if_any(self, number: int) -> datetime | None:
        """When cycle `number` is due, in UTC; None when the calendar does not reach it."""
        if number < 1 or (self.total_cycles is not None and number > self.total_cycles):
            return None
        try:
            due = self.due(number)
        except OverflowError:
            return None
        return due if self.end_at is None or due <= self.end_at else None

    def last_number(self) -> int | None:
        """The number of the last cycle: None without an end, 0 when the end comes before the first cycle."""
        lasts = [] if self.total_cycles is None else [self.total_cycles]
        if self.end_at is not None:
            after_end = self.end_at + timedelta(microseconds=1)
            settled = max(0, self.n0 - 2)  # numbers before the latest re-anchoring had instants of their own
            lasts.append(self.first_number_at_or_after(after_end, after_number=settled) - 1)
        return min(lasts) if lasts else None

    def period(self, number: int) -> tuple[datetime, datetime]:
        """From the due instant of a cycle to that of the next, whether or not the calendar goes on."""
        start = self.due(number)
        try:
            return start, self.due(number + 1)
        except OverflowError:
            return start, END_OF_DATES

    def first_number_at_or_after(self, instant: datetime, *, after_number: int) -> int:
        """The first cycle later than `after_number` whose due instant is not before `instant`.

        It need not exist (`has_cycle`): the calendar may end sooner.
        """

        def is_early(number: int) -> bool:
            try:
                return self.due(number) < instant
            except OverflowError:
                return self.k + number < self.n0

        return _first(is_early, after_number + 1)

    def deferred(self, number: int, days: int) -> Calendar:
        """Cycle `number` moves by `days` and the calendar is anchored there. SPEC 5, defer.

        With `on` only that instant moves; the next number stands at the first listed instant after it. A first
        payment alone moves as well where re-anchoring would bring cycle 2 forward.
        """
        at = self.due(number) + timedelta(days=days)
        if self.on is None:
            anchored = self._anchored(at, number, index=0)
            is_first = number == 1 and self.immediate_at is not None
            is_sooner = is_first and anchored.due(2) < self.due(2)
            return self.but(immediate_at=at) if is_sooner else anchored
        following = max(self.k + number + 1 - self.n0, self._first_index(at, inclusive=False))
        others = tuple(m for m in self.moved if m.number == number - 1)
        return self.but(k=following, n0=number + 1, moved=(*others, Moved(number=number, at=at)))

    def reanchored(self, number: int, at: datetime) -> Calendar:
        """After a recovery in hold at `at`: cycle `number` is one interval later (`on`: next listed day)."""
        if self.on is not None:
            index = self._first_index(at, inclusive=False)
            return self.but(k=index, n0=number, moved=(), immediate_at=None)
        return self._anchored(at, number, index=1)

    def _anchored(self, at: datetime, number: int, index: int) -> Calendar:
        anchor = at.astimezone(self.anchor_at.tzinfo)
        return self.but(anchor_at=anchor, k=index, n0=number, moved=(), immediate_at=None)

    # --- instants by index, counted from the anchor's own period --------------------------------

    def _at(self, index: int) -> datetime:
        at = self._plain(index) if self.on is None else self._listed(index, self.on)
        if at.year > FAR:
            raise OverflowError("the calendar has no end within the range of dates")
        return at.astimezone(UTC)

    def _plain(self, index: int) -> datetime:
        anchor, steps = self.anchor_at, index * self.interval_count
        days = _DAYS_OF.get(self.interval)
        return later_month(anchor, steps * self._months) if days is None else anchor + timedelta(days=days * steps)

    @property
    def _months(self) -> int:
        return _MONTHS_OF[self.interval]

    def _on_date(self, day: date) -> datetime:
        return self.anchor_at.replace(year=day.year, month=day.month, day=day.day)

    def _listed(self, index: int, on: On) -> datetime:
        """The `index`-th listed day, counted from the first one in the anchor's period."""
        anchor = self.anchor_at.date()
        if on.weekdays is not None:
            period, place = divmod(index, len(on.weekdays))
            monday = anchor - timedelta(days=anchor.weekday())
            week = monday + timedelta(weeks=period * self.interval_count)
            return self._on_date(week + timedelta(days=_WEEKDAYS.index(on.weekdays[place])))
        first, step = anchor.replace(day=1), self.interval_count * self._months
        if on.weekday_of_month is not None:
            ordinal, day = on.weekday_of_month.split("_")
            month = later_month(first, index * step)
            return self._on_date(weekday_of_month(month, ordinal, _WEEKDAYS.index(Weekday(day))))
        return self._on_date(listed_day(first, step, on.days_of_month or (), index))

    def _first_index(self, instant: datetime, *, inclusive: bool) -> int:
        """The first index at or after (not inclusive: after) `instant`, never before the anchor itself."""

        def is_early(index: int) -> bool:
            try:
                at = self._at(index)
            except OverflowError:
                return index < 0
            return at < self.anchor_at or at < instant or (not inclusive and at == instant)

        return _first(is_early, 0)


def open_calendar(
    *,
    anchor_at: datetime | None,
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

    Instants before the authorisation, `start_at` and the trial's end give the phase only: cycle 1 is the
    first at or after all of them. With `immediate`, cycle 1 is due at the authorisation itself (or when the
    start and the trial allow) and cycle 2 is the first calendar instant after it. Without `anchor_at` the
    trial's end is the anchor. The caller adds `spread_seconds` to what the calendar says. Raises `ValueError`
    for naive instants, listed days that do not fit the interval, and when nothing gives an anchor.
    """
    anchor = anchor_at or trial_ends_at
    if anchor is None:
        raise ValueError("anchor_at: is needed where no trial gives an anchor")
    calendar = Calendar(
        anchor_at=anchor,
        interval=interval,
        interval_count=interval_count,
        on=on,
        start_at=start_at,
        end_at=end_at,
        total_cycles=total_cycles,
    )
    not_before = max(t for t in (authorized_at, start_at, trial_ends_at) if t is not None).astimezone(UTC)
    index = calendar._first_index(not_before, inclusive=not immediate)
    if immediate:
        return calendar.but(k=index, n0=2, immediate_at=not_before, not_before=not_before)
    return calendar.but(k=index, n0=1, not_before=not_before)


def _first(is_early: Callable[[int], bool], low: int) -> int:
    """The first number from `low` that is not early. Steps double: far instants cost a few dozen looks."""
    if not is_early(low):
        return low
    step = 1
    while is_early(low + step):
        low, step = low + step, step * 2
    span = range(low + 1, low + step + 1)
    return span[bisect_left(span, True, key=lambda number: not is_early(number))]
