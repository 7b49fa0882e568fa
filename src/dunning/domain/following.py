"""Following a calendar that the provider runs: what it says now, taken into the state. SPEC 8, 12.

One obligation has one retry owner. While the provider is it, every decline that is not final is retryable, hard ones
included; only the provider gives a cycle up, and any fact of a cycle first makes it due. Where the provider stops for
good and hands over, the engine goes on with what is left of the ladder, once the plan is read back as ended.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dunning.domain import declining, lifecycle, planning, telling
from dunning.domain.attempts import Attempt, OutcomeKind, Trigger, attempt_key
from dunning.domain.declines import DeclineClass
from dunning.domain.expecting import expected_at, native_days, rules_of
from dunning.domain.messages import EventType
from dunning.domain.plan_matching import number_of
from dunning.domain.plans import CycleStanding, PlanCycleStatus, PlanStanding, PlanStatus, TryKind, TryStanding
from dunning.domain.state import Obligation, PlannedAttempt
from dunning.domain.step import Step
from dunning.domain.tables import CycleFact, CycleStatus, SubscriptionStatus
from dunning.domain.terms import OnHardDecline
from dunning.domain.unpaid import fall_due

_S = SubscriptionStatus
_TRIGGERS = {
    TryKind.DUE: Trigger.DUE,
    TryKind.RETRY: Trigger.PROVIDER,
    TryKind.FORCED: Trigger.OPERATOR,
    TryKind.LINK: Trigger.CUSTOMER,
}
_NEEDS_CUSTOMER = (DeclineClass.HARD, DeclineClass.ACTION)
OTHER_PRICE = "the provider collects another amount than was agreed"
STRANGE_CYCLE = "the provider collects on a day that is not in the calendar"
HANDED_OVER = "the provider has stopped for good: the engine goes on"


def take_cycles(step: Step, standing: PlanStanding) -> None:
    """Take in every cycle of a standing, oldest first. Cycles that are known as they stand change nothing."""
    numbered = [(number_of(step.s, one), one) for one in standing.cycles]
    for number, cycle in sorted(numbered, key=lambda pair: pair[0] or 0):
        if number is None:
            if cycle.tries and _is_ours_to_know(step, cycle):
                step.attend(STRANGE_CYCLE)
            continue
        _take_cycle(step, number, cycle)


def _is_ours_to_know(step: Step, cycle: CycleStanding) -> bool:
    """What an adopted plan collected before this subscription began is its own history."""
    began = step.s.authorized_at or step.s.created_at
    return cycle.tries[-1].at > began + timedelta(days=1)


def _take_cycle(step: Step, number: int, cycle: CycleStanding) -> None:
    is_known = step.s.has(str(number))
    if not is_known and number < step.s.next_number:
        return  # closed and forgotten long ago
    is_waiting = cycle.status is PlanCycleStatus.SCHEDULED and not cycle.tries
    if is_waiting:
        return
    if not is_known:
        if cycle.status is PlanCycleStatus.CANCELED and step.s.plan is not None and step.s.plan.ends_because:
            return
        _open_up_to(step, number, cycle)
    obligation = step.s.obligation(str(number))
    if cycle.cycle_id and not obligation.provider_cycle:
        obligation = step.put(obligation, provider_cycle=cycle.cycle_id)
    for one in cycle.tries:
        obligation = _take_try(step, step.s.obligation(obligation.id), cycle, one)
    _take_status(step, step.s.obligation(obligation.id), cycle)


def _open_up_to(step: Step, number: int, cycle: CycleStanding) -> None:
    """Make the cycle due; those before it, which the provider left out, use their numbers."""
    while step.s.next_number < number:
        lifecycle.skip_cycle(step, "the provider did not collect this cycle")
    if cycle.status is PlanCycleStatus.CANCELED and not cycle.tries:
        lifecycle.skip_cycle(step, "canceled at the provider")
        return
    obligation = lifecycle.new_cycle(step)
    obligation = step.move(obligation, CycleFact.DUE, is_followed=True, provider_cycle=cycle.cycle_id)
    if (cycle.amount, cycle.currency) != (obligation.amount, obligation.currency):
        obligation = step.put(obligation, amount=cycle.amount, currency=cycle.currency)
        if not rules_of(step.s).owns_access:  # which states what it collects: part of a period, some of the items
            step.attend(OTHER_PRICE, obligation)
    if rules_of(step.s).owns_access and cycle.due_at is not None:
        obligation = step.put(obligation, due_at=cycle.due_at)  # and when: items renew each at its own time
    step.emit(
        EventType.CYCLE_CREATED,
        cycle=obligation.number,
        due_at=obligation.due_at.isoformat(),
        amount=cycle.amount,
        currency=cycle.currency,
    )


# --- one try ---------------------------------------------------------------------------------------


def _take_try(step: Step, obligation: Obligation, cycle: CycleStanding, one: TryStanding) -> Obligation:
    known = obligation.attempt(one.number)
    if known is None:
        if len(obligation.attempts) + 1 != one.number:
            return obligation  # the engine's own attempts came after the provider's: an older standing
        known = _new_attempt(step, obligation, one)
        obligation = step.put(
            obligation, attempts=(*obligation.attempts, known), first_at=obligation.first_at or one.at
        )
        obligation = _place(step, obligation)
    elif known.outcome is not None and known.outcome.kind is not OutcomeKind.PENDING:
        is_late_payment = one.outcome.kind is OutcomeKind.SUCCEEDED and known.outcome.kind is OutcomeKind.DECLINED
        if not is_late_payment or known.started_at != one.at:
            return obligation
    elif known.outcome is not None and one.outcome.kind is OutcomeKind.PENDING:
        return obligation
    attempt = known.but(outcome=one.outcome)
    kept = obligation.attempts
    obligation = step.put(obligation, attempts=(*kept[: one.number - 1], attempt, *kept[one.number :]))
    _conclude(step, obligation, attempt, cycle)
    return step.s.obligation(obligation.id)


def _new_attempt(step: Step, obligation: Obligation, one: TryStanding) -> Attempt:
    s = step.s
    rung, days = None, 0
    planned_at = obligation.due_at if one.kind is TryKind.DUE else one.at
    if one.kind is TryKind.RETRY:
        rung = sum(1 for a in obligation.attempts if a.trigger is Trigger.PROVIDER) + 1
        given = native_days(s)
        days = given[rung - 1] if rung <= len(given) else 0
        planned = obligation.next
        planned_at = planned.planned_at if planned is not None and planned.trigger is Trigger.PROVIDER else one.at
    return Attempt(
        number=one.number,
        trigger=_TRIGGERS[one.kind],
        rung=rung,
        rung_days=days,
        method=one.method or s.current or "provider",
        planned_at=planned_at,
        because="the provider tried by its own calendar",
        key=attempt_key(s.account, s.id, s.generation, obligation.id, one.number),
        started_at=one.at,
        tries=1,
        is_followed=True,
    )


def _place(step: Step, obligation: Obligation) -> Obligation:
    """What the first try fixes for the whole obligation, as it does where the engine collects."""
    last = obligation.last
    gone = obligation.gone if last is None or last.rung is None else (*obligation.gone, last.rung)
    first = obligation.first_at or obligation.due_at
    limit = obligation.limit or lifecycle.next_due_after(step.s, obligation, max(first, obligation.due_at))
    anchor = obligation.anchor or planning.ladder_anchor(step.s, obligation.due_at)
    step.set(last_first_at=first)
    return step.put(obligation, gone=gone, limit=limit, anchor=anchor)


def _conclude(step: Step, obligation: Obligation, attempt: Attempt, cycle: CycleStanding) -> None:
    outcome = attempt.outcome
    if outcome is None:
        return
    if outcome.kind is OutcomeKind.PENDING:
        if obligation.status in (CycleStatus.ATTEMPTING, CycleStatus.RETRYING):
            _attempting(step, obligation)
            step.move(step.s.obligation(obligation.id), CycleFact.PENDING)
    elif outcome.kind is OutcomeKind.SUCCEEDED:
        _tell_payment(step, EventType.PAYMENT_SUCCEEDED, obligation, attempt)
        _paid(step, obligation, attempt)
    elif outcome.kind is OutcomeKind.DECLINED:
        _tell_payment(step, EventType.PAYMENT_FAILED, obligation, attempt)
        _declined(step, obligation, attempt, cycle)


def _tell_payment(step: Step, event: EventType, obligation: Obligation, attempt: Attempt) -> None:
    """Where the engine charges, the ledger tells of payments as it settles them; here nothing else does."""
    outcome = attempt.outcome
    step.emit(
        event,
        obligation=obligation.id,
        attempt=attempt.number,
        trigger=attempt.trigger.value,
        key=attempt.key,
        amount=obligation.amount,
        currency=obligation.currency,
        payment_id=outcome.provider_payment_id if outcome is not None else None,
        decline_class=outcome.klass if outcome is not None else None,
        code=outcome.raw_code if outcome is not None else None,
        late=False,
    )


def _attempting(step: Step, obligation: Obligation) -> Obligation:
    """The provider has tried: an obligation between two tries is being tried."""
    if obligation.status is CycleStatus.RETRYING:
        return step.move(obligation, CycleFact.RUNG_DUE, next=None)
    return step.put(obligation, next=None)


def _paid(step: Step, obligation: Obligation, attempt: Attempt) -> None:
    at = attempt.started_at or step.now
    if obligation.status in (CycleStatus.ATTEMPTING, CycleStatus.RETRYING, CycleStatus.PENDING):
        obligation = _attempting(step, obligation)
        lifecycle.close_paid(step, obligation, CycleFact.SUCCEEDED, at, attempt)
    elif obligation.status is not CycleStatus.SUCCEEDED:
        lifecycle.take_payment(step, obligation, at, "the provider collected a cycle that was closed unpaid")


def _declined(step: Step, obligation: Obligation, attempt: Attempt, cycle: CycleStanding) -> None:
    """Never final by itself: the provider tries again, or says that it gives the cycle up. SPEC 12."""
    if not obligation.is_open:
        return
    outcome = attempt.outcome
    klass = (outcome.klass if outcome is not None else None) or DeclineClass.SOFT
    step.set(last_decline=klass)
    if klass in _NEEDS_CUSTOMER and outcome is not None:
        declining.judge(step, attempt.method, klass, outcome.raw_code)
    obligation = _attempting(step, step.s.obligation(obligation.id))
    if lifecycle.is_stop_waiting(step.s, obligation):
        step.move(obligation, CycleFact.DECLINED_AFTER_STOP, closed_at=step.now, closed_because="stopped")
        return
    if step.s.status is _S.ACTIVATING:
        lifecycle.fail_first_payment(step, obligation)
        return
    is_last = attempt.number == len(cycle.tries)
    if is_last and cycle.status is PlanCycleStatus.GIVEN_UP:
        return  # `_take_status` tells what follows
    planned = _next_try(step, obligation, attempt, cycle if is_last else None)
    obligation = step.move(obligation, CycleFact.DECLINED_RETRYABLE, next=planned)
    obligation = fall_due(step, obligation, needs_customer=False)
    obligation = step.put(obligation, window_end=None)
    if klass in _NEEDS_CUSTOMER:
        step.emit(EventType.PAYMENT_METHOD_REQUIRED, obligation=obligation.id, cycle=obligation.number)
        if step.s.terms.on_hard_decline is OnHardDecline.FAIL_CYCLE:
            lifecycle.give_up(step, obligation, "the method was declined for good, and the policy gives up then")
            return
        telling.tell_action_required(step, obligation)
    else:
        telling.tell_failed(step, obligation)


def _next_try(
    step: Step, obligation: Obligation, attempt: Attempt, cycle: CycleStanding | None
) -> PlannedAttempt | None:
    """The provider's next try, as it says or as its rules have it; None when it will not try again."""
    days = native_days(step.s)
    used = sum(1 for a in obligation.attempts if a.trigger is Trigger.PROVIDER)
    told: datetime | None = cycle.next_try_at if cycle is not None else None
    if told is None and used >= len(days):
        return None
    at = told or obligation.due_at + timedelta(days=days[used])
    return PlannedAttempt(
        trigger=Trigger.PROVIDER,
        planned_at=at,
        rung=used + 1,
        rung_days=days[used] if used < len(days) else 0,
        number=attempt.number + 1,
        method=step.s.current or attempt.method,
        because="the provider tries again by itself",
    )


