"""Which notices follow from what happened, and when they are sent. SPEC 11.

Instants are planned here, in the core, so that preview and test clocks show them.
"""

from __future__ import annotations

from datetime import datetime

from dunning.domain import announcing, planning
from dunning.domain.attempts import Attempt, OutcomeKind
from dunning.domain.contact import slot
from dunning.domain.declines import DeclineClass, customer_reason
from dunning.domain.facts import NoticeConcluded, NoticeUndelivered
from dunning.domain.messages import NoticeStatus, PlannedNotice
from dunning.domain.quiet import next_allowed
from dunning.domain.state import Obligation
from dunning.domain.step import Step
from dunning.domain.tables import CycleStatus
from dunning.domain.terms import Channel, Occasion

Facts = dict[str, str | int]


def tell_failed(step: Step, obligation: Obligation) -> None:
    """An attempt failed and the engine will try again. `failed_attempt_notifications` says which are told."""
    last = obligation.last
    if last is None or not _is_told(step, last.number):
        return
    facts: Facts = {} if obligation.next is None else {"next_attempt_at": obligation.next.at.isoformat()}
    because = f"attempt {last.number} was declined"
    _plan(step, Occasion.FAILED, obligation, because, {"attempt": last.number, **_stage(step, obligation), **facts})


def _stage(step: Step, obligation: Obligation) -> Facts:
    """The tone rises over the ladder: the first failure, one more, and the one before the last try. SPEC 11."""
    if planning.is_last_rung(step.s, obligation):
        return {"stage": "last"}
    declined = sum(1 for a in obligation.attempts if a.outcome is not None and a.outcome.kind is OutcomeKind.DECLINED)
    return {"stage": "again"} if declined > 1 else {}


def tell_action_required(step: Step, obligation: Obligation) -> None:
    """Nothing is tried until the customer acts."""
    last = obligation.last
    because = "the payment method can no longer be charged" if last else "there is no usable payment method"
    facts: Facts = {} if last is None else {"attempt": last.number}
    if obligation.window_end is not None:
        facts["open_until"] = obligation.window_end.isoformat()
    step.drop_notices("replaced: the customer has to act", obligation=obligation.id)
    _plan(step, Occasion.ACTION_REQUIRED, obligation, because, facts)


def tell_stopped(step: Step, obligation: Obligation | None, because: str) -> None:
    """The subscription ended unpaid."""
    if obligation is None:
        return
    step.drop_notices("replaced: the subscription has stopped", obligation=obligation.id)
    _plan(step, Occasion.STOPPED, obligation, because, {})


def tell_created(step: Step) -> bool:
    """The subscription came to life; true when the customer hears of it."""
    if not _channels(step, Occasion.CREATED):
        return False
    return _plan(step, Occasion.CREATED, None, "the subscription is active", _next_due(step))


def tell_succeeded(step: Step, obligation: Obligation) -> None:
    """Paid at the first try: a receipt."""
    if _channels(step, Occasion.SUCCEEDED):
        _plan(step, Occasion.SUCCEEDED, obligation, "the payment arrived", _next_due(step))


def _next_due(step: Step) -> Facts:
    due = announcing.next_due(step.s)
    return {} if due is None else {"next_due_at": due.isoformat()}


def tell_on_hold(step: Step, obligation: Obligation) -> None:
    """The grace is over; what else waited to be told about this cycle is told by this."""
    facts: Facts = {} if obligation.window_end is None else {"open_until": obligation.window_end.isoformat()}
    if _channels(step, Occasion.ON_HOLD):
        step.drop_notices("replaced: the subscription is on hold", obligation=obligation.id)
    _plan(step, Occasion.ON_HOLD, obligation, "the grace is over", facts)


def tell_canceled(step: Step, because: str) -> None:
    """It will not be renewed."""
    until = step.s.paid_until
    facts: Facts = {} if until is None or until <= step.now else {"access_until": until.isoformat()}
    _plan(step, Occasion.CANCELED, None, because, facts)


