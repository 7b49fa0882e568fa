"""Arithmetic with months: lengths, clamping, listed days, weekdays of a month. SPEC 5.

The proleptic Gregorian calendar, nothing else: no zone, no clock.
"""

from __future__ import annotations

from bisect import bisect_right
from calendar import isleap
from datetime import date, timedelta
from functools import lru_cache
from math import gcd
from typing import TypeVar

_Day = TypeVar("_Day", bound=date)

FAR = 4000
"""Years beyond this end a calendar; no date library reaches much further."""

ORDINALS = ("first", "second", "third", "fourth", "last")

_LENGTHS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_ROUND = 4800
"""After so many months (400 years) the lengths of months repeat."""


def later_month(day: _Day, months: int) -> _Day:
    """`day` (or an instant, in its own offset) so many months later, clamped to the month's length.

    Raises `OverflowError` beyond year 4000.
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not 1 <= year <= FAR:
        raise OverflowError("the calendar has no end within the range of dates")
    return day.replace(year=year, month=month + 1, day=min(day.day, _length(year, month + 1)))


def _length(year: int, month: int) -> int:
    """How many days the month (1 to 12) has."""
    return 29 if month == 2 and isleap(year) else _LENGTHS[month]


def weekday_of_month(month: date, ordinal: str, weekday: int) -> date:
    """The first to fourth or last weekday (0 = Monday) of the month that begins on `month`."""
    start = month + timedelta(days=(weekday - month.weekday()) % 7)
    if ordinal == "last":
        last = start + timedelta(weeks=4)
        return last if last.month == month.month else start + timedelta(weeks=3)
    return start + timedelta(weeks=ORDINALS.index(ordinal))


def listed_day(first: date, step: int, listed: tuple[int, ...], index: int) -> date:
    """The `index`-th of the listed days (ascending), counted from the month that begins on `first`.

    Periods are `step` months apart. Days are clamped to each month's length, and those that clamp to the same
    day count once: so [28, 31] has one instant in a February of 28 days.
    """
    period, place = _place_of(first, step, listed, index)
    month = later_month(first, period * step)
    return month.replace(day=_clamped(_length(month.year, month.month), listed)[place])


def _clamped(length: int, listed: tuple[int, ...]) -> list[int]:
    return sorted({min(day, length) for day in listed})


def _place_of(first: date, step: int, listed: tuple[int, ...], index: int) -> tuple[int, int]:
    """Which period, and which of its days, the `index`-th instant is."""
    if len(listed) == 1 or listed[-2] < 28:
        return divmod(index, len(listed))
    counts = _running_counts((first.year * 12 + first.month - 1) % _ROUND, step, listed)
    rounds, rest = divmod(index, counts[-1])
    period = bisect_right(counts, rest) - 1
    return rounds * (len(counts) - 1) + period, rest - counts[period]


@lru_cache(maxsize=64)
def _running_counts(month: int, step: int, listed: tuple[int, ...]) -> tuple[int, ...]:
    """How many instants lie before each period, until the lengths of months repeat.

    Needed only where a short month swallows one of several listed days: then months hold different numbers.
    """
    counts = [0]
    for period in range(_ROUND // gcd(step, _ROUND)):
        year, index = divmod((month + period * step) % _ROUND, 12)
        length = _length(2000 + year, index + 1)  # 2000 begins a round of 400 years
        counts.append(counts[-1] + len(_clamped(length, listed)))
    return tuple(counts)
