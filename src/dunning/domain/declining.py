"""What a declined attempt leads to: the ladder, a backup, the customer, a person. SPEC 6, 7, 8."""

from __future__ import annotations

from dunning.domain import lifecycle, planning, telling
from dunning.domain.attempts import Attempt, Outcome, Trigger
from dunning.domain.declines import DeclineClass
from dunning.domain.messages import EventType
from dunning.domain.state import DroppedRung, Obligation
from dunning.domain.step import Step
from dunning.domain.tables import CycleFact, CycleStatus, SubscriptionStatus
from dunning.domain.terms import OnHardDecline
from dunning.domain.unpaid import fall_due, plan_now, prove

_NEEDS_CUSTOMER = (DeclineClass.HARD, DeclineClass.ACTION)


def declined(step: Step, obligation: Obligation, attempt: Attempt, outcome: Outcome) -> None:
    """The provider refused: what is planned follows from the class of the decline. SPEC 7."""
    klass = outcome.klass or DeclineClass.SOFT
    step.set(last_decline=klass)
    if klass in _NEEDS_CUSTOMER:
        judge(step, attempt.method, klass, outcome.raw_code)
    if lifecycle.is_stop_waiting(step.s, obligation):
        step.move(obligation, CycleFact.DECLINED_AFTER_STOP, closed_at=step.now, closed_because="stopped", next=None)
        return
    if step.s.status is SubscriptionStatus.ACTIVATING and klass is not DeclineClass.TECHNICAL:
        lifecycle.fail_first_payment(step, obligation)
        return
    if obligation.wants is not None and klass is not DeclineClass.TECHNICAL:
        # What was to be added is not, and nothing is tried again: nobody is told that it would be. SPEC 9.
        because = f"declined: {outcome.raw_code}" if outcome.raw_code else "declined"
        step.move(obligation, CycleFact.GIVEN_UP, next=None, closed_at=step.now, closed_because=because)
        return
    if obligation.is_given_up:
        _decline_again(step, obligation)
        return
    if klass in _NEEDS_CUSTOMER:
        _ask_for_method(step, obligation, attempt, CycleFact.DECLINED_NEEDS_CUSTOMER)
    elif klass is DeclineClass.MERCHANT:
        obligation = step.move(obligation, prove(obligation, CycleFact.DECLINED_MERCHANT))
        step.attend("our configuration at the provider is wrong: nothing is tried until it is fixed", obligation)
        fall_due(step, step.s.obligation(obligation.id), needs_customer=False)
    elif klass is DeclineClass.TECHNICAL:
        _retry_technical(step, obligation, attempt)
    else:
        _retry_on_ladder(step, obligation, attempt)


def method_refused(step: Step, obligation: Obligation, attempt: Attempt, outcome: Outcome) -> None:
    """Another subscription of the customer proved this method dead: nothing was sent. SPEC 7."""
    judge(step, attempt.method, DeclineClass.HARD, outcome.raw_code)
    _ask_for_method(step, obligation, attempt, CycleFact.NO_USABLE_METHOD)


def judge(step: Step, token: str, verdict: DeclineClass, code: str | None) -> None:
    """A method's own latest verdict."""
    methods = tuple(m.but(verdict=verdict, verdict_code=code) if m.token == token else m for m in step.s.methods)
    step.set(methods=methods)


def _retry_technical(step: Step, obligation: Obligation, attempt: Attempt) -> None:
    again = planning.technical_retry(obligation, attempt)
    if again is None:
        _retry_on_ladder(step, obligation, attempt)
        return
    step.move(obligation, prove(obligation, CycleFact.DECLINED_TECHNICAL), next=again)


def _retry_on_ladder(step: Step, obligation: Obligation, attempt: Attempt) -> None:
    method = planning.usable_method(step.s, step.now) or step.s.method(attempt.method)
    if method is None or not method.is_usable(step.now):
        _ask_for_method(step, obligation, attempt, CycleFact.NO_USABLE_METHOD)
        return
    fact = prove(obligation, CycleFact.DECLINED_RETRYABLE)
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
        obligation = step.move(obligation, prove(obligation, CycleFact.DECLINED_RETRYABLE))
        obligation = fall_due(step, obligation, needs_customer=False)
        _try_kept_method(step, obligation)
        return
    backup = planning.untried_backup(step.s, obligation, step.now)
    if backup is not None:
        step.set(current=backup.token)
        obligation = step.move(obligation, prove(obligation, CycleFact.DECLINED_RETRYABLE))
        obligation = fall_due(step, obligation, needs_customer=False)
        at = planning.effective_at(attempt)
        plan_now(step, obligation, Trigger.BACKUP, CycleFact.METHOD_UPDATED, at=at, method=backup)
        return
    obligation = step.move(obligation, prove(obligation, fact))
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
