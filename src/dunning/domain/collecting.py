"""How an obligation is collected: attempts start, and what each outcome of one leads to. SPEC 6, 8, 13."""

from __future__ import annotations

from datetime import datetime, timedelta

from dunning.domain import declining, lifecycle, planning, telling
from dunning.domain.attempts import SETTLED_KINDS, Attempt, Outcome, OutcomeKind, Trigger, attempt_key
from dunning.domain.declines import DeclineClass
from dunning.domain.state import Obligation, PlannedAttempt
from dunning.domain.step import Step
from dunning.domain.tables import CycleFact, CycleStatus, step_cycle
from dunning.domain.unpaid import fall_due, prove

_SETTLED = frozenset(
    {OutcomeKind.SUCCEEDED, OutcomeKind.DECLINED, OutcomeKind.ABSENT, OutcomeKind.METHOD_REFUSED},
)
"""Nothing more is to be heard of such an attempt, but for a success that was not known."""

_UNCLEAR = frozenset({OutcomeKind.PENDING, OutcomeKind.UNKNOWN})
"""The provider has to be asked again."""

_TAKEN = frozenset({OutcomeKind.SUCCEEDED, OutcomeKind.DECLINED, OutcomeKind.PENDING})
"""The provider took the attempt's method: it is the customer's there now."""

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


# --- an attempt starts and concludes ---------------------------------------------------------------


def start_attempt(step: Step, obligation: Obligation) -> None:
    """The planned attempt is handed to the provider now."""
    planned = _on_usable_method(step, obligation)
    if planned is None:
        return
    state, status = step.s, obligation.status
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
    return attempt.outcome is not None and attempt.outcome.kind in _SETTLED


def _with_outcome(step: Step, obligation: Obligation, attempt: Attempt, outcome: Outcome) -> Obligation:
    unclear = attempt.unclear_since
    looks = attempt.looks
    if unclear is None and outcome.kind in _UNCLEAR:
        unclear = outcome.at
    absent = attempt.absent_since or outcome.at if outcome.is_absent else attempt.absent_since
    new = attempt.but(outcome=outcome, unclear_since=unclear, absent_since=absent, looks=looks)
    attempts = (*obligation.attempts[: new.number - 1], new, *obligation.attempts[new.number :])
    if outcome.kind in _TAKEN:
        step.set(attached=attempt.method)
    page = step.s.page
    if page is not None and page.key == attempt.key and outcome.kind in SETTLED_KINDS:
        step.set(page=None)
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


def _succeeded(step: Step, obligation: Obligation, attempt: Attempt, outcome: Outcome) -> None:
    fact = prove(obligation, CycleFact.SUCCEEDED)
    paid_at = planning.effective_at(attempt)
    if attempt.trigger not in (Trigger.DUE, Trigger.LADDER):
        paid_at = attempt.started_at or outcome.at
    lifecycle.close_paid(step, obligation, fact, paid_at, attempt)


def _pending(step: Step, obligation: Obligation, attempt: Attempt, outcome: Outcome) -> None:
    if obligation.status is not CycleStatus.PENDING:
        step.move(obligation, prove(obligation, CycleFact.PENDING))


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


_HANDLERS = {
    OutcomeKind.SUCCEEDED: _succeeded,
    OutcomeKind.DECLINED: declining.declined,
    OutcomeKind.PENDING: _pending,
    OutcomeKind.UNKNOWN: _unknown,
    OutcomeKind.OUTAGE: _outage,
    OutcomeKind.DEFERRED: _deferred,
    OutcomeKind.ABSENT: _absent,
    OutcomeKind.METHOD_REFUSED: declining.method_refused,
}
