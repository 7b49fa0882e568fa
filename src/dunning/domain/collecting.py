"""How an obligation is collected: attempts start, conclude, and what is planned then. SPEC 6, 7, 8."""

from __future__ import annotations

from datetime import datetime, timedelta

from dunning.domain import lifecycle, planning, telling
from dunning.domain.attempts import Attempt, Outcome, OutcomeKind, Trigger, attempt_key
from dunning.domain.declines import DeclineClass
from dunning.domain.messages import EventType
from dunning.domain.state import DroppedRung, MethodState, Obligation, PlannedAttempt
from dunning.domain.step import Step
from dunning.domain.tables import CycleFact, CycleStatus, SubscriptionFact, SubscriptionStatus, step_cycle
from dunning.domain.terms import OnHardDecline
from dunning.domain.window import Window

_NEEDS_CUSTOMER = (DeclineClass.HARD, DeclineClass.ACTION)


# --- planning the first try ------------------------------------------------------------------------


def open_obligation(step: Step, obligation: Obligation, trigger: Trigger, because: str) -> None:
    """Plan the first attempt of a new obligation, or wait for a method when none can be charged."""
    method = planning.usable_method(step.s, step.now) or planning.first_usable(step.s.methods, step.now)
    if method is None:
        obligation = step.move(obligation, CycleFact.NO_USABLE_METHOD, first_at=step.now)
        obligation = fall_due(step, obligation, needs_customer=True)
        telling.tell_action_required(step, obligation)
        return
    planned = PlannedAttempt(
        trigger=trigger,
        planned_at=obligation.due_at,
        number=planning.next_number(obligation),
        method=method.token,
        because=because,
    )
    step.move(obligation, CycleFact.DUE, next=planned)


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


# --- an attempt starts and concludes ---------------------------------------------------------------


def start_attempt(step: Step, obligation: Obligation) -> None:
    """The planned attempt is handed to the provider now."""
    planned = _on_usable_method(step, obligation)
    if planned is None:
        return
    state = step.s
    obligation = state.obligation(obligation.id)
    status = obligation.status
    if status is CycleStatus.RETRYING:
        status = step_cycle(status, CycleFact.RUNG_DUE)
    attempt = Attempt(
        number=planned.number,
        trigger=planned.trigger,
        rung=planned.rung,
        rung_days=planned.rung_days,
        retry_of=planned.retry_of,
        method=planned.method,
        planned_at=planned.planned_at,
        not_before=planned.not_before,
        because=planned.because,
        key=attempt_key(state.account, state.id, state.generation, obligation.id, planned.number),
        started_at=step.now,
        tries=planned.tries + 1,
    )
    gone = (*obligation.gone, planned.rung) if planned.rung is not None else obligation.gone
    first = obligation.first_at or planning.effective_at(attempt)
    limit = obligation.limit
    if limit is None and obligation.is_cycle:
        limit = lifecycle.next_due_after(state, obligation, first)
        step.set(last_first_at=first)
    step.put(
        obligation,
        status=status,
        attempts=(*obligation.attempts, attempt),
        next=None,
        gone=gone,
        first_at=first,
        anchor=obligation.anchor or planning.ladder_anchor(state, obligation.due_at),
        limit=limit,
    )


def _on_usable_method(step: Step, obligation: Obligation) -> PlannedAttempt | None:
    """The planned attempt on a method that may be charged now; a verdict or an expiry may have come since.

    A person's try is made on what the person chose, unless that was declined for good.
    """
    planned = obligation.next
    if planned is None:
        return None
    method = step.s.method(planned.method)
    is_chosen = planned.trigger is Trigger.OPERATOR and method is not None
    if method is not None and (method.is_usable(step.now) or (is_chosen and method.verdict != DeclineClass.HARD)):
        return planned
    other = planning.usable_method(step.s, step.now) or planning.first_usable(step.s.methods, step.now)
    if other is not None:
        return planned.but(method=other.token)
    obligation = step.move(obligation, CycleFact.NO_USABLE_METHOD, next=None)
    obligation = fall_due(step, obligation, needs_customer=True)
    telling.tell_action_required(step, obligation)
    return None


def conclude_attempt(step: Step, obligation: Obligation, number: int, outcome: Outcome) -> None:
    """Take in what an attempt came to. A repeat of what is known changes nothing."""
    attempt = obligation.attempt(number)
    if attempt is None:
        step.attend(f"an outcome for attempt {number}, which does not exist", obligation)
        return
    if _is_settled(attempt):
        _take_late(step, obligation, attempt, outcome)
        return
    handler = _HANDLERS[outcome.kind]
    obligation = _with_outcome(step, obligation, attempt, outcome)
    handler(step, obligation, obligation.attempts[attempt.number - 1], outcome)


