"""What each command does. SPEC 9. Whether it may is `command_table`'s business."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from dunning.domain import changing_items, collecting, lifecycle, plan_commands, planning, refunding, telling, unpaid
from dunning.domain.attempts import Trigger, on_demand_obligation
from dunning.domain.command_table import judge, retry_target
from dunning.domain.commands import (
    Cancel,
    Charge,
    Command,
    CommandResult,
    Defer,
    Pause,
    RetryNow,
    SetPolicy,
    SkipCycle,
    UpdatePaymentMethod,
)
from dunning.domain.messages import EventType
from dunning.domain.state import MethodState, Obligation
from dunning.domain.step import Step
from dunning.domain.tables import (
    CycleFact,
    CycleStatus,
    SubscriptionFact,
    SubscriptionStatus,
)
from dunning.domain.terms import Occasion

_S = SubscriptionStatus

REQUEST_MEMORY = timedelta(hours=24)
"""`requested_at` is believed when it lies in the last day; else the command counts from its arrival."""


def run_command(step: Step, command: Command) -> None:
    """Take the command from the queue, do or refuse it, and answer."""
    step.set(queue=tuple(c for c in step.s.queue if c.command_id != command.command_id))
    verdict = judge(step.s, command, step.now)
    if not verdict.is_allowed:
        step.answer(CommandResult(command_id=command.command_id, status="refused", reason=verdict.because))
        return
    if plan_commands.hand_over(step, command):
        return  # answered when the provider has taken it
    carry_out(step, command)


def carry_out(step: Step, command: Command) -> None:
    """Do what the command asks for, and answer."""
    detail = _HANDLERS[command.name](step, command)
    if detail is None:
        return  # answered when it is known what came of it
    step.answer(CommandResult(command_id=command.command_id, status="done", reason="", detail=detail))


def instant_of(step: Step, command: Command) -> datetime:
    """When the person did it (business time), if that is credible; else now."""
    requested = command.requested_at
    if requested is not None and step.now - REQUEST_MEMORY <= requested <= step.now:
        return requested
    return step.now


def _cancel(step: Step, command: Cancel) -> dict[str, str]:
    was = step.s.status
    because = "canceled by the user" if command.type == "USER_REQUESTED_STOP_RENEWALS" else "canceled by the developer"
    step.set(cancel_type=str(command.type))
    if was in (_S.REQUIRES_ACTION, _S.ACTIVATING):
        lifecycle.cancel_open(step, because)
        step.turn(SubscriptionFact.CANCEL)
        lifecycle.fail(step, because)
        return {}
    lifecycle.cancel_open(step, because, keep_commitment=True)
    is_committed = step.s.open_cycle is not None
    if was is _S.PAST_DUE and is_committed:
        step.set(status=_S.CANCELED)
    else:
        step.turn(SubscriptionFact.CANCEL)
    if step.s.status is _S.INACTIVE:
        lifecycle.end(step, because)
    else:
        step.emit(EventType.CANCELED, because=because, until=_iso(step.s.paid_until))
    telling.tell_canceled(step, because)
    return {"until": _iso(step.s.paid_until) or ""}


def _restore(step: Step, command: Command) -> dict[str, str]:
    step.turn(SubscriptionFact.RESTORE)
    step.set(cancel_type=None)
    step.drop_notices("the cancellation was taken back", occasion=Occasion.CANCELED)
    step.emit(EventType.RESTORED)
    return {}


def _pause(step: Step, command: Pause) -> dict[str, str]:
    lifecycle.cancel_open(step, "paused")
    step.turn(SubscriptionFact.PAUSE)
    step.set(pause_until=command.until, past_due_since=None)
    step.emit(EventType.PAUSED, until=_iso(command.until))
    return {"until": _iso(command.until) or ""}


def _resume(step: Step, command: Command) -> dict[str, str]:
    end_pause(step, SubscriptionFact.RESUME)
    return {}


def end_pause(step: Step, fact: SubscriptionFact) -> None:
    """Charging goes on at the next calendar instant; the numbers that passed are used. SPEC 5."""
    step.turn(fact)
    step.set(pause_until=None)
    step.emit(EventType.RESUMED)


def _defer(step: Step, command: Defer) -> dict[str, str]:
    calendar = step.s.calendar
    if calendar is None:
        return {}
    number, shift = step.s.next_number, planning.spread(step.s)
    was, calendar = calendar.due(number) + shift, calendar.deferred(number, command.days)
    due = calendar.due(number) + shift
    step.set(calendar=calendar, deferred_days=step.s.deferred_days + command.days)
    _stretch_period(step, was, due)
    step.emit(EventType.DEFERRED, days=command.days, next_due_at=due.isoformat())
    return {"next_due_at": due.isoformat()}


def _stretch_period(step: Step, was: datetime, due: datetime) -> None:
    """The period before a deferred cycle ends with it, whether it is paid already or still owed."""
    owed = step.s.open_cycle
    if owed is not None:
        step.put(owed, period_end=due)
    if step.s.paid_until is not None and step.s.paid_until >= was:
        step.set(paid_until=max(step.s.paid_until, due))


def _charge(step: Step, command: Charge) -> dict[str, str]:
    at = instant_of(step, command)
    obligation = Obligation(
        id=on_demand_obligation(command.command_id),
        amount=command.amount,
        currency=command.currency or step.s.terms.currency,
        description=command.description or step.s.terms.description,
        metadata=dict(command.metadata or {}),
        due_at=at,
        opened_at=step.now,
    )
    step.put(obligation)
    collecting.open_obligation(step, obligation, Trigger.ON_DEMAND, "charged on demand")
    return {"obligation": obligation.id}


def _retry_now(step: Step, command: RetryNow) -> dict[str, str]:
    obligation = retry_target(step.s, command)
    if obligation is None:
        raise LookupError("judge allows retry_now only with a target")
    candidates = [m for m in step.s.methods if m.verdict != "HARD" and not m.is_expired(step.now)]
    current = step.s.method(step.s.current)
    method = current if current in candidates else candidates[0]
    at = instant_of(step, command)
    if method is not None:
        unpaid.plan_now(step, obligation, Trigger.OPERATOR, CycleFact.TRIED_BY_PERSON, at=at, method=method)
    return {"obligation": obligation.id}


def _update_payment_method(step: Step, command: UpdatePaymentMethod) -> dict[str, str]:
    method = MethodState(
        token=command.token,
        expires=command.expires,
        network=command.network,
        fingerprint=command.fingerprint,
    )
    take_method(step, method, instant_of(step, command))
    return {}


def take_method(step: Step, method: MethodState, at: datetime) -> None:
    """A new method becomes current; what is owed is tried on it at once. SPEC 7, 8."""
    known = step.s.method(method.token)
    if known is not None and known.verdict == "HARD":
        step.attend("the method given was declined for good before and is not charged again")
        return
    others = tuple(m for m in step.s.methods if m.token != method.token)
    step.set(methods=(method, *others), current=method.token)
    plan_commands.bind_method(step)
    for obligation in step.s.open_obligations:
        _try_on(step, obligation, method, at)


def _try_on(step: Step, obligation: Obligation, method: MethodState, at: datetime) -> None:
    is_ours = not obligation.is_followed  # what the provider collects is never tried by us as well
    if is_ours and obligation.status in (CycleStatus.RETRYING, CycleStatus.AWAITING_METHOD):
        trigger = Trigger.PAYMENT_METHOD_UPDATED
        unpaid.plan_now(step, obligation, trigger, CycleFact.METHOD_UPDATED, at=at, method=method)
    elif is_ours and obligation.next is not None:
        step.put(obligation, next=obligation.next.but(method=method.token))
    else:
        step.put(obligation, kept_method=method.token)


def _skip_cycle(step: Step, command: SkipCycle) -> dict[str, str]:
    number = command.number or step.s.next_number
    if number == step.s.next_number and step.s.open_cycle is None:
        lifecycle.skip_cycle(step, "skipped on request")
    else:
        step.set(skips=tuple(sorted({*step.s.skips, number})))
    return {"cycle": str(number)}


def _set_policy(step: Step, command: SetPolicy) -> dict[str, str]:
    """The new policy counts from the next cycle on; the open one keeps the terms it began with."""
    step.set(next_terms=plan_commands.changed_terms(step.s, command))
    return {"from_cycle": str(step.s.next_number)}


def _mark_fixed(step: Step, command: Command) -> dict[str, str]:
    at = instant_of(step, command)
    for obligation in step.s.open_obligations:
        if obligation.status is CycleStatus.AWAITING_OPERATOR:
            method = planning.usable_method(step.s, step.now)
            if method is None:
                continue
            unpaid.plan_now(step, obligation, Trigger.OPERATOR, CycleFact.FIXED, at=at, method=method)
    return {}


def _reinstate(step: Step, command: Command) -> dict[str, str]:
    paid = [(o.period_end, o) for o in step.s.obligations if o.status is CycleStatus.SUCCEEDED and o.period_end]
    until, latest = max(paid, key=lambda one: one[0])
    step.turn(SubscriptionFact.REINSTATE)
    step.set(paid_until=until, stopped_at=None)
    step.emit(EventType.RESTORED, because="reinstated after a late payment", until=_iso(until))
    if latest.is_given_up:
        telling.tell_recovered(step, latest)
    return {"until": until.isoformat()}


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant is not None else None


_HANDLERS: dict[str, Callable[[Step, Any], dict[str, str] | None]] = {
    "cancel": _cancel,
    "restore": _restore,
    "pause": _pause,
    "resume": _resume,
    "defer": _defer,
    "charge": _charge,
    "retry_now": _retry_now,
    "update_payment_method": _update_payment_method,
    "skip_cycle": _skip_cycle,
    "set_policy": _set_policy,
    "mark_fixed": _mark_fixed,
    "reinstate": _reinstate,
    "refund": refunding.refund,
    "revoke": refunding.revoke,
    "change_items": changing_items.change_items,
}
