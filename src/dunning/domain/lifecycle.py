"""What opens, closes and ends: cycles, and the subscription itself. SPEC 5, 8."""

from __future__ import annotations

from datetime import datetime

from dunning.domain import planning, telling
from dunning.domain.attempts import Attempt
from dunning.domain.calendar import open_calendar
from dunning.domain.commands import Cancel, Pause, Revoke
from dunning.domain.messages import EventType
from dunning.domain.state import Obligation, State
from dunning.domain.step import Step
from dunning.domain.tables import (
    OWED_CYCLE,
    CycleFact,
    CycleStatus,
    SubscriptionFact,
    SubscriptionStatus,
)
from dunning.domain.terms import FailedCycleAction, ImmediateAction, Terms

_S = SubscriptionStatus


# --- the calendar ----------------------------------------------------------------------------------


def start_calendar(step: Step, authorized_at: datetime) -> None:
    """Fix the calendar at the authorisation. SPEC 5."""
    terms = step.s.terms
    schedule = terms.schedule
    calendar = open_calendar(
        anchor_at=schedule.anchor_at,
        interval=schedule.interval,
        interval_count=schedule.interval_count,
        on=schedule.on,
        start_at=schedule.start_at,
        end_at=schedule.end_at,
        total_cycles=schedule.total_cycles,
        trial_ends_at=schedule.trial_ends_at,
        authorized_at=authorized_at,
        immediate=terms.immediate_action is ImmediateAction.FULL_AMOUNT,
    )
    step.set(calendar=calendar, authorized_at=authorized_at)


def next_due_after(state: State, obligation: Obligation, instant: datetime) -> datetime | None:
    """The first calendar instant in the future of `instant`: the window never passes it. SPEC 5, 8."""
    if not obligation.is_cycle or state.calendar is None or obligation.number is None:
        return None
    shift, following = planning.spread(state), obligation.number + 1
    due = state.calendar.due_if_any(following)
    if due is not None and due > instant:  # nearly always: a charge runs in its own period
        return due + shift
    number = state.calendar.first_number_at_or_after(instant, after_number=obligation.number)
    while (due := state.calendar.due_if_any(number)) is not None:
        if due + shift > instant:
            return due + shift
        number += 1
    return None


def new_cycle(step: Step) -> Obligation:
    """The next cycle becomes an obligation; the number is used. Pinned policy changes take effect here."""
    state = step.s
    number, calendar = state.next_number, state.calendar
    if calendar is None:
        raise ValueError("a cycle cannot open before the calendar is fixed")
    was, changed = state.terms, state.next_terms
    if changed is not None:
        step.set(terms=changed, next_terms=None)
        _tell_items(step, was, changed)
    terms = step.s.terms
    shift = planning.spread(state)
    due_at, period_end = calendar.period(number)
    obligation = Obligation(
        id=str(number),
        number=number,
        amount=terms.amount,
        currency=terms.currency,
        description=terms.description,
        due_at=due_at + shift,
        opened_at=step.now,
        period_end=period_end + shift,
    )
    step.put(obligation)
    step.set(next_number=number + 1, deferred_days=0, skips=tuple(n for n in state.skips if n > number))
    return obligation


def _tell_items(step: Step, was: Terms, now: Terms) -> None:
    """Items that end and begin with a period; what only costs another amount is no other item."""
    before, after = ([item.product_id for item in terms.items] for terms in (was, now))
    if set(before) == set(after):
        return
    step.emit(
        EventType.ITEMS_CHANGED,
        items=[{"product_id": name, "until": None, "renews": True} for name in after],
        added=[name for name in after if name not in before],
        removed=[name for name in before if name not in after],
        ending=[],
        because="a new period begins",
        command_id=None,
    )


def skip_cycle(step: Step, because: str) -> None:
    """The next cycle's number is used and the cycle canceled. SPEC 5."""
    obligation = new_cycle(step)
    step.move(obligation, CycleFact.SKIPPED, closed_at=step.now, closed_because=because)


# --- paid ------------------------------------------------------------------------------------------


