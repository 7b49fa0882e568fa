"""The recovery window: from the due instant until a cycle is given up. SPEC 8.

Where SPEC 8 is silent:
- a cycle whose first attempt ran 12 hours late or more (downtime, outage) has its window from that attempt on,
  by the same measure as its ladder;
- a rung exactly at the next due instant is dropped: two cycles are never charged in one moment;
- grace that ends exactly at the next due instant does reach the hold, because at one instant `grace_ended` comes
  before the next due.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

from dunning.domain.calendar import Calendar
from dunning.domain.ladder import (
    LATE,
    NO_SPREAD,
    Base,
    PlannedRung,
    remaining_plan,
    rungs_of,
)

NO_RUNG_WINDOW = timedelta(days=3)
"""The window when no rung is kept and neither grace nor hold is set."""

FORESEEN_CYCLES = 12
"""Creation looks at so many cycles for rungs that will be dropped: months differ in length."""


class DroppedRung(NamedTuple):
    """A rung that will not run, and why."""

    index: int  # type: ignore[assignment]  # as in `PlannedRung`
    days: int
    at: datetime
    because: str


class Window(NamedTuple):
    """When an unpaid cycle loses access, and when it is given up.

    Attributes:
        end: given up then; never before a kept rung.
        grace_ends_at: access is kept until then; None when neither grace nor hold is set (kept the whole window).
        hold_from: access is suspended from then to `end`; None when no hold is reached.
        kept: the rungs inside, in order.
        dropped: the rungs outside, in order.
    """

    end: datetime
    grace_ends_at: datetime | None = None
    hold_from: datetime | None = None
    kept: tuple[PlannedRung, ...] = ()
    dropped: tuple[DroppedRung, ...] = ()


def window_start(due_at: datetime, first_attempt_at: datetime | None) -> datetime:
    """The due instant; the first attempt's actual time if that was 12 hours late or more. SPEC 5, 8."""
    is_late = first_attempt_at is not None and first_attempt_at - due_at >= LATE
    return first_attempt_at if first_attempt_at is not None and is_late else due_at


def recovery_window(
    *,
    due_at: datetime,
    rungs: Sequence[PlannedRung],
    first_attempt_at: datetime | None = None,
    grace_days: int | None = None,
    hold_days: int | None = None,
    next_due_at: datetime | None = None,
    on_hold: bool = False,
) -> Window:
    """The window of one cycle.

    Args:
        due_at: with the spread, like every other instant here.
        rungs: the whole ladder in order: planned instants of rungs that ran, and the plan of those ahead.
        first_attempt_at: when the first attempt really ran; None before it.
        grace_days, hold_days: None is unset; with both unset the ladder decides.
        next_due_at: the next due instant; None when the calendar has ended.
        on_hold: the subscription is on hold already, so that no new cycle opens.
    """
    start = window_start(due_at, first_attempt_at)
    if grace_days is None and hold_days is None:
        return _of_ladder(start, rungs, None if on_hold else next_due_at)
    grace_end = start + timedelta(days=grace_days or 0)
    is_held = bool(hold_days) and (on_hold or next_due_at is None or grace_end <= next_due_at)
    limit = None if is_held or on_hold else next_due_at
    end = grace_end + timedelta(days=hold_days or 0) if is_held else grace_end
    return _of_days(_sooner(end, limit), _sooner(grace_end, limit), is_held, rungs, limit)


def _of_ladder(start: datetime, rungs: Sequence[PlannedRung], limit: datetime | None) -> Window:
    kept = tuple([rung for rung in rungs if limit is None or rung.at < limit])
    end = kept[-1].at if kept else _sooner(start + NO_RUNG_WINDOW, limit)
    return Window(end=end, kept=kept, dropped=_dropped(rungs, kept, limit, end))


def _of_days(
    end: datetime, grace_end: datetime, is_held: bool, rungs: Sequence[PlannedRung], limit: datetime | None
) -> Window:
    """With grace or hold: the end's UTC date counts whole, but never past the next due instant."""
    last_day = end.astimezone(UTC).date()
    kept = tuple(
        rung for rung in rungs if rung.at.astimezone(UTC).date() <= last_day and (limit is None or rung.at < limit)
    )
    end = max([end, *(rung.at for rung in kept)])
    if not is_held:
        grace_end = end
    return Window(
        end=end,
        grace_ends_at=grace_end,
        hold_from=grace_end if is_held else None,
        kept=kept,
        dropped=_dropped(rungs, kept, limit, end),
    )


def _sooner(instant: datetime, limit: datetime | None) -> datetime:
    return instant if limit is None else min(instant, limit)


def _dropped(
    rungs: Sequence[PlannedRung], kept: Sequence[PlannedRung], limit: datetime | None, end: datetime
) -> tuple[DroppedRung, ...]:
    if len(kept) == len(rungs):
        return ()
    kept_indices = {rung.index for rung in kept}
    found = []
    for rung in rungs:
        if rung.index in kept_indices:
            continue
        because = f"the recovery window ends {_stamp(end)}"
        if limit is not None and rung.at >= limit:
            because = f"the next cycle is due {_stamp(limit)}"
        found.append(DroppedRung(index=rung.index, days=rung.days, at=rung.at, because=because))
    return tuple(found)


def _stamp(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def foreseen_window(
    calendar: Calendar,
    number: int,
    *,
    days: Sequence[int],
    anchor: datetime | time,
    grace_days: int | None = None,
    hold_days: int | None = None,
    spread: timedelta = NO_SPREAD,
) -> Window:
    """The window of a cycle whose every attempt would run exactly on plan: what creation can know.

    `days` are the ladder's cumulative days; `anchor` gives its UTC time of day.
    """
    due = calendar.due(number) + spread
    plan = remaining_plan(Base(planned_at=due, ran_at=due, days=0), rungs_of(days), anchor, spread=spread)
    following = calendar.due(number + 1) + spread if calendar.has_cycle(number + 1) else None
    return recovery_window(due_at=due, rungs=plan, grace_days=grace_days, hold_days=hold_days, next_due_at=following)


def warnings_for(
    calendar: Calendar,
    *,
    days: Sequence[int],
    anchor: datetime | time,
    grace_days: int | None = None,
    hold_days: int | None = None,
    spread: timedelta = NO_SPREAD,
    cycles: int = FORESEEN_CYCLES,
) -> tuple[str, ...]:
    """One sentence for each rung that falls outside the window of a cycle ahead, with the first such cycle.

    SPEC 6: creation names every rung that will be dropped (L7).
    """
    first: dict[int, tuple[int, DroppedRung]] = {}
    opening = 1 if calendar.immediate_at is None else 2  # a first payment has no ladder (SPEC 8)
    for number in range(opening, opening + cycles):
        if not calendar.has_cycle(number):
            break
        window = foreseen_window(
            calendar,
            number,
            days=days,
            anchor=anchor,
            grace_days=grace_days,
            hold_days=hold_days,
            spread=spread,
        )
        for rung in window.dropped:
            first.setdefault(rung.index, (number, rung))
    return tuple(
        f"retry.ladder_days: rung {index} (day {rung.days}) is dropped, first in cycle {number}, "
        f"where it would run {_stamp(rung.at)}: {rung.because}"
        for index, (number, rung) in sorted(first.items())
    )