# --- what the provider says of the whole cycle -----------------------------------------------------


def _take_status(step: Step, obligation: Obligation, cycle: CycleStanding) -> None:
    if cycle.status is PlanCycleStatus.PAID and obligation.status is not CycleStatus.SUCCEEDED:
        last = cycle.tries[-1].at if cycle.tries else step.now
        lifecycle.take_payment(step, obligation, last, "the provider collected a cycle that was closed unpaid")
    elif not obligation.is_open or not obligation.is_followed:
        return
    elif cycle.status is PlanCycleStatus.GIVEN_UP:
        give_up(step, obligation)
    elif cycle.status is PlanCycleStatus.CANCELED and obligation.status is not CycleStatus.PENDING:
        because = "canceled at the provider"
        step.move(obligation, CycleFact.CANCELED, next=None, closed_at=step.now, closed_because=because)
    elif cycle.next_try_at is not None and obligation.next is not None:
        step.put(obligation, next=obligation.next.but(planned_at=cycle.next_try_at))


def give_up(step: Step, obligation: Obligation) -> None:
    """The provider will not try this cycle again: the engine goes on with what is left of it, or it has failed."""
    plan = step.s.plan
    if plan is not None and rules_of(step.s).hands_over:
        take_over(step, HANDED_OVER)
        return
    if obligation.status is CycleStatus.PENDING:
        return  # a charge on its way is awaited
    obligation = _past_due(step, obligation)
    lifecycle.give_up(step, obligation, "the provider gave it up")