def close_paid(step: Step, obligation: Obligation, fact: CycleFact, paid_at: datetime, attempt: Attempt | None) -> None:
    """The obligation is paid: access, events, notices, and the next due instant where it was on hold."""
    was = step.s.status
    had_failed = obligation.past_due_since is not None
    obligation = step.move(obligation, fact, next=None, closed_at=step.now, window_end=None)
    step.set(last_success_at=paid_at)
    if not obligation.is_cycle:
        _tell_paid(step, obligation, had_failed=had_failed)
        return
    if was is _S.ON_HOLD and not obligation.is_followed:  # the provider's calendar is its own
        _reanchor(step, paid_at)
        end = step.s.calendar.due(step.s.next_number) if step.s.calendar is not None else paid_at
        obligation = step.put(obligation, period_end=end + planning.spread(step.s))
    if obligation.period_end is not None:
        ends = [t for t in (step.s.paid_until, obligation.period_end) if t is not None]
        step.set(paid_until=max(ends))
    step.emit(
        EventType.CYCLE_SUCCEEDED,
        cycle=obligation.number,
        amount=obligation.amount,
        currency=obligation.currency,
        attempt=attempt.number if attempt is not None else None,
    )
    _settle_status(step, was)
    if was is _S.ACTIVATING and telling.tell_created(step):
        return
    _tell_paid(step, step.s.obligation(obligation.id), had_failed=had_failed)


def _tell_paid(step: Step, obligation: Obligation, *, had_failed: bool) -> None:
    if had_failed:
        telling.tell_recovered(step, obligation)
    else:
        telling.tell_succeeded(step, obligation)


def _reanchor(step: Step, paid_at: datetime) -> None:
    """Paid in hold: the calendar starts again at the recovery. SPEC 8.

    A deferral of the next cycle still counts: nobody is charged sooner than the answer to the command said.
    """
    calendar, number, days = step.s.calendar, step.s.next_number, step.s.deferred_days
    if calendar is not None:
        again = calendar.reanchored(number, paid_at)
        step.set(calendar=again.deferred(number, days) if days else again)


def _settle_status(step: Step, was: SubscriptionStatus) -> None:
    if was is _S.ACTIVATING:
        step.turn(SubscriptionFact.FIRST_PAYMENT_SUCCEEDED)
        step.emit(EventType.PLAN_ACTIVATED)
        step.emit(EventType.ACTIVE)
        return
    if was in (_S.PAST_DUE, _S.ON_HOLD, _S.CANCELED) and not has_owed_cycle(step.s):
        is_owed_until_now = step.s.past_due_since is not None
        if was is not _S.CANCELED or is_owed_until_now:
            step.turn(SubscriptionFact.NO_CYCLE_OWED)
        step.set(past_due_since=None)
        if was in (_S.PAST_DUE, _S.ON_HOLD):
            step.emit(EventType.ACTIVE, because="nothing is owed any more")


def has_owed_cycle(state: State) -> bool:
    """Whether a cycle is retrying, awaiting, pending or unknown. SPEC 8, `no_cycle_owed`."""
    return any(o.is_cycle and o.status in OWED_CYCLE for o in state.obligations)


def take_payment(step: Step, obligation: Obligation, paid_at: datetime, because: str) -> None:
    """A payment found for an obligation that we think unpaid always wins. SPEC 8."""
    was = obligation.status
    if was in (CycleStatus.FAILED, CycleStatus.CANCELED):
        step.attend(because, obligation)
        obligation = step.s.obligation(obligation.id)
        obligation = step.move(obligation, CycleFact.PAID, closed_at=step.now, next=None)
        if obligation.is_cycle:
            step.emit(
                EventType.CYCLE_SUCCEEDED,
                cycle=obligation.number,
                amount=obligation.amount,
                currency=obligation.currency,
                late=True,
            )
        _tell_paid_late(step, obligation)
        return
    close_paid(step, obligation, CycleFact.PAID, paid_at, None)