def _is_settled(attempt: Attempt) -> bool:
    return attempt.outcome is not None and attempt.outcome.kind in (
        OutcomeKind.SUCCEEDED,
        OutcomeKind.DECLINED,
        OutcomeKind.ABSENT,
        OutcomeKind.METHOD_REFUSED,
    )


def _with_outcome(step: Step, obligation: Obligation, attempt: Attempt, outcome: Outcome) -> Obligation:
    unclear = attempt.unclear_since
    looks = attempt.looks
    if outcome.kind in (OutcomeKind.PENDING, OutcomeKind.UNKNOWN) and unclear is None:
        unclear = outcome.at
    new = attempt.but(outcome=outcome, unclear_since=unclear, looks=looks)
    attempts = (*obligation.attempts[: new.number - 1], new, *obligation.attempts[new.number :])
    if outcome.kind in (OutcomeKind.SUCCEEDED, OutcomeKind.DECLINED, OutcomeKind.PENDING):
        step.set(attached=attempt.method)
    return step.put(obligation, attempts=attempts)


def count_look(step: Step, obligation: Obligation) -> Obligation:
    """A look-up was made: the next one is later."""
    last = obligation.last
    if last is None:
        return obligation
    return step.put(obligation, attempts=(*obligation.attempts[:-1], last.but(looks=last.looks + 1)))


def _take_late(step: Step, obligation: Obligation, attempt: Attempt, outcome: Outcome) -> None:
    """A fact about a settled attempt: only a success that we did not know changes anything. SPEC 8."""
    known = attempt.outcome
    if outcome.kind is not OutcomeKind.SUCCEEDED or known is None or known.kind is OutcomeKind.SUCCEEDED:
        return
    obligation = _with_outcome(step, obligation, attempt, outcome)
    lifecycle.take_payment(step, obligation, outcome.at, "a payment was found that we thought declined")


def _prove(obligation: Obligation, plain: CycleFact) -> CycleFact:
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


def _succeeded(step: Step, obligation: Obligation, attempt: Attempt, outcome: Outcome) -> None:
    fact = _prove(obligation, CycleFact.SUCCEEDED)
    paid_at = planning.effective_at(attempt)
    if attempt.trigger not in (Trigger.DUE, Trigger.LADDER):
        paid_at = attempt.started_at or outcome.at
    lifecycle.close_paid(step, obligation, fact, paid_at, attempt)


def _pending(step: Step, obligation: Obligation, attempt: Attempt, outcome: Outcome) -> None:
    if obligation.status is not CycleStatus.PENDING:
        step.move(obligation, _prove(obligation, CycleFact.PENDING))


def _unknown(step: Step, obligation: Obligation, attempt: Attempt, outcome: Outcome) -> None:
    if obligation.status is not CycleStatus.UNKNOWN:
        step.move(obligation, CycleFact.OUTCOME_UNKNOWN)


def _outage(step: Step, obligation: Obligation, attempt: Attempt, outcome: Outcome) -> None:
    """Nothing was charged: the same attempt under the same key later, no rung used. SPEC 13."""
    if obligation.status is CycleStatus.UNKNOWN:
        # The look-up proved that no byte was sent: the same attempt goes on at once. SPEC 13.
        _again(step, obligation, attempt, CycleFact.PROVED_ABSENT, at=outcome.at, tries=attempt.tries - 1)
        return
    delay = planning.backoff(planning.OUTAGE_DELAYS, planning.OUTAGE_CAP, attempt.tries - 1)
    if outcome.retry_after_seconds is not None:
        delay = max(delay, timedelta(seconds=outcome.retry_after_seconds))
    _again(step, obligation, attempt, CycleFact.OUTAGE, at=outcome.at + delay, tries=attempt.tries)


def _deferred(step: Step, obligation: Obligation, attempt: Attempt, outcome: Outcome) -> None:
    """No slot was free: nothing was claimed, the same attempt waits. SPEC 13, 14."""
    until = outcome.until or outcome.at + timedelta(minutes=1)
    _again(step, obligation, attempt, CycleFact.DEFERRED, at=until, tries=attempt.tries - 1)


