"""Prorating: what of a period's price is still unused. SPEC 9.

`amount x (period days - day of period) / period days`, days counted from 1, in integers, half to even.
"""

from __future__ import annotations

from datetime import datetime, tzinfo


def prorated(amount: int, period_days: int, day: int) -> int:
    """The part of `amount` (minor units) for the days of a period that are left after day `day`.

    Day 15 of 30 leaves 50 %; Aug 22 of 31 leaves 9/31. On the last day nothing is left. Never negative, never
    more than `amount`. Raises `ValueError` for a negative amount or a day outside the period.
    """
    if amount < 0:
        raise ValueError(f"amount: must not be negative, was {amount}")
    if not 1 <= day <= period_days:
        raise ValueError(f"day: must be from 1 to {period_days}, was {day}")
    return half_even(amount * (period_days - day), period_days)


def half_even(numerator: int, denominator: int) -> int:
    """The quotient of two integers (`denominator` > 0), rounded to the nearest, ties to the even one."""
    quotient, rest = divmod(numerator, denominator)
    is_up = 2 * rest > denominator or (2 * rest == denominator and quotient % 2 == 1)
    return quotient + is_up


def day_of_period(start: datetime, end: datetime, at: datetime, zone: tzinfo) -> tuple[int, int]:
    """(days of the period, the day of it on which `at` falls, from 1), counted in the calendar's fixed offset.

    `start` belongs to the period, `end` to the next one. A period shorter than a date counts as one day; what
    lies on the last date after the time of day of `end` is the last day. Raises `ValueError` outside the period.
    """
    if not start <= at < end:
        raise ValueError(f"at: must lie in the period from {start.isoformat()} to {end.isoformat()}")
    first = start.astimezone(zone).date()
    days = max((end.astimezone(zone).date() - first).days, 1)
    day = (at.astimezone(zone).date() - first).days + 1
    return days, min(day, days)


def prorated_at(amount: int, start: datetime, end: datetime, at: datetime, zone: tzinfo) -> int:
    """`prorated` for the instant `at` within the period from `start` to `end`."""
    days, day = day_of_period(start, end, at, zone)
    return prorated(amount, days, day)
