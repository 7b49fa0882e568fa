"""How often, and when, a customer is written to: quiet hours and caps. SPEC 11."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
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


class NoticeKind(StrEnum):
    """Whether a customer may do without a notice. What a customer refuses is refused per channel and kind."""

    ROUTINE = "routine"
    """Pleasant to know. A mail of this kind carries a link to be left out."""
    SERVICE = "service"
    """About a payment that failed, access, money back or the terms; or one that has to come before a charge."""


def kind_of(notice: PlannedNotice) -> NoticeKind:
    """A notice that a charge waits for is never routine."""
    return NoticeKind.ROUTINE if notice.occasion in ROUTINE and not notice.is_precondition else NoticeKind.SERVICE


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
    free = _free_day(taken, day)
    if free is None:
        return Slot(allowed, full, is_full=True)
    return Slot(datetime.combine(free, ENDS, zone).astimezone(at.tzinfo), f"held back: {full}")


def free_from(told: Iterable[datetime], at: datetime, time_zone: str) -> datetime | None:
    """When one more notice may go on a channel; None when it may go at `at`. For any number of subscriptions.

    Args:
        told: business instants of what the customer got on this channel, preconditions of charges left out.
    """
    zone = ZoneInfo(time_zone)
    days, day = [_day(one, zone) for one in told], _day(at, zone)
    if not _is_full(days, day):
        return None
    free = _free_day([days], day) or day + timedelta(days=_FARTHEST)
    return datetime.combine(free, ENDS, zone).astimezone(at.tzinfo)


def _free_day(taken: Sequence[Sequence[date]], day: date) -> date | None:
    """The first later day on which no channel is full."""
    later = (day + timedelta(days=ahead) for ahead in range(1, _FARTHEST + 1))
    return next((one for one in later if not any(_is_full(days, one) for days in taken)), None)


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
