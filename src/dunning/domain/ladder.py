"""The instants of retries: one rule, pure arithmetic. SPEC 6.

The next rung is due on the UTC date of its base plus the gap in days, at the anchor's time of day; one day
later if that would be sooner than the gap minus 12 hours.

All instants that come in and go out are real ones; `spread` (SPEC 6) is taken off before the rule is applied
and put on again after it, so that a spread ladder is the same ladder, later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

LATE = timedelta(hours=12)
"""An attempt that ran so late is the base by its actual time."""

TOO_CLOSE = timedelta(hours=24)
"""A rung less than this after another attempt of the same obligation moves one day."""

ADVICE_TOLERANCE = timedelta(minutes=10)
"""A rung may be planned so much before an advised wait ends; the attempt itself never starts before it."""

NO_SPREAD = timedelta(0)

_DAY = timedelta(days=1)


class Rung(NamedTuple):
    """One planned retry. `index` counts from 1; `days` after the first attempt, cumulative."""

    index: int  # type: ignore[assignment]  # hides `tuple.index`, which nobody asks a rung for
    days: int


class PlannedRung(NamedTuple):
    """A rung with its instant, and why then. `not_before`: the attempt itself never starts before it."""

    index: int  # type: ignore[assignment]  # hides `tuple.index`, which nobody asks a rung for
    days: int
    at: datetime
    because: str
    not_before: datetime | None = None


class Base(NamedTuple):
    """The attempt that a gap is counted from. `days`: its rung's cumulative days; the due attempt has 0."""

    planned_at: datetime
    ran_at: datetime
    days: int


class Planned(NamedTuple):
    """A rung's instant, and why then. `not_before`: the attempt itself never starts before it."""

    at: datetime
    because: str
    not_before: datetime | None = None


def rungs_of(days: Sequence[int]) -> tuple[Rung, ...]:
    """The rungs of a policy's cumulative days; `ValueError` unless they increase strictly from 1 or more."""
    return _rungs_of(tuple(days))


@lru_cache(maxsize=1024)
def _rungs_of(days: tuple[int, ...]) -> tuple[Rung, ...]:
    if any(later <= before for before, later in pairwise((0, *days))):
        raise ValueError(f"days of a ladder must increase strictly from 1 or more, were {list(days)}")
    return tuple(Rung(index, day) for index, day in enumerate(days, start=1))


def uniform_days(interval_count: int, total: int) -> tuple[int, ...]:
    """The cumulative days of `total` retries `interval_count` days apart: 3 and 3 give 3, 6, 9. SPEC L6."""
    return tuple(interval_count * rung for rung in range(1, total + 1))


def effective_base(base: Base) -> datetime:
    """The planned instant; the actual one if the attempt ran 12 hours late or more.

    Seconds of lateness never count, not even over midnight; an outage of days does.
    """
    return base.ran_at if base.ran_at - base.planned_at >= LATE else base.planned_at


def at_time_of(day: datetime, anchor: datetime | time) -> datetime:
    """The UTC date of `day` at the UTC time of day of `anchor` (an instant, or a time of day in UTC)."""
    return datetime.combine(day.astimezone(UTC), clock_of(anchor))


def clock_of(anchor: datetime | time) -> time:
    """The UTC time of day of an instant; a time of day is one in UTC already."""
    if isinstance(anchor, datetime):
        return anchor.astimezone(UTC).timetz()
    return anchor if anchor.tzinfo is UTC else anchor.replace(tzinfo=UTC)


def rung_instant(
    base: Base,
    days: int,
    anchor: datetime | time,
    *,
    not_before: datetime | None = None,
    others: Sequence[datetime] = (),
    again: datetime | None = None,
    spread: timedelta = NO_SPREAD,
) -> Planned:
    """When the rung with cumulative `days` is due. SPEC 6, the rule.

    Args:
        base: the attempt that the gap is counted from.
        days: more than the base's own; otherwise `ValueError`.
        anchor: its UTC time of day is kept; without the spread.
        not_before: the end of an advised wait: decline time plus wait.
        others: actual instants of the obligation's attempts that are no base.
        again: when an attempt was made again last (technical, or closed as absent). The rung waits for it: one
            that has passed meanwhile is not lost, because the customer was not asked on it.
        spread: how much later every instant of the subscription is.
    """
    if days <= base.days:
        raise ValueError(f"days: must be later than the base's day {base.days}, was {days}")
    planned = _anchored(effective_base(base) - spread, days, days - base.days, clock_of(anchor))
    if spread or others or again is not None or not_before is not None:
        return _moved(planned, not_before=not_before, others=others, again=again, spread=spread)
    return planned


