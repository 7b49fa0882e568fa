"""When an obligation is tried next, and until when. SPEC 6, 7, 8.

The arithmetic of single instants is in `ladder`; this module chooses which instant, method and trigger.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from dunning.domain.attempts import BASE_TRIGGERS, COUNTED_TRIGGERS, Attempt, OutcomeKind, Trigger
from dunning.domain.ladder import (
    NO_SPREAD,
    Base,
    PlannedRung,
    effective_base,
    remaining_plan,
    rung_instant,
    rungs_of,
    spread_of,
)
from dunning.domain.state import DroppedRung, MethodState, Obligation, PlannedAttempt, State
from dunning.domain.tables import SubscriptionStatus
from dunning.domain.window import Window, recovery_window

TECHNICAL_DELAYS = (timedelta(hours=1), timedelta(hours=4), timedelta(hours=12))
"""After a technical answer: each counted from the answer before it, three for one rung. SPEC 7."""

OUTAGE_DELAYS = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60, 120))
OUTAGE_CAP = timedelta(hours=4)
"""How an outage is probed: the same attempt, the same key, no rung."""

LOOK_UPS = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60))
LOOK_UP_CAP = timedelta(hours=1)
"""An unclear outcome is looked up 1, 5, 15, 60 minutes after it became unclear, then hourly. SPEC 13."""

PENDING_LOOKS = tuple(timedelta(hours=h) for h in (1, 2, 6, 12))
PENDING_CAP = timedelta(hours=12)
"""A pending result is asked for at these ages, so that it is found even if every webhook is lost."""

MANDATE_LOOKS = tuple(timedelta(hours=h) for h in (1, 6, 24))
MANDATE_CAP = timedelta(hours=24)
"""A mandate link is asked for at these ages, so that its completion is seen even if every webhook is lost."""

ABSENT_AFTER = timedelta(hours=24)
"""An attempt that a look-up has not found for so long is closed as absent. SPEC 13."""

ABSENT_ANSWERS = ABSENT_AFTER - LOOK_UP_CAP
"""Between the first answer "not there" and the one that closes the attempt. The first may come an hour late; but one
answer alone, after a day in which the provider could not be asked, proves nothing: its list may lag."""

ATTENTION_AFTER = timedelta(hours=1)
"""An outcome that is unclear for so long is shown to a person. SPEC 13."""


class Plan(NamedTuple):
    """The next attempt (or None), the rungs that fell away on the way to it, and the window that was found for it.

    The window is None where nothing had to be looked at: the attempts are used up.
    """

    next: PlannedAttempt | None
    dropped: tuple[DroppedRung, ...] = ()
    window: Window | None = None


def spread(state: State) -> timedelta:
    """How much later every instant of this subscription is. SPEC 6."""
    seconds = state.terms.retry.spread_seconds
    return spread_of(state.id, seconds) if seconds else NO_SPREAD


def effective_at(attempt: Attempt) -> datetime:
    """The planned instant, or the actual one if it ran 12 hours late or more. SPEC 6."""
    return effective_base(_base(attempt))


def charge_at(state: State, obligation: Obligation, planned: PlannedAttempt) -> datetime | None:
    """When a planned attempt may start; None while it waits for a notice that has to come before it. SPEC 11.

    Only the first try of a cycle waits, and not one that the customer authorises at this moment.
    """
    hours = state.terms.notice_before_charge_hours
    if hours is None or planned.trigger is not Trigger.DUE or state.status is SubscriptionStatus.ACTIVATING:
        return planned.at
    due = obligation.due_at.isoformat()
    told = [n.told_at for n in state.notices if n.is_precondition and n.facts.get("next_due_at") == due and n.told_at]
    return max(planned.at, min(told) + timedelta(hours=hours)) if told else None


def usable_method(state: State, at: datetime) -> MethodState | None:
    """The method an automatic attempt is planned on: the current one, if its verdict allows."""
    current = state.method(state.current)
    if current is not None and current.is_usable(at):
        return current
    return None


def first_usable(methods: Sequence[MethodState], at: datetime) -> MethodState | None:
    """The first usable method in rank order."""
    return next((m for m in methods if m.is_usable(at)), None)


def untried_backup(state: State, obligation: Obligation, at: datetime) -> MethodState | None:
    """The first usable method, in rank order, that this obligation has not been tried on. SPEC 7."""
    tried = {a.method for a in obligation.attempts}
    return first_usable([m for m in state.methods if m.token not in tried], at)


def ladder_anchor(state: State, due_at: datetime) -> datetime:
    """The instant whose UTC time of day the ladder keeps. SPEC 6."""
    if state.terms.retry.anchor == "last_success" and state.last_success_at is not None:
        # Without the spread: every instant is spread anew, and must not drift from cycle to cycle.
        return state.last_success_at - spread(state)
    return state.authorized_at or due_at


def base_attempt(obligation: Obligation) -> Attempt | None:
    """The attempt that the next rung's gap is counted from. SPEC 6."""
    for attempt in reversed(obligation.attempts):
        if attempt.retry_of is not None or attempt.outcome is None:
            continue
        if attempt.trigger in BASE_TRIGGERS or (attempt.trigger is Trigger.PROVIDER and attempt.number == 1):
            return attempt
    return None