def tell_gave_up(step: Step, obligation: Obligation) -> None:
    """The last attempt of a cycle failed and the plan goes on (RESUME)."""
    last = obligation.last
    if last is None or not _is_told(step, last.number):
        return
    because = f"attempt {last.number} was declined; it was the last"
    _plan(step, Occasion.FAILED, obligation, because, {"attempt": last.number, **_stage(step, obligation)})


def tell_recovered(step: Step, obligation: Obligation) -> None:
    """Paid after a failure that was told; where nothing was told yet, what waits is dropped. SPEC 11."""
    told = [
        n
        for n in step.s.notices
        if n.obligation == obligation.id and n.status in (NoticeStatus.SENT, NoticeStatus.SENDING)
    ]
    step.drop_notices("paid in the meantime", obligation=obligation.id)
    if told or obligation.is_told:
        _plan(step, Occasion.RECOVERED, obligation, "the payment was recovered", {})


def tell_refunded(step: Step, *, amount: int, currency: str, description: str, because: str) -> bool:
    """Money went back to the customer. False when nobody is told. `amount` in minor units of `currency`."""
    facts: Facts = {"amount": amount, "currency": currency, "description": description}
    return _plan(step, Occasion.REFUNDED, None, because, facts)


def tell_again(step: Step, notice: PlannedNotice, fact: NoticeUndelivered) -> None:
    """A channel took a notice and did not deliver it: it is handed over once more, if it is still true. SPEC 11.

    The ledger's rows keep what did arrive from being sent again. A notice that is being sent is told so when it ends.
    """
    owed = step.s.obligation(notice.obligation) if notice.obligation and step.s.has(notice.obligation) else None
    if fact.attention:
        step.attend(fact.attention, owed)
    if fact.is_told:
        return
    at = max(next_allowed(fact.at, step.s.terms.customer.time_zone or "UTC"), step.now)
    if notice.status is NoticeStatus.SENDING:
        step.change_notice(notice, again_at=at)
        return
    if notice.status not in (NoticeStatus.SENT, NoticeStatus.FAILED):
        return
    if untrue := _untrue_because(step, notice):
        step.change_notice(notice, outcome=f"{fact.because}; not told again: {untrue}")
    else:
        # A charge that waits for it counts its hours from when it is really told.
        step.change_notice(notice, status=NoticeStatus.PLANNED, at=at, outcome=fact.because, told_at=None)


def conclude(step: Step, notice: PlannedNotice, fact: NoticeConcluded) -> None:
    """What came of sending. What became untrue in the meantime is not tried again. SPEC 11."""
    owed = step.s.obligation(notice.obligation) if notice.obligation and step.s.has(notice.obligation) else None
    if fact.attention:
        step.attend(fact.attention, owed)
    if fact.is_sent and owed is not None:
        step.put(step.s.obligation(owed.id), is_told=True)
    if fact.is_sent and notice.told_at is None:
        notice = notice.but(told_at=step.now)
    again_at = min((at for at in (fact.retry_at, notice.again_at) if at is not None), default=None)
    notice = notice.but(again_at=None)
    if again_at is None:
        status = NoticeStatus.SENT if fact.is_sent else NoticeStatus.FAILED
        step.change_notice(notice, status=status, outcome=fact.detail)
        if notice.is_precondition and not fact.is_sent:
            step.attend(f"a charge waits for a notice that reached nobody: {fact.detail}")
    elif untrue := _untrue_because(step, notice):
        status = NoticeStatus.SENT if fact.is_sent else NoticeStatus.DROPPED
        step.change_notice(notice, status=status, outcome=f"{untrue}; {fact.detail}")
    else:
        zone = step.s.terms.customer.time_zone or "UTC"
        at = max(next_allowed(again_at, zone), step.now)
        step.change_notice(notice, status=NoticeStatus.PLANNED, at=at, outcome=fact.detail)
    if owed is not None:
        _drop_thanks_for_nothing(step, owed.id)