def _again(step: Step, obligation: Obligation, attempt: Attempt, fact: CycleFact, *, at: datetime, tries: int) -> None:
    """The same attempt, under the same number and key, at `at`."""
    planned = PlannedAttempt(
        trigger=attempt.trigger,
        planned_at=attempt.planned_at,
        not_before=attempt.not_before,
        wait_until=at,
        rung=attempt.rung,
        rung_days=attempt.rung_days,
        retry_of=attempt.retry_of,
        number=attempt.number,
        tries=tries,
        method=attempt.method,
        because=attempt.because,
        held_up_by=attempt.outcome.because if attempt.outcome is not None else None,
    )
    obligation = step.put(obligation, attempts=obligation.attempts[:-1], next=planned)
    step.move(obligation, fact)


def _absent(step: Step, obligation: Obligation, attempt: Attempt, outcome: Outcome) -> None:
    """Proved absent: closed without a rung; tried again at the first anchored instant. SPEC 13."""
    step.attend("an attempt never reached the provider and is made again", obligation)
    obligation = step.s.obligation(obligation.id)
    at = step.now
    anchor = obligation.anchor or obligation.due_at
    anchored = at.replace(hour=anchor.hour, minute=anchor.minute, second=anchor.second, microsecond=0)
    if anchored < at:
        anchored += timedelta(days=1)
    planned = PlannedAttempt(
        trigger=attempt.trigger,
        planned_at=anchored,
        retry_of=attempt.number,
        rung=attempt.rung,
        rung_days=attempt.rung_days,
        number=planning.next_number(obligation),
        method=attempt.method,
        because="the attempt before it never reached the provider; no rung used",
    )
    step.move(obligation, CycleFact.PROVED_ABSENT, next=planned)


def _method_refused(step: Step, obligation: Obligation, attempt: Attempt, outcome: Outcome) -> None:
    """Another subscription of the customer proved this method dead: nothing was sent. SPEC 7."""
    _judge(step, attempt.method, DeclineClass.HARD, outcome.raw_code)
    _ask_for_method(step, step.s.obligation(obligation.id), attempt, CycleFact.NO_USABLE_METHOD)


# --- declines --------------------------------------------------------------------------------------


def _declined(step: Step, obligation: Obligation, attempt: Attempt, outcome: Outcome) -> None:
    klass = outcome.klass or DeclineClass.SOFT
    step.set(last_decline=klass)
    if klass in _NEEDS_CUSTOMER:
        _judge(step, attempt.method, klass, outcome.raw_code)
    obligation = step.s.obligation(obligation.id)
    if lifecycle.is_stop_waiting(step.s, obligation):
        step.move(obligation, CycleFact.DECLINED_AFTER_STOP, closed_at=step.now, closed_because="stopped", next=None)
        return
    if step.s.status is SubscriptionStatus.ACTIVATING and klass is not DeclineClass.TECHNICAL:
        lifecycle.fail_first_payment(step, obligation)
        return
    if obligation.is_given_up:
        _decline_again(step, obligation)
        return
    if klass in _NEEDS_CUSTOMER:
        _ask_for_method(step, obligation, attempt, CycleFact.DECLINED_NEEDS_CUSTOMER)
    elif klass is DeclineClass.MERCHANT:
        obligation = step.move(obligation, _prove(obligation, CycleFact.DECLINED_MERCHANT))
        step.attend("our configuration at the provider is wrong: nothing is tried until it is fixed", obligation)
        fall_due(step, step.s.obligation(obligation.id), needs_customer=False)
    elif klass is DeclineClass.TECHNICAL:
        _retry_technical(step, obligation, attempt)
    else:
        _retry_on_ladder(step, obligation, attempt)


def _judge(step: Step, token: str, verdict: DeclineClass, code: str | None) -> None:
    methods = tuple(m.but(verdict=verdict, verdict_code=code) if m.token == token else m for m in step.s.methods)
    step.set(methods=methods)


def _retry_technical(step: Step, obligation: Obligation, attempt: Attempt) -> None:
    again = planning.technical_retry(obligation, attempt)
    if again is None:
        _retry_on_ladder(step, obligation, attempt)
        return
    step.move(obligation, _prove(obligation, CycleFact.DECLINED_TECHNICAL), next=again)