def counted_attempts(obligation: Obligation) -> int:
    """How many attempts `max_attempts` has seen. SPEC 4."""
    return len([1 for a in obligation.attempts if a.retry_of is None and a.trigger in COUNTED_TRIGGERS])


def next_number(obligation: Obligation) -> int:
    """The number of the next attempt: never used before, so its key is new."""
    return len(obligation.attempts) + 1


def next_rung(state: State, obligation: Obligation, now: datetime, method: MethodState) -> Plan:
    """The next rung of the ladder that is still in the window, with every rung dropped on the way.

    A rung is dropped when its instant passed while we waited, or when it lies outside the recovery window.
    """
    base = base_attempt(obligation)
    if base is None or counted_attempts(obligation) >= state.terms.retry.attempts_allowed:
        return Plan(next=None)
    ahead = _ahead(state, obligation, base)
    window = _window(state, obligation, ahead)
    outside = {rung.index for rung in window.dropped}
    dropped: list[DroppedRung] = []
    for rung in ahead:
        if rung.index in obligation.gone:
            continue
        # The first rung ahead is counted from the base already; a later one, once those before it are dropped.
        planned = rung if rung is ahead[0] else _from_base(state, obligation, base, rung)
        if planned.at >= now and rung.index not in outside:
            next_attempt = _ladder_attempt(obligation, planned, method)
            return Plan(next=next_attempt, dropped=tuple(dropped), window=window)
        because = "its instant passed while waiting" if planned.at < now else _why_outside(window, rung)
        dropped.append(DroppedRung(rung=rung.index, days=rung.days, at=planned.at, because=because))
    return Plan(next=None, dropped=tuple(dropped), window=window)


def is_last_rung(state: State, obligation: Obligation) -> bool:
    """Whether the planned attempt is the last that the ladder has: after it, the cycle is given up."""
    planned, end = obligation.next, obligation.window_end
    if planned is None or planned.rung is None:
        return False
    gaps = (timedelta(days=days - planned.rung_days) for days in state.terms.retry.days[planned.rung :])
    is_room = any(end is None or planned.planned_at + gap <= end for gap in gaps)
    return not is_room or counted_attempts(obligation) + 1 >= state.terms.retry.attempts_allowed


def _from_base(state: State, obligation: Obligation, base: Attempt, rung: PlannedRung) -> PlannedRung:
    """The rung as it is planned when every rung before it is dropped."""
    planned = rung_instant(
        _base(base),
        rung.days,
        _anchor(obligation),
        not_before=_advised(obligation),
        others=_others(obligation, base),
        again=_made_again(obligation, base),
        spread=spread(state),
    )
    return rung._replace(at=planned.at, because=planned.because, not_before=planned.not_before)


def _why_outside(window: Window, rung: PlannedRung) -> str:
    return next((dropped.because for dropped in window.dropped if dropped.index == rung.index), "")


def _anchor(obligation: Obligation) -> datetime:
    return obligation.anchor or obligation.due_at


def _others(obligation: Obligation, base: Attempt) -> list[datetime]:
    """When attempts ran that are no base: a rung keeps a day's distance from them. SPEC 6."""
    return [
        a.started_at
        for a in obligation.attempts
        if a.started_at is not None and a is not base and a.retry_of is None and a.trigger not in BASE_TRIGGERS
    ]


def _made_again(obligation: Obligation, base: Attempt) -> datetime | None:
    """When the base was made again last; seconds of lateness do not count here either. SPEC 6, 13."""
    again = [effective_at(a) for a in obligation.attempts if a.retry_of is not None and a.number > base.number]
    return again[-1] if again else None