def _untrue_because(step: Step, notice: PlannedNotice) -> str | None:
    """Nothing is said about a failure that was paid, or that a later notice tells of."""
    announced = notice.facts.get("next_attempt_at")
    if announced and datetime.fromisoformat(str(announced)) <= step.now:
        return "the attempt that it announces has come in the meantime"
    if notice.obligation is None:
        return None
    ours = [n for n in step.s.notices if n.obligation == notice.obligation]
    later = ours[[n.key for n in ours].index(notice.key) + 1 :]
    if any(n.status is not NoticeStatus.DROPPED and n.occasion not in announcing.AHEAD for n in later):
        return "a later notice tells the same"
    paid = step.s.has(notice.obligation) and step.s.obligation(notice.obligation).status is CycleStatus.SUCCEEDED
    return "paid in the meantime" if paid and notice.occasion is not Occasion.RECOVERED else None


def _drop_thanks_for_nothing(step: Step, obligation: str) -> None:
    """`recovered` was planned while a failure was being told; if that reached nobody, it is not sent either."""
    told = (NoticeStatus.SENT, NoticeStatus.SENDING)
    ours = [n for n in step.s.notices if n.obligation == obligation and n.occasion is not Occasion.RECOVERED]
    if not ours or step.s.obligation(obligation).is_told or any(n.status in told for n in ours):
        return
    for notice in step.s.notices:
        is_thanks = notice.obligation == obligation and notice.occasion is Occasion.RECOVERED
        if is_thanks and notice.status is NoticeStatus.PLANNED:
            step.change_notice(notice, status=NoticeStatus.DROPPED, outcome="the failure was never told")


def _is_told(step: Step, number: int) -> bool:
    """Whether the customer hears of failed attempts, and of this one."""
    chosen = step.s.terms.failed_attempt_notifications
    return bool(_channels(step, Occasion.FAILED)) and (chosen is None or number in chosen)


def _channels(step: Step, occasion: Occasion) -> tuple[Channel, ...]:
    return step.s.terms.notifications.get(occasion, ())


def _plan(step: Step, occasion: Occasion, obligation: Obligation | None, because: str, facts: Facts) -> bool:
    """Plan a notice about what has just happened; false when the customer is not to hear of it."""
    state = step.s
    channels = _channels(step, occasion)
    if not channels:
        return False
    free = slot(step.s.notices, occasion, channels, step.now, state.terms.customer.time_zone or "UTC")
    if free.because and not free.is_full:
        because = f"{because}; {free.because}"
    last = obligation.last if obligation is not None else None
    about = f"{obligation.id}/{last.number if last else 0}" if obligation is not None else f"life/{state.revision}"
    step.plan_notice(
        PlannedNotice(
            key=f"{state.generation}/{about}/{occasion.value}",
            occasion=occasion,
            channels=tuple(channels),
            at=free.at,
            obligation=obligation.id if obligation is not None else None,
            attempt=last.number if last is not None else None,
            because=because,
            facts={**_facts(step, obligation, last), **facts},
            status=NoticeStatus.DROPPED if free.is_full else NoticeStatus.PLANNED,
            outcome=free.because if free.is_full else None,
        )
    )
    return not free.is_full


def _facts(step: Step, obligation: Obligation | None, last: Attempt | None) -> Facts:
    terms = step.s.terms
    if obligation is None:
        return {"amount": terms.amount, "currency": terms.currency, "description": terms.description}
    outcome = last.outcome if last is not None else None
    klass = outcome.klass if outcome is not None else None
    reason = customer_reason(klass or DeclineClass.ACTION, (outcome.raw_code if outcome else None) or "")
    return {
        "amount": obligation.amount,
        "currency": obligation.currency,
        "description": obligation.description or terms.description,
        "reason_key": str(reason),
        "due_at": obligation.due_at.isoformat(),
    }
