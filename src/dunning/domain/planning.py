"""When an obligation is tried next, and until when. SPEC 6, 7, 8.

The arithmetic of single instants is in `ladder`; this module chooses which instant, method and trigger.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from dunning.domain.attempts import BASE_TRIGGERS, COUNTED_TRIGGERS, Attempt, OutcomeKind, Trigger
from dunning.domain.base import Value
from dunning.domain.ladder import Base, effective_base, rung_instant, spread_of
from dunning.domain.state import DroppedRung, MethodState, Obligation, PlannedAttempt, State

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

ATTENTION_AFTER = timedelta(hours=1)
"""An outcome that is unclear for so long is shown to a person. SPEC 13."""

NO_RUNG_WINDOW = timedelta(days=3)
"""The recovery window when no rung is kept. SPEC 8."""

ZERO = timedelta(0)


class Plan(Value):
    """The next attempt (or None), and the rungs that fell away on the way to it."""

    next: PlannedAttempt | None
    dropped: tuple[DroppedRung, ...] = ()


def spread(state: State) -> timedelta:
    """How much later every instant of this subscription is. SPEC 6."""
    return spread_of(state.id, state.terms.retry.spread_seconds)


def effective_at(attempt: Attempt) -> datetime:
    """The planned instant, or the actual one if it ran 12 hours late or more. SPEC 6."""
    return effective_base(_base(attempt, ZERO))


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
        return state.last_success_at
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
    return sum(1 for a in obligation.attempts if a.trigger in COUNTED_TRIGGERS and a.retry_of is None)


def next_number(obligation: Obligation) -> int:
    """The number of the next attempt: never used before, so its key is new."""
    return len(obligation.attempts) + 1


def next_rung(state: State, obligation: Obligation, now: datetime, method: MethodState) -> Plan:
    """The next rung of the ladder that is still in the window, with every rung dropped on the way.

    A rung is dropped when its instant passed while we waited, or when it lies outside the recovery window.
    """
    base = base_attempt(obligation)
    terms = state.terms
    if base is None or counted_attempts(obligation) >= terms.retry.attempts_allowed:
        return Plan(next=None)
    dropped: list[DroppedRung] = []
    for index, days in enumerate(terms.retry.days, start=1):
        if index in obligation.gone:
            continue
        planned = _rung(state, obligation, base, days, now)
        because = _why_dropped(rung_limit(state, obligation), planned.at, now)
        if because is not None:
            dropped.append(DroppedRung(rung=index, days=days, at=planned.at, because=because))
            continue
        return Plan(next=_ladder_attempt(obligation, index, days, planned, method), dropped=tuple(dropped))
    return Plan(next=None, dropped=tuple(dropped))


class _Rung(Value):
    at: datetime
    not_before: datetime | None
    because: str


def _rung(state: State, obligation: Obligation, base: Attempt, days: int, now: datetime) -> _Rung:
    shift = spread(state)
    others = [
        a.started_at - shift
        for a in obligation.attempts
        if a.started_at is not None and a is not base and not _is_base(a)
    ]
    planned = rung_instant(
        _base(base, shift),
        days,
        obligation.anchor or obligation.due_at,
        not_before=_advised(obligation),
        others=others,
    )
    return _Rung(at=planned.at + shift, not_before=planned.not_before, because=planned.because)


def _is_base(attempt: Attempt) -> bool:
    return attempt.trigger in BASE_TRIGGERS and attempt.retry_of is None


def _advised(obligation: Obligation) -> datetime | None:
    last = obligation.last
    if last is None or last.outcome is None or last.outcome.retry_after_seconds is None:
        return None
    return last.outcome.at + timedelta(seconds=last.outcome.retry_after_seconds)


def _base(attempt: Attempt, shift: timedelta) -> Base:
    ran = attempt.started_at or attempt.planned_at
    return Base(planned_at=attempt.planned_at - shift, ran_at=ran - shift, days=attempt.rung_days)


def _why_dropped(limit: datetime | None, at: datetime, now: datetime) -> str | None:
    if at < now:
        return "its instant passed while waiting"
    if limit is not None and at >= limit:
        return f"it lies outside the recovery window, which ends {limit:%Y-%m-%d %H:%M} UTC"
    return None


def _ladder_attempt(
    obligation: Obligation, index: int, days: int, planned: _Rung, method: MethodState
) -> PlannedAttempt:
    return PlannedAttempt(
        trigger=Trigger.LADDER,
        planned_at=planned.at,
        not_before=planned.not_before,
        rung=index,
        rung_days=days,
        number=next_number(obligation),
        method=method.token,
        because=planned.because,
    )


def projected_rungs(state: State, obligation: Obligation) -> tuple[DroppedRung, ...]:
    """Where every rung after the base falls if each attempt runs on plan; the reason says kept or not."""
    base = base_attempt(obligation)
    if base is None:
        return ()
    shift = spread(state)
    anchor = obligation.anchor or obligation.due_at
    found: list[DroppedRung] = []
    at_base = _base(base, shift)
    for index, days in enumerate(state.terms.retry.days, start=1):
        if days <= base.rung_days:
            continue
        advised = _advised(obligation) if not found else None
        at = rung_instant(at_base, days, anchor, not_before=advised).at
        at_base = Base(planned_at=at, ran_at=at, days=days)
        found.append(DroppedRung(rung=index, days=days, at=at + shift, because=""))
    return tuple(found)


def grace_end(state: State, obligation: Obligation) -> datetime | None:
    """When access ends while the cycle is unpaid; None without grace and hold. SPEC 8."""
    terms = state.terms
    if terms.grace_days is None and terms.hold_days is None:
        return None
    end = obligation.due_at + timedelta(days=terms.grace_days or 0)
    return min(end, obligation.limit) if obligation.limit is not None else end


def window_end(state: State, obligation: Obligation) -> datetime:
    """When the cycle is given up at the latest. SPEC 8, "recovery window"."""
    terms = state.terms
    grace = grace_end(state, obligation)
    if grace is not None:
        full = obligation.due_at + timedelta(days=(terms.grace_days or 0) + (terms.hold_days or 0))
        is_hold_reached = bool(terms.hold_days) and (obligation.limit is None or grace < obligation.limit)
        end = full if is_hold_reached else grace
        on_that_date = [r.at for r in projected_rungs(state, obligation) if r.at.date() == end.date()]
        return max([end, *on_that_date])
    limit = obligation.limit
    kept = [r.at for r in projected_rungs(state, obligation) if limit is None or r.at < limit]
    base = base_attempt(obligation)
    if kept:
        end = max(kept)
    elif base is not None and base.trigger is Trigger.LADDER:
        end = base.planned_at
    else:
        end = (obligation.first_at or obligation.due_at) + NO_RUNG_WINDOW
    return min(end, limit) if limit is not None else end


def rung_limit(state: State, obligation: Obligation) -> datetime | None:
    """No rung runs at or after this instant. SPEC 8: the next due instant, or the end of grace and hold."""
    grace = grace_end(state, obligation)
    if grace is None:
        return obligation.limit
    full = obligation.due_at + timedelta(days=(state.terms.grace_days or 0) + (state.terms.hold_days or 0))
    is_hold_reached = bool(state.terms.hold_days) and (obligation.limit is None or grace < obligation.limit)
    end_of_day = (full if is_hold_reached else grace).replace(hour=0, minute=0, second=0, microsecond=0)
    end = end_of_day + timedelta(days=1)
    return end if is_hold_reached or obligation.limit is None else min(end, obligation.limit)


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


def backoff(delays: Sequence[timedelta], cap: timedelta, tries: int) -> timedelta:
    """The delay before try number `tries` (from 0)."""
    return delays[tries] if tries < len(delays) else cap


def age_of_look(delays: Sequence[timedelta], cap: timedelta, looks: int) -> timedelta:
    """How old an unclear outcome is when it is looked up for the `looks`-th time (from 0)."""
    if looks < len(delays):
        return delays[looks]
    return delays[-1] + cap * (looks - len(delays) + 1)