def _advised(obligation: Obligation) -> datetime | None:
    last = obligation.last
    if last is None or last.outcome is None or last.outcome.retry_after_seconds is None:
        return None
    return last.outcome.at + timedelta(seconds=last.outcome.retry_after_seconds)


def _base(attempt: Attempt) -> Base:
    planned_at = attempt.planned_at
    return Base(planned_at, attempt.started_at or planned_at, attempt.rung_days)


def _ladder_attempt(obligation: Obligation, rung: PlannedRung, method: MethodState) -> PlannedAttempt:
    return PlannedAttempt(
        trigger=Trigger.LADDER,
        planned_at=rung.at,
        not_before=rung.not_before,
        rung=rung.index,
        rung_days=rung.days,
        number=next_number(obligation),
        method=method.token,
        because=rung.because,
    )


def window_of(state: State, obligation: Obligation) -> Window:
    """The recovery window as it stands now; it moves with the last rung. SPEC 8.

    An on-demand charge has its own ladder and nothing else: no grace, no hold, not cut by the next due.
    """
    return _window(state, obligation, _ahead(state, obligation, base_attempt(obligation)))


def _window(state: State, obligation: Obligation, ahead: tuple[PlannedRung, ...]) -> Window:
    terms = state.terms
    is_cycle = obligation.is_cycle
    return recovery_window(
        due_at=obligation.due_at,
        rungs=(*_ran(obligation), *ahead),
        first_attempt_at=obligation.first_at,
        grace_days=terms.grace_days if is_cycle else None,
        hold_days=terms.hold_days if is_cycle else None,
        next_due_at=obligation.limit,
        on_hold=is_cycle and state.status is SubscriptionStatus.ON_HOLD,
    )


def _ran(obligation: Obligation) -> list[PlannedRung]:
    return [
        PlannedRung(attempt.rung, attempt.rung_days, attempt.planned_at, attempt.because)
        for attempt in obligation.attempts
        if attempt.rung is not None and attempt.retry_of is None and attempt.trigger is Trigger.LADDER
    ]


def _ahead(state: State, obligation: Obligation, base: Attempt | None) -> tuple[PlannedRung, ...]:
    """The rungs after the base, each counted from the one before it."""
    if base is None:
        at = obligation.first_at or obligation.due_at
        from_base = Base(planned_at=at, ran_at=at, days=0)
        others: list[datetime] = []
        again = None
    else:
        from_base = _base(base)
        others = _others(obligation, base)
        again = _made_again(obligation, base)
    return remaining_plan(
        from_base,
        rungs_of(state.terms.retry.days),
        _anchor(obligation),
        not_before=_advised(obligation),
        others=others,
        again=again,
        spread=spread(state),
    )


def technical_retry(obligation: Obligation, attempt: Attempt) -> PlannedAttempt | None:
    """The new attempt after a technical answer, or None when the three of this rung are used. SPEC 7."""
    used = 0
    for earlier in reversed(obligation.attempts):
        if earlier.outcome is None or earlier.outcome.kind is not OutcomeKind.DECLINED:
            break
        if earlier.retry_of is None:
            break
        used += 1
    if used >= len(TECHNICAL_DELAYS):
        return None
    delay = TECHNICAL_DELAYS[used]
    return PlannedAttempt(
        trigger=attempt.trigger,
        planned_at=effective_at(attempt) + delay,
        not_before=_advised(obligation),
        retry_of=attempt.retry_of or attempt.number,
        rung=attempt.rung,
        rung_days=attempt.rung_days,
        number=next_number(obligation),
        method=attempt.method,
        because=f"technical answer: tried again {delay} later, no rung used",
    )


def may_close_absent(attempt: Attempt, now: datetime) -> bool:
    """Whether one more answer "not there" closes the attempt: unclear for a day, and absent through all of it."""
    if attempt.unclear_since is None or attempt.absent_since is None:
        return False
    return now - attempt.unclear_since >= ABSENT_AFTER and now - attempt.absent_since >= ABSENT_ANSWERS


def backoff(delays: Sequence[timedelta], cap: timedelta, tries: int) -> timedelta:
    """The delay before try number `tries` (from 0)."""
    return delays[tries] if tries < len(delays) else cap


def age_of_look(delays: Sequence[timedelta], cap: timedelta, looks: int) -> timedelta:
    """How old an unclear outcome is when it is looked up for the `looks`-th time (from 0)."""
    if looks < len(delays):
        return delays[looks]
    return delays[-1] + cap * (looks - len(delays) + 1)
