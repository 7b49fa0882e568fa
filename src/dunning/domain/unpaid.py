"""What is done about an obligation that is not paid: it falls due, and is tried outside the ladder. SPEC 7, 8."""

from __future__ import annotations

from datetime import datetime

from dunning.domain import lifecycle, planning
from dunning.domain.attempts import Trigger
from dunning.domain.messages import EventType
from dunning.domain.state import MethodState, Obligation, PlannedAttempt
from dunning.domain.step import Step
from dunning.domain.tables import CycleFact, CycleStatus, SubscriptionFact, SubscriptionStatus
from dunning.domain.window import Window


def plan_now(
    step: Step, obligation: Obligation, trigger: Trigger, fact: CycleFact, *, at: datetime, method: MethodState
) -> None:
    """Plan an attempt at once, outside the ladder: a new method, a backup, a person's try."""
    planned = PlannedAttempt(
        trigger=trigger,
        planned_at=at,
        number=planning.next_number(obligation),
        method=method.token,
        because={
            Trigger.BACKUP: "the next payment method in rank order is tried at once",
            Trigger.PAYMENT_METHOD_UPDATED: "a new payment method is tried at once",
            Trigger.OPERATOR: "an operator asked for it",
        }.get(trigger, "asked for"),
    )
    step.move(obligation, fact, next=planned, window_end=obligation.window_end)


def prove(obligation: Obligation, plain: CycleFact) -> CycleFact:
    """The same fact under its name for an unknown outcome."""
    return _PROVED.get(plain, plain) if obligation.status is CycleStatus.UNKNOWN else plain


_PROVED = {
    CycleFact.SUCCEEDED: CycleFact.PROVED_PAID,
    CycleFact.PENDING: CycleFact.PROVED_PENDING,
    CycleFact.DECLINED_RETRYABLE: CycleFact.PROVED_DECLINED_RETRYABLE,
    CycleFact.DECLINED_NEEDS_CUSTOMER: CycleFact.PROVED_DECLINED_NEEDS_CUSTOMER,
    CycleFact.DECLINED_MERCHANT: CycleFact.PROVED_DECLINED_MERCHANT,
    CycleFact.DECLINED_TECHNICAL: CycleFact.PROVED_DECLINED_TECHNICAL,
}


def fall_due(step: Step, obligation: Obligation, *, needs_customer: bool, window: Window | None = None) -> Obligation:
    """The obligation is unpaid now: its window opens, the subscription is past due, the backend hears. SPEC 8.

    `window` is the obligation's as it was just planned; without it, it is found here.
    """
    state = step.s
    limit = obligation.limit or lifecycle.next_due_after(state, obligation, obligation.first_at or step.now)
    if window is None or limit != obligation.limit:
        window = planning.window_of(state, obligation.but(limit=limit))
    obligation = step.put(
        obligation,
        past_due_since=obligation.past_due_since or step.now,
        limit=limit,
        window_end=window.end,
        grace_ends_at=window.grace_ends_at,
    )
    if obligation.is_cycle and state.status in (SubscriptionStatus.ACTIVE, SubscriptionStatus.CANCELED):
        step.turn(SubscriptionFact.CYCLE_PAST_DUE)
        step.set(past_due_since=state.past_due_since or step.now)
    if needs_customer:
        step.emit(EventType.PAYMENT_METHOD_REQUIRED, obligation=obligation.id, cycle=obligation.number)
    elif obligation.next is not None:
        last = obligation.last
        step.emit(
            EventType.CYCLE_RETRYING,
            cycle=obligation.number,
            obligation=obligation.id,
            next_attempt_at=obligation.next.at.isoformat(),
            attempt=obligation.next.number,
            decline_class=last.outcome.klass if last is not None and last.outcome is not None else None,
            because=obligation.next.because,
        )
    return obligation