def _past_due(step: Step, obligation: Obligation) -> Obligation:
    if obligation.status is CycleStatus.ATTEMPTING and obligation.last is not None:
        obligation = step.move(obligation, CycleFact.DECLINED_RETRYABLE, next=None)
        obligation = fall_due(step, obligation, needs_customer=False)
    return obligation


# --- take-over -------------------------------------------------------------------------------------


def take_over(step: Step, because: str) -> None:
    """The engine collects from here on, as soon as the plan is read back as ended. SPEC 12.

    The provider's tries have used the rungs of their number; the next one is planned by the engine's own ladder.
    """
    plan = step.s.plan
    if plan is None or plan.is_taken_over:
        return
    step.set(plan=plan.but(is_taken_over=True, ends_because=plan.ends_because or because, change=None))
    for obligation in step.s.open_obligations:
        if obligation.is_followed:
            _collect(step, step.put(obligation, is_followed=False, next=None))


def _collect(step: Step, obligation: Obligation) -> None:
    last = obligation.last
    if last is None or last.outcome is None:
        # It fell due at the provider and was never tried there: the engine tries it.
        method = planning.usable_method(step.s, step.now)
        planned = PlannedAttempt(
            trigger=Trigger.DUE,
            planned_at=obligation.due_at,
            number=planning.next_number(obligation),
            method=method.token if method is not None else step.s.current or "",
            because=HANDED_OVER,
        )
        step.put(obligation, next=planned)
    elif last.outcome.kind is OutcomeKind.DECLINED:
        klass = last.outcome.klass
        outcome = last.outcome.but(klass=DeclineClass.SOFT) if klass is DeclineClass.TECHNICAL else last.outcome
        declining.declined(step, _attempting(step, obligation), last.but(outcome=outcome), outcome)


def close_reading(step: Step, *, is_asked: bool) -> None:
    """Note what is to be heard next; looks that told nothing new back off."""
    plan = step.s.plan
    if plan is None:
        return
    expected = expected_at(step.s)
    # A look before something is due says nothing about how late it is.
    is_about_it = expected == plan.expected and (expected is None or step.now >= expected)
    looks = plan.looks + int(is_asked) if is_about_it else 0
    step.set(plan=plan.but(expected=expected, looks=looks, is_hinted=plan.is_hinted and not is_asked))


def is_over(standing: PlanStanding) -> bool:
    """Whether this standing says that the plan runs no more."""
    return standing.status in (PlanStatus.SUSPENDED, PlanStatus.ENDED)
