"""Quiet hours: no notice between 21:00 and 08:00 at the customer's own wall clock. SPEC 11."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

STARTS = time(21)
ENDS = time(8)


def is_quiet(at: datetime, time_zone: str) -> bool:
    """Whether `at` lies in the quiet hours of the zone; 08:00 is allowed, 21:00 is not."""
    local = at.astimezone(ZoneInfo(time_zone)).time()
    return local >= STARTS or local < ENDS


def next_allowed(at: datetime, time_zone: str, *, earlier: bool = False) -> datetime:
    """`at` itself outside the quiet hours; else 08:00 after them, or (`earlier`) the last second before them."""
    if not is_quiet(at, time_zone):
        return at
    zone = ZoneInfo(time_zone)
    local = at.astimezone(zone)
    is_evening = local.time() >= STARTS
    if earlier:
        day = local.date() if is_evening else local.date() - timedelta(days=1)
        return (datetime.combine(day, STARTS, zone) - timedelta(seconds=1)).astimezone(UTC)
    day = local.date() + timedelta(days=1) if is_evening else local.date()
    return datetime.combine(day, ENDS, zone).astimezone(UTC)