def _retry_on_ladder(step: Step, obligation: Obligation, attempt: Attempt) -> None:
    method = planning.usable_method(step.s, step.now) or step.s.method(attempt.method)
    if method is None or not method.is_usable(step.now):
        _ask_for_method(step, obligation, attempt, CycleFact.NO_USABLE_METHOD)
        return
    fact = _prove(obligation, CycleFact.DECLINED_RETRYABLE)
    cap = attempt.outcome.soft_cap if attempt.outcome is not None else None
    plan = planning.next_rung(step.s, obligation, step.now, method)
    if cap is not None and _repeats(obligation, attempt) > cap:
        plan = plan._replace(next=None, dropped=())
    obligation = _drop(step, obligation, plan.dropped)
    kept = obligation.kept_method
    obligation = step.move(obligation, fact, next=plan.next)
    obligation = fall_due(step, obligation, needs_customer=False, window=plan.window)
    if kept is not None:
        _try_kept_method(step, obligation)
        return
    if plan.next is None and not _has_grace_or_hold(step, obligation):
        lifecycle.give_up(step, obligation, "the last rung was declined")
        return
    telling.tell_failed(step, obligation)


def _repeats(obligation: Obligation, attempt: Attempt) -> int:
    code = attempt.outcome.raw_code if attempt.outcome is not None else None
    return sum(1 for a in obligation.attempts if a.outcome is not None and a.outcome.raw_code == code) - 1


def _has_grace_or_hold(step: Step, obligation: Obligation) -> bool:
    terms = step.s.terms
    return obligation.is_cycle and (terms.grace_days is not None or terms.hold_days is not None)


def _drop(step: Step, obligation: Obligation, dropped: tuple[DroppedRung, ...]) -> Obligation:
    if not dropped:
        return obligation
    gone = (*obligation.gone, *(d.rung for d in dropped))
    return step.put(obligation, gone=gone, dropped=(*obligation.dropped, *dropped))


def _ask_for_method(step: Step, obligation: Obligation, attempt: Attempt, fact: CycleFact) -> None:
    """Backups first, each once, in rank order; then the customer is asked, or the cycle given up. SPEC 7."""
    if fact is CycleFact.NO_USABLE_METHOD and obligation.status is not CycleStatus.ATTEMPTING:
        # The method became unusable while the charge was on its way: the decline needs the customer then.
        fact = CycleFact.DECLINED_NEEDS_CUSTOMER
    if obligation.kept_method is not None:
        obligation = step.move(obligation, _prove(obligation, CycleFact.DECLINED_RETRYABLE))
        obligation = fall_due(step, obligation, needs_customer=False)
        _try_kept_method(step, obligation)
        return
    backup = planning.untried_backup(step.s, obligation, step.now)
    if backup is not None:
        step.set(current=backup.token)
        obligation = step.move(obligation, _prove(obligation, CycleFact.DECLINED_RETRYABLE))
        obligation = fall_due(step, obligation, needs_customer=False)
        at = planning.effective_at(attempt)
        plan_now(step, obligation, Trigger.BACKUP, CycleFact.METHOD_UPDATED, at=at, method=backup)
        return
    obligation = step.move(obligation, _prove(obligation, fact))
    obligation = fall_due(step, obligation, needs_customer=True)
    if step.s.terms.on_hard_decline is OnHardDecline.FAIL_CYCLE:
        lifecycle.give_up(step, obligation, "the method was declined for good, and the policy gives up then")
        return
    telling.tell_action_required(step, obligation)


def _try_kept_method(step: Step, obligation: Obligation) -> None:
    """A method that came while the charge was on its way is tried now that it was declined. SPEC 8."""
    method = step.s.method(obligation.kept_method)
    obligation = step.put(obligation, kept_method=None)
    if method is not None and method.is_usable(step.now):
        trigger = Trigger.PAYMENT_METHOD_UPDATED
        plan_now(step, obligation, trigger, CycleFact.METHOD_UPDATED, at=step.now, method=method)


def _decline_again(step: Step, obligation: Obligation) -> None:
    """A cycle that was given up under RESUME was tried by a person and declined: failed again. SPEC 8."""
    obligation = step.move(obligation, CycleFact.GIVEN_UP, next=None)
    step.emit(EventType.CYCLE_FAILED, cycle=obligation.number, because="declined again", amount=obligation.amount)


# --- past due --------------------------------------------------------------------------------------


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


_HANDLERS = {
    OutcomeKind.SUCCEEDED: _succeeded,
    OutcomeKind.DECLINED: _declined,
    OutcomeKind.PENDING: _pending,
    OutcomeKind.UNKNOWN: _unknown,
    OutcomeKind.OUTAGE: _outage,
    OutcomeKind.DEFERRED: _deferred,
    OutcomeKind.ABSENT: _absent,
    OutcomeKind.METHOD_REFUSED: _method_refused,
}
