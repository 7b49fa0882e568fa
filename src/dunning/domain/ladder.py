"""The instants of retries: one rule, pure arithmetic. SPEC 6.

The next rung is due on the UTC date of its base plus the gap in days, at the anchor's time of day; one day later
if that would be sooner than the gap minus 12 hours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from dunning.domain.base import Value

LATE = timedelta(hours=12)
"""An attempt that ran so late is the base by its actual time."""

TOO_CLOSE = timedelta(hours=24)
"""A rung less than this after another attempt of the same obligation moves one day."""

ADVICE_TOLERANCE = timedelta(minutes=10)
"""A rung may be planned so much before an advised wait ends; the attempt itself never starts before it."""

_DAY = timedelta(days=1)


class Base(Value):
    """The attempt that a gap is counted from. `days`: its rung's cumulative days; the due attempt has 0."""

    planned_at: datetime
    ran_at: datetime
    days: int


class Planned(Value):
    """A rung's instant, and why then. `not_before`: the attempt itself never starts before it."""

    at: datetime
    not_before: datetime | None = None
    because: str


def effective_base(base: Base) -> datetime:
    """The planned instant; the actual one if the attempt ran 12 hours late or more.

    Seconds of lateness never count, not even over midnight; an outage of days does.
    """
    return base.ran_at if base.ran_at - base.planned_at >= LATE else base.planned_at


def at_time_of(day: datetime, anchor: datetime) -> datetime:
    """The UTC date of `day` at the UTC time of day of `anchor`."""
    time = anchor.astimezone(UTC).timetz()
    return datetime.combine(day.astimezone(UTC).date(), time)


def rung_instant(
    base: Base,
    days: int,
    anchor: datetime,
    not_before: datetime | None = None,
    others: Sequence[datetime] = (),
) -> Planned:
    """When the rung with cumulative `days` is due.

    Args:
        anchor: its UTC time of day is kept.
        not_before: the end of an advised wait.
        others: actual instants of the obligation's attempts of other triggers.
    """
    start = effective_base(base)
    gap = timedelta(days=days - base.days)
    at = at_time_of(start + gap, anchor)
    because = f"day {days} of the ladder"
    if at - start < gap - LATE:
        at += _DAY
        because += f", one day later: {at - _DAY:%H:%M} would be too soon after the attempt before"
    if any(timedelta(0) <= at - other < TOO_CLOSE for other in others):
        at += _DAY
        because += ", one day later: another attempt was made less than 24 hours before"
    if not_before is None or at >= not_before:
        return Planned(at=at, because=because)
    advised = at_time_of(not_before, anchor)
    while advised < not_before - ADVICE_TOLERANCE:
        advised += _DAY
    while advised - _DAY >= max(at, not_before - ADVICE_TOLERANCE):
        advised -= _DAY
    because += f", moved by an advised wait until {not_before:%Y-%m-%d %H:%M:%S} UTC"
    return Planned(at=max(at, advised), not_before=not_before, because=because)


def spread_of(subscription: str, spread_seconds: int) -> timedelta:
    """How much later every instant of a subscription is: `hash(id) mod spread`, the same on every machine."""
    if spread_seconds <= 0:
        return timedelta(0)
    digest = hashlib.sha256(subscription.encode()).digest()
    return timedelta(seconds=int.from_bytes(digest[:8], "big") % spread_seconds)
