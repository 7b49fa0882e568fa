"""Access now, and until when. SPEC 8, "Access"."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from dunning.domain.base import Value
from dunning.domain.plans import PlanState
from dunning.domain.state import State
from dunning.domain.tables import CycleStatus, SubscriptionStatus

_S = SubscriptionStatus

_ENDING_SILENTLY = frozenset({_S.REQUIRES_ACTION, _S.ACTIVATING, _S.PAUSED, _S.CANCELED})
"""States in which nothing is collected: no event comes when access ends by itself."""


class Access(NamedTuple):
    """Whether the customer may use the product, until when as far as is known, and why."""

    is_granted: bool
    until: datetime | None
    because: str


class ItemAccess(Value):
    """What one item gives now. `until` is None where it gives nothing."""

    product_id: str
    is_granted: bool
    until: datetime | None
    is_renewing: bool


def item_access(state: State, now: datetime) -> tuple[ItemAccess, ...]:
    """Access item by item, where the provider states it so; else empty: then all items share the subscription's."""
    plan = state.plan
    if plan is None or plan.phase is None:
        return ()
    return tuple(
        ItemAccess(
            product_id=one.product_id,
            is_granted=one.until is not None and now < one.until,
            until=one.until,
            is_renewing=one.is_renewing,
        )
        for one in plan.items
    )


def ends_at(state: State) -> datetime | None:
    """The end of what is paid for or given: the last paid period, or the trial. None when there is none."""
    ends = [t for t in (state.paid_until, state.terms.schedule.trial_ends_at) if t is not None]
    return max(ends) if ends else None


def access(state: State, now: datetime) -> Access:
    """Whether there is access at `now` (business time)."""
    plan = state.plan
    if plan is not None and plan.phase is not None:
        return _stated(plan, now)
    if state.status in (_S.ON_HOLD, _S.INACTIVE, _S.FAILED):
        return Access(False, None, f"the subscription is {state.status.value}")
    trial = state.terms.schedule.trial_ends_at
    if trial is not None and now < trial:
        return Access(True, trial, "the trial is not over")
    if state.paid_until is not None and now < state.paid_until:
        return Access(True, state.paid_until, "the period is paid")
    cycle = state.open_cycle
    if state.status is _S.ACTIVE:
        return _active(state, now)
    if state.status is _S.PAST_DUE and cycle is not None:
        until = cycle.grace_ends_at or cycle.window_end
        if until is None or now < until or cycle.status in (CycleStatus.PENDING, CycleStatus.UNKNOWN):
            lasts = "grace" if cycle.grace_ends_at is not None else "recovery window"
            return Access(True, until, f"the unpaid cycle is within its {lasts}")
    return Access(False, None, f"{state.status.value}, and no paid period runs")


def told_access(state: State, now: datetime) -> dict[str, Any]:
    """The same for an event, as JSON. SPEC 10.

    Its `until` is when access ends without a further event: the end of what is paid, once nothing more is collected,
    or of the trial, while nothing is collected yet. Otherwise cycles renew it, and whatever ends it (hold, giving up)
    is told; so there it is null.
    """
    found = access(state, now)
    until = ends_at(state) if found.is_granted and state.status in _ENDING_SILENTLY else None
    return {"granted": found.is_granted, "until": until.isoformat() if until else None, "reason": found.because}


def _stated(plan: PlanState, now: datetime) -> Access:
    """What the provider said when it was read last. SPEC 12."""
    until = plan.access_until
    if until is not None and now < until:
        return Access(True, until, "the provider states access until then")
    words = plan.phase.value if plan.phase is not None else "unknown"
    return Access(False, None, f"the provider states no access: {words}")


def _active(state: State, now: datetime) -> Access:
    if state.open_cycle is not None:
        return Access(True, None, "the due cycle has not been declined")
    if any(o.status is CycleStatus.FAILED and o.is_cycle for o in state.obligations):
        due = state.calendar.due(state.next_number) if state.calendar is not None else None
        return Access(True, due, "the plan goes on after a failed cycle (RESUME)")
    due = None
    if state.calendar is not None and state.calendar.has_cycle(state.next_number):
        due = state.calendar.due(state.next_number)
    return Access(True, due, "active, and no due cycle has been declined")
