"""A provider that runs the calendar, for `preview`: it collects on every due day and retries by its own rules.

It tries at the due instants of our calendar; at what hour of the day a provider really charges, only it knows.
"""

from __future__ import annotations

from datetime import datetime

from dunning.domain import facts
from dunning.domain.attempts import Outcome, OutcomeKind, Trigger
from dunning.domain.expecting import is_following, native_days, rules_of, unpaid_cycle
from dunning.domain.plans import CycleStanding, PlanCycleStatus, PlanStanding, PlanStatus, TryKind, TryStanding
from dunning.domain.state import Obligation, State
from dunning.domain.terms import FailedCycleAction

PREVIEW = "preview"


def next_try(state: State) -> datetime | None:
    """When the provider collects next; None where it does not run the calendar, or has nothing to collect."""
    plan = state.plan
    if plan is None or plan.is_released or plan.status is not PlanStatus.ACTIVE or not is_following(state):
        return None
    owed = unpaid_cycle(state)
    if owed is not None:
        return owed.next.planned_at if owed.next is not None else None
    return state.calendar.due_if_any(state.next_number) if state.calendar is not None else None


def made(state: State) -> facts.PlanRead:
    """The plan was created."""
    number = state.plan.number if state.plan is not None else 1
    plan_id = f"{PREVIEW}-{number}" if state.plan is None or state.plan.plan_id is None else f"{PREVIEW}-{number + 1}"
    standing = PlanStanding(plan_id=plan_id, status=PlanStatus.ACTIVE, customer_reference=PREVIEW)
    return facts.PlanRead(standing=standing, is_asked=True, is_made=True)


def waiting(state: State) -> facts.PlanRead:
    """The plan was created and waits for the customer, who authorises charging by its link."""
    fact = made(state)
    return fact.but(standing=fact.standing.but(status=PlanStatus.REQUIRES_ACTION, link=PREVIEW))


def read(state: State, status: PlanStatus | None = None) -> facts.PlanRead:
    """Nothing new, or only where the plan stands."""
    plan_id = (state.plan.plan_id if state.plan is not None else None) or PREVIEW
    return facts.PlanRead(standing=PlanStanding(plan_id=plan_id, status=status), is_asked=True)


def tried(state: State, outcome: Outcome, now: datetime, *, is_forced: bool = False) -> facts.PlanRead:
    """The provider tried what is due, and it came to `outcome`."""
    owed = unpaid_cycle(state)
    number = owed.number if owed is not None else state.next_number
    known = _known(owed) if owed is not None else ()
    if known and known[-1].outcome.kind is OutcomeKind.PENDING:
        tries = (*known[:-1], known[-1].but(outcome=outcome))
    else:
        kind = TryKind.FORCED if is_forced else TryKind.RETRY if known else TryKind.DUE
        tries = (*known, TryStanding(number=len(known) + 1, kind=kind, at=now, outcome=outcome))
    used = sum(1 for one in tries if one.kind is TryKind.RETRY)
    status = _cycle_status(outcome, is_last=used >= len(native_days(state)))
    cycle = CycleStanding(
        cycle_id=f"{PREVIEW}-{number}",
        number=number,
        status=status,
        amount=owed.amount if owed is not None else state.terms.amount,
        currency=state.terms.currency,
        tries=tries,
    )
    fact = read(state, _plan_status(state, status))
    return fact.but(standing=fact.standing.but(cycles=(cycle,), is_whole=False))


def _known(owed: Obligation) -> tuple[TryStanding, ...]:
    kinds = {Trigger.DUE: TryKind.DUE, Trigger.PROVIDER: TryKind.RETRY, Trigger.OPERATOR: TryKind.FORCED}
    return tuple(
        TryStanding(
            number=a.number,
            kind=kinds.get(a.trigger, TryKind.LINK),
            at=a.started_at or a.planned_at,
            outcome=a.outcome,
            method=a.method,
        )
        for a in owed.attempts
        if a.outcome is not None
    )


def _cycle_status(outcome: Outcome, *, is_last: bool) -> PlanCycleStatus:
    if outcome.kind is OutcomeKind.SUCCEEDED:
        return PlanCycleStatus.PAID
    if outcome.kind is OutcomeKind.PENDING:
        return PlanCycleStatus.ATTEMPTING
    return PlanCycleStatus.GIVEN_UP if is_last else PlanCycleStatus.RETRYING


def _plan_status(state: State, cycle: PlanCycleStatus) -> PlanStatus:
    if cycle is not PlanCycleStatus.GIVEN_UP:
        return PlanStatus.ACTIVE
    if not rules_of(state).resumes:
        return PlanStatus.SUSPENDED
    is_stop = state.terms.failed_cycle_action is FailedCycleAction.STOP
    return PlanStatus.ENDED if is_stop else PlanStatus.ACTIVE