def _tell_paid_late(step: Step, obligation: Obligation) -> None:
    """`recovered` says that everything is in order: not while another cycle is owed, nor before a person reinstates."""
    if step.s.is_ended:
        step.drop_notices("paid in the meantime", obligation=obligation.id)
    else:
        _tell_paid(step, obligation, had_failed=not has_owed_cycle(step.s))


# --- given up --------------------------------------------------------------------------------------


def give_up(step: Step, obligation: Obligation, because: str) -> None:
    """The recovery window is over, or nothing is left to try. SPEC 8."""
    obligation = step.move(
        obligation,
        CycleFact.GIVEN_UP,
        next=None,
        window_end=None,
        is_given_up=True,
        closed_at=step.now,
        closed_because=because,
    )
    if not obligation.is_cycle:
        telling.tell_gave_up(step, obligation)
        return
    step.emit(EventType.CYCLE_FAILED, cycle=obligation.number, amount=obligation.amount, because=because)
    step.set(past_due_since=None)
    if step.s.status is _S.CANCELED:
        step.turn(SubscriptionFact.CYCLE_CLOSED_UNPAID)
        end(step, because)
        telling.tell_stopped(step, obligation, because)
    elif step.s.terms.failed_cycle_action is FailedCycleAction.STOP:
        step.turn(SubscriptionFact.GIVEN_UP_STOP)
        step.emit(EventType.PLAN_INACTIVATED, because=because)
        end(step, because)
        telling.tell_stopped(step, obligation, because)
    else:
        step.turn(SubscriptionFact.GIVEN_UP_RESUME)
        telling.tell_gave_up(step, obligation)


def end(step: Step, because: str) -> None:
    """Access and collection end; what is still open on the side is canceled."""
    cancel_open(step, because)
    step.set(stopped_at=step.now, past_due_since=None)
    step.emit(EventType.ENDED, because=because)


def end_by_provider(step: Step, because: str) -> None:
    """The mandate or the plan ended at the provider: as a developer's cancel. SPEC 8."""
    cancel_open(step, because)
    if step.s.status in (_S.REQUIRES_ACTION, _S.ACTIVATING):
        step.turn(SubscriptionFact.CANCEL)
        fail(step, because)
        return
    step.turn(SubscriptionFact.PROVIDER_ENDED)
    step.set(cancel_type="DEVELOPER_REQUESTED_STOP_PAYMENTS")
    if step.s.status is _S.INACTIVE:
        end(step, because)
    else:
        step.emit(EventType.CANCELED, because=because)
        telling.tell_canceled(step, because)


def cancel_open(step: Step, because: str, *, keep_commitment: bool = False) -> None:
    """Cancel what is being collected; committed cycles may be kept. SPEC 8."""
    committed = step.s.terms.schedule.commitment_cycles or 0
    for obligation in step.s.open_obligations:
        if keep_commitment and obligation.number is not None and obligation.number <= committed:
            continue
        step.move(obligation, CycleFact.CANCELED, next=None, closed_at=step.now, closed_because=because)
        step.drop_notices(because, obligation=obligation.id)


def fail_first_payment(step: Step, obligation: Obligation) -> None:
    """The first payment was declined: no ladder, no backups, no service. SPEC 8."""
    because = "the first payment was declined"
    step.move(obligation, CycleFact.GIVEN_UP, next=None, closed_at=step.now, closed_because=because)
    step.emit(EventType.CYCLE_FAILED, cycle=obligation.number, amount=obligation.amount, because=because)
    step.turn(SubscriptionFact.FIRST_PAYMENT_FAILED)
    fail(step, because)


def fail(step: Step, because: str) -> None:
    """The subscription never came to life."""
    step.set(stopped_at=step.now)
    step.emit(EventType.PLAN_INACTIVATED, because=because)
    step.emit(EventType.FAILED, because=because)


def is_stop_waiting(state: State, obligation: Obligation) -> bool:
    """Whether a queued cancel, pause or revoke waits for this obligation's charge to settle. SPEC 8."""
    if not state.queue or not any(isinstance(c, Cancel | Pause | Revoke) for c in state.queue):
        return False
    committed = state.terms.schedule.commitment_cycles or 0
    return obligation.number is None or obligation.number > committed
