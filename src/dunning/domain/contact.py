"""How often, and when, a customer is written to: quiet hours and caps. SPEC 11."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dunning.domain.messages import NoticeStatus, PlannedNotice
from dunning.domain.quiet import ENDS, next_allowed
from dunning.domain.terms import Channel, Occasion

A_DAY = 1
A_WEEK = 3
"""Notices a day, and within any seven days, on one channel; days are the customer's own. SPEC 11."""

ROUTINE = frozenset(
    {
        Occasion.CREATED,
        Occasion.SUCCEEDED,
        Occasion.RETRY_REMINDER,
        Occasion.CARD_EXPIRING,
        Occasion.UPCOMING_CHARGE,
    }
)
"""What is left out when a day or a week is full. What the customer has to know is told on the next free day."""

_COUNTED = (NoticeStatus.PLANNED, NoticeStatus.SENDING, NoticeStatus.SENT)
_FARTHEST = 60


class Slot(NamedTuple):
    """When a notice may go. `is_full`: the caps leave no room, and it is not to be sent at all."""

    at: datetime
    because: str
    is_full: bool = False


def slot(
    notices: Iterable[PlannedNotice],
    occasion: Occasion,
    channels: Sequence[Channel],
    at: datetime,
    time_zone: str,
    *,
    is_exempt: bool = False,
) -> Slot:
    """The instant for a notice that is wanted at `at`.

    Args:
        notices: everything planned or sent so far, without this one.
        is_exempt: a precondition of a charge keeps neither quiet hours nor caps.
    """
    if is_exempt:
        return Slot(at, "")
    allowed = next_allowed(at, time_zone, earlier=occasion is Occasion.RETRY_REMINDER)
    because = "held back by the customer's quiet hours" if allowed > at else ""
    zone = ZoneInfo(time_zone)
    taken = [[_day(n.at, zone) for n in notices if _counts(n, channel)] for channel in channels]
    day = _day(allowed, zone)
    if not any(_is_full(days, day) for days in taken):
        return Slot(allowed, because)
    full = f"the customer gets at most {A_DAY} notice a day and {A_WEEK} a week on a channel"
    if occasion in ROUTINE:
        return Slot(allowed, full, is_full=True)
    for _ in range(_FARTHEST):
        day += timedelta(days=1)
        if not any(_is_full(days, day) for days in taken):
            return Slot(datetime.combine(day, ENDS, zone).astimezone(at.tzinfo), f"held back: {full}")
    return Slot(allowed, full, is_full=True)


def _counts(notice: PlannedNotice, channel: Channel) -> bool:
    return notice.status in _COUNTED and channel in notice.channels and not notice.is_precondition


def _is_full(days: Sequence[date], day: date) -> bool:
    """Whether one more on `day` breaks a cap; every window of seven days that holds `day` counts."""
    if days.count(day) >= A_DAY:
        return True
    starts = (day - timedelta(days=back) for back in range(7))
    return any(sum(start <= d <= start + timedelta(days=6) for d in days) >= A_WEEK for start in starts)


def _day(at: datetime, zone: ZoneInfo) -> date:
    return at.astimezone(zone).date()
