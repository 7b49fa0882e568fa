"""Taking in what happened: `apply(state, fact, now)`. SPEC 3.

The result is the new state with a raised revision, and what follows from it. A fact that has no place in the
state (an illegal transition, a repeat) changes nothing but, where money is concerned, asks for attention.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from dunning.domain import (
    announcing,
    changing_items,
    collecting,
    commanding,
    facts,
    first_price,
    lifecycle,
    plan_facts,
    refunding,
    telling,
)
from dunning.domain.attempts import OutcomeKind, Trigger
from dunning.domain.commands import CommandResult
from dunning.domain.decide import UNCLEAR_FLAG, WINDOW_FLAG, Do
from dunning.domain.facts import Fact
from dunning.domain.messages import EventType, NoticeStatus
from dunning.domain.state import MethodState, Obligation, State
from dunning.domain.step import Applied, Step
from dunning.domain.tables import (
    CycleStatus,
    IllegalTransition,
    SubscriptionFact,
    SubscriptionStatus,
)

_S = SubscriptionStatus


def apply(state: State, fact: Fact, now: datetime) -> Applied:
    """The state after `fact`, and what follows.

    Args:
        now: business time; the later of it and the latest instant in the state counts.
    """
    step = Step(state, now)
    try:
        _HANDLERS[fact.fact](step, fact)
    except IllegalTransition as refused:
        step = Step(state, now)
        _refuse(step, fact, refused)
    changing_items.settle(step)
    announcing.refresh(step)
    return step.done()


def _refuse(step: Step, fact: Fact, refused: IllegalTransition) -> None:
    """An absent pair changes nothing; a command is told so, and other facts raise attention."""
    if isinstance(fact, facts.Commanded):
        queue = tuple(c for c in step.s.queue if c.command_id != fact.command.command_id)
        step.set(queue=queue)
        result = CommandResult(command_id=fact.command.command_id, status="refused", reason=str(refused))
        step.answer(result)
        return
    step.attend(f"a fact has no place here: {fact.fact}: {refused}")
    if isinstance(fact, facts.AttemptConcluded) and fact.is_look_up:
        # The question was asked all the same: it is not asked again at once, without an end.
        collecting.count_look(step, step.s.obligation(fact.obligation))


# --- mandate ---------------------------------------------------------------------------------------


def _mandate_created(step: Step, fact: facts.MandateCreated) -> None:
    first_price.opened(step)
    step.set(reference=fact.reference, mandate_link=fact.link, mandate_expires_at=fact.expires_at)


def _mandate_not_created(step: Step, fact: facts.MandateNotCreated) -> None:
    first_price.opened(step)
    if fact.retry_at is not None:
        step.set(mandate_wait_until=fact.retry_at, mandate_tries=step.s.mandate_tries + 1)
        return
    step.turn(SubscriptionFact.MANDATE_FAILED)
    step.attend(f"the mandate could not be created: {fact.because}")
    lifecycle.fail(step, fact.because)


def _mandate_read(step: Step, fact: facts.MandateRead) -> None:
    step.set(mandate_looks=step.s.mandate_looks + 1)
    first_price.counted(step)


def _mandate_authorized(step: Step, fact: facts.MandateAuthorized) -> None:
    if step.s.status is not _S.REQUIRES_ACTION:
        if step.s.is_ended:
            step.attend("a mandate was authorised after the end")
        return
    token = fact.method_token or fact.reference or step.s.reference or "mandate"
    known = step.s.method(token)
    methods = step.s.methods if known is not None else (MethodState(token=token), *step.s.methods)
    step.set(reference=fact.reference or step.s.reference, methods=methods, current=token, attached=token)
    step.turn(SubscriptionFact.MANDATE_AUTHORIZED)
    lifecycle.start_calendar(step, fact.at)


def _mandate_failed(step: Step, fact: facts.MandateFailed) -> None:
    if step.s.status is not _S.REQUIRES_ACTION:
        return
    step.turn(SubscriptionFact.MANDATE_FAILED)
    step.set(is_mandate_ended=True)
    lifecycle.fail(step, "the mandate failed at the provider")


def _mandate_ended(step: Step, fact: facts.MandateEnded) -> None:
    if not step.s.is_ended and step.s.status is not _S.CANCELED:
        lifecycle.end_by_provider(step, "the mandate ended at the provider")
    step.set(is_mandate_ended=True)


def _mandate_given_back(step: Step, fact: facts.MandateGivenBack) -> None:
    step.set(is_mandate_ended=True)
    if not fact.is_done:
        step.attend(f"the provider would not end the mandate: {fact.because}")


def _heard(step: Step, fact: facts.Heard) -> None:
    _once(step, fact.message_id)


# --- attempts and payments -------------------------------------------------------------------------


def _attempt_started(step: Step, fact: facts.AttemptStarted) -> None:
    collecting.start_attempt(step, step.s.obligation(fact.obligation))


def _attempt_concluded(step: Step, fact: facts.AttemptConcluded) -> None:
    obligation = step.s.find(fact.obligation)
    if obligation is None:
        if fact.outcome.kind is OutcomeKind.SUCCEEDED:
            step.attend(f"a payment arrived for obligation {fact.obligation}, which was closed long ago")
        return
    if fact.is_look_up:
        obligation = collecting.count_look(step, obligation)
    collecting.conclude_attempt(step, obligation, fact.number, fact.outcome)


def _payment_observed(step: Step, fact: facts.PaymentObserved) -> None:
    """Matched to the oldest open obligation of equal amount and currency. SPEC 8."""
    if _once(step, f"payment:{fact.payment_id}"):
        return
    matching = [
        o
        for o in step.s.obligations
        if (o.is_open or o.status is CycleStatus.FAILED) and (o.amount, o.currency) == (fact.amount, fact.currency)
    ]
    if not matching:
        step.attend(f"a payment of {fact.amount} {fact.currency} matches nothing that is owed")
        return
    obligation = min(matching, key=lambda o: (not o.is_open, o.due_at))
    trigger = Trigger.PROVIDER if fact.by_provider else Trigger.CUSTOMER
    step.emit(
        EventType.PAYMENT_SUCCEEDED,
        payment_id=fact.payment_id,
        amount=fact.amount,
        currency=fact.currency,
        trigger=trigger.value,
        obligation=obligation.id,
    )
    lifecycle.take_payment(step, obligation, fact.at, "a payment arrived for a cycle that was given up")
    step.put(step.s.obligation(obligation.id), paid_by=fact.payment_id)


def _once(step: Step, key: str) -> bool:
    """True when this key was seen before; else remembers it."""
    if key in step.s.seen:
        return True
    step.set(seen=(*step.s.seen, key))
    return False


def _method_updated(step: Step, fact: facts.MethodUpdated) -> None:
    if step.s.is_ended:
        step.attend("a payment method was given after the end")
        return
    if fact.token == step.s.current:
        method = step.s.method(fact.token)
        if method is not None and method.is_usable(step.now):
            return
    step.set(attached=fact.token)
    commanding.take_method(step, MethodState(token=fact.token), fact.at)


def _method_lost(step: Step, fact: facts.MethodLost) -> None:
    methods = tuple(
        m.but(verdict="ACTION", verdict_code="method_lost") if m.token == fact.token else m for m in step.s.methods
    )
    step.set(methods=methods)


def _dispute_opened(step: Step, fact: facts.DisputeOpened) -> None:
    """Attempts stop, a person looks. SPEC 8."""
    for obligation in step.s.open_obligations:
        if obligation.status is CycleStatus.RETRYING:
            step.put(obligation, next=None)
    refunding.dispute(step, fact.payment_id, is_open=True)
    step.attend("a payment is disputed: attempts have stopped")


def _dispute_closed(step: Step, fact: facts.DisputeClosed) -> None:
    refunding.dispute(step, fact.payment_id, is_open=False)


# --- time ------------------------------------------------------------------------------------------


def _time_came(step: Step, fact: facts.TimeCame) -> None:
    obligation = step.s.obligation(fact.obligation) if fact.obligation is not None else None
    _TIME[Do(fact.what)](step, obligation)


def _activate(step: Step, _: Obligation | None) -> None:
    calendar = step.s.calendar
    if calendar is not None and calendar.immediate_at is not None and step.s.next_number == 1:
        _open_cycle(step, None)
        return
    step.turn(SubscriptionFact.NOTHING_DUE_NOW)
    step.emit(EventType.PLAN_ACTIVATED)
    step.emit(EventType.ACTIVE)
    telling.tell_created(step)


def _time_out_activation(step: Step, _: Obligation | None) -> None:
    step.turn(SubscriptionFact.ACTIVATION_TIMED_OUT)
    lifecycle.fail(step, "the mandate link was not completed in time")


def _open_cycle(step: Step, _: Obligation | None) -> None:
    if step.s.next_number in step.s.skips:
        lifecycle.skip_cycle(step, "skipped on request")
        return
    obligation = lifecycle.new_cycle(step)
    step.emit(
        EventType.CYCLE_CREATED,
        cycle=obligation.number,
        due_at=obligation.due_at.isoformat(),
        amount=obligation.amount,
        currency=obligation.currency,
    )
    collecting.open_obligation(step, obligation, Trigger.DUE, f"cycle {obligation.number} is due")


def _skip_cycle(step: Step, _: Obligation | None) -> None:
    lifecycle.skip_cycle(step, f"the subscription was {step.s.status.value}")


def _end_grace(step: Step, obligation: Obligation | None) -> None:
    step.turn(SubscriptionFact.GRACE_ENDED)
    step.emit(EventType.ON_HOLD)
    if obligation is not None:
        telling.tell_on_hold(step, obligation)


def _give_up(step: Step, obligation: Obligation | None) -> None:
    if obligation is not None:
        lifecycle.give_up(step, obligation, "the recovery window is over")


def _end_pause(step: Step, _: Obligation | None) -> None:
    commanding.end_pause(step, SubscriptionFact.PAUSE_ENDED)


def _end_calendar(step: Step, _: Obligation | None) -> None:
    step.turn(SubscriptionFact.CALENDAR_ENDED)
    step.set(canceled_by_calendar=True)
    step.emit(EventType.CANCELED, because="no further cycle is to open")
    telling.tell_canceled(step, "no further cycle is to open")


def _end_period(step: Step, _: Obligation | None) -> None:
    step.turn(SubscriptionFact.PERIOD_ENDED)
    lifecycle.end(step, "the paid period is over")


def _raise_attention(step: Step, obligation: Obligation | None) -> None:
    if obligation is None:
        return
    since = obligation.last.unclear_since if obligation.last is not None else None
    is_unclear = obligation.status is CycleStatus.UNKNOWN and UNCLEAR_FLAG not in obligation.flagged
    step.attend(UNCLEAR_FLAG if is_unclear and since is not None else WINDOW_FLAG, obligation)


_TIME: dict[Do, Callable[[Step, Obligation | None], None]] = {
    Do.ACTIVATE: _activate,
    Do.TIME_OUT_ACTIVATION: _time_out_activation,
    Do.OPEN_CYCLE: _open_cycle,
    Do.SKIP_CYCLE: _skip_cycle,
    Do.END_GRACE: _end_grace,
    Do.GIVE_UP: _give_up,
    Do.END_PAUSE: _end_pause,
    Do.END_CALENDAR: _end_calendar,
    Do.END_PERIOD: _end_period,
    Do.RAISE_ATTENTION: _raise_attention,
}


# --- commands and notices --------------------------------------------------------------------------


def _queued(step: Step, fact: facts.Queued) -> None:
    known = {c.command_id for c in (*step.s.queue, *step.s.results, *step.s.refunds)}
    if fact.command.command_id not in known:
        step.set(queue=(*step.s.queue, fact.command))


def _commanded(step: Step, fact: facts.Commanded) -> None:
    commanding.run_command(step, fact.command)


def _notice_started(step: Step, fact: facts.NoticeStarted) -> None:
    for notice in step.s.notices:
        if notice.key == fact.key and notice.status is NoticeStatus.PLANNED:
            step.change_notice(notice, status=NoticeStatus.SENDING)


def _notice_concluded(step: Step, fact: facts.NoticeConcluded) -> None:
    for notice in step.s.notices:
        if notice.key == fact.key and notice.status is NoticeStatus.SENDING:
            telling.conclude(step, notice, fact)


def _notice_undelivered(step: Step, fact: facts.NoticeUndelivered) -> None:
    for notice in step.s.notices:
        if notice.key == fact.key:
            telling.tell_again(step, notice, fact)


_HANDLERS: dict[str, Callable[[Step, Any], None]] = {
    "heard": _heard,
    "mandate_created": _mandate_created,
    "mandate_not_created": _mandate_not_created,
    "mandate_read": _mandate_read,
    "mandate_authorized": _mandate_authorized,
    "mandate_failed": _mandate_failed,
    "mandate_ended": _mandate_ended,
    "mandate_given_back": _mandate_given_back,
    "page_paid": first_price.paid,
    "page_closed": first_price.closed,
    "attempt_started": _attempt_started,
    "attempt_concluded": _attempt_concluded,
    "payment_observed": _payment_observed,
    "method_updated": _method_updated,
    "method_lost": _method_lost,
    "dispute_opened": _dispute_opened,
    "dispute_closed": _dispute_closed,
    "refund_concluded": refunding.conclude,
    "refund_observed": refunding.observe,
    "time_came": _time_came,
    "queued": _queued,
    "commanded": _commanded,
    "notice_started": _notice_started,
    "notice_concluded": _notice_concluded,
    **plan_facts.HANDLERS,
    "notice_undelivered": _notice_undelivered,
}