def _anchored(start: datetime, days: int, gap_days: int, clock: time) -> Planned:
    """The UTC date of the base plus the gap, at the anchor's time of day; a day later if that is too soon. SPEC 6."""
    gap = _DAY * gap_days
    at = start + gap
    if at.tzinfo is UTC and at.timetz() == clock:  # the base ran on its plan, at the anchor's time already
        return Planned(at, f"day {days} of the ladder")
    at = at_time_of(at, clock)
    if at - start >= gap - LATE:
        return Planned(at, f"day {days} of the ladder")
    at += _DAY
    too_soon = f"one day later: {gap_days} days after its base, {at:%H:%M} UTC would be too soon"
    return Planned(at, f"day {days} of the ladder, {too_soon}")


def _moved(
    planned: Planned,
    *,
    not_before: datetime | None,
    others: Sequence[datetime],
    again: datetime | None,
    spread: timedelta,
) -> Planned:
    """What else moves a rung, each by whole days: other attempts, one that was made again, an advised wait. SPEC 6."""
    at, because, _ = planned
    if others and any(timedelta(0) <= at + spread - other < TOO_CLOSE for other in others):
        at += _DAY
        because += ", one day later: another attempt was made less than 24 hours before"
    at += spread
    if again is not None and at < again + TOO_CLOSE:
        days_later = -((at - again - TOO_CLOSE) // _DAY)  # rounded up
        at += days_later * _DAY
        because += f", {days_later} d later: the attempt before it was made again on {again:%Y-%m-%d %H:%M} UTC"
    if not_before is None or at >= not_before:
        return Planned(at=at, because=because)
    because += f", moved by an advised wait until {not_before:%Y-%m-%d %H:%M:%S} UTC"
    return Planned(at=_advised(at, not_before), not_before=not_before, because=because)


def _advised(at: datetime, not_before: datetime) -> datetime:
    """The first instant, whole days after `at`, that is not more than 10 minutes before the wait ends.

    `at` lies before that end, so the days are never negative.
    """
    whole_days = -((at - not_before + ADVICE_TOLERANCE) // _DAY)  # rounded up
    return at + whole_days * _DAY


def remaining_plan(
    base: Base,
    rungs: Sequence[Rung],
    anchor: datetime | time,
    *,
    not_before: datetime | None = None,
    others: Sequence[datetime] = (),
    again: datetime | None = None,
    spread: timedelta = NO_SPREAD,
) -> tuple[PlannedRung, ...]:
    """The whole ladder ahead, if every next attempt ran exactly on its plan: for windows, warnings, preview.

    Rungs up to the base's day are left out. An advised wait moves the first rung; later ones keep their gaps.
    """
    clock = clock_of(anchor)
    start, before = effective_base(base) - spread, base.days
    is_moved = bool(spread or others or again is not None or not_before is not None)
    plan: list[PlannedRung] = []
    for index, days in rungs:
        if days <= before:
            continue
        planned = _anchored(start, days, days - before, clock)
        if is_moved:
            planned = _moved(planned, not_before=not_before, others=others, again=again, spread=spread)
        plan.append(PlannedRung(index, days, *planned))
        start, before = planned.at - spread, days
    return tuple(plan)


def spread_of(subscription: str, spread_seconds: int) -> timedelta:
    """How much later every instant of a subscription is: `hash(id) mod spread`, the same on every machine."""
    if spread_seconds <= 0:
        return timedelta(0)
    digest = hashlib.sha256(subscription.encode()).digest()
    return timedelta(seconds=int.from_bytes(digest[:8], "big") % spread_seconds)
