"""Which of our cycles a provider's cycle is. SPEC 12."""

from __future__ import annotations

from datetime import datetime, timedelta

from dunning.domain.calendar import Calendar
from dunning.domain.plans import CycleStanding
from dunning.domain.state import State

FARTHEST = timedelta(days=2)
"""An instant farther than this from every due instant of ours is of no cycle of ours."""


def number_of(state: State, cycle: CycleStanding) -> int | None:
    """Our number of it: by its id, else as the provider counts, else by day, else by the nearest instant.

    None: the calendar knows no such cycle.
    """
    if cycle.cycle_id:
        for obligation in state.obligations:
            if obligation.provider_cycle == cycle.cycle_id:
                return obligation.number
    calendar = state.calendar
    if cycle.number is not None:
        return cycle.number
    if calendar is None:
        return None
    if cycle.due_on is not None:
        middle = datetime.combine(cycle.due_on, datetime.min.time(), calendar.anchor_at.tzinfo) + timedelta(hours=12)
        near = _nearest(calendar, middle)
        is_day = near is not None and _day(calendar, near) == cycle.due_on
        return near if is_day else None
    return _nearest(calendar, cycle.due_at) if cycle.due_at is not None else None


def _day(calendar: Calendar, number: int) -> object:
    return calendar.due(number).astimezone(calendar.anchor_at.tzinfo).date()


def _nearest(calendar: Calendar, at: datetime) -> int | None:
    following = calendar.first_number_at_or_after(at, after_number=0)
    near = [
        (abs(due - at), number)
        for number in (following - 1, following)
        if number >= 1 and (due := calendar.due_if_any(number)) is not None
    ]
    if not near:
        return None
    distance, number = min(near)
    return number if distance <= FARTHEST else None
