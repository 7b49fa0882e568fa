"""Taking in what is known of a plan: made, read, ended, changed. SPEC 12.

`plan_read` is the one door for everything that the provider says of its plan, asked or not.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from dunning.domain import commanding, facts, following, forecasting, lifecycle, stating
from dunning.domain.commands import CommandResult, SkipCycle
from dunning.domain.expecting import VERIFY_AFTER, has_open_window, rules_of
from dunning.domain.plans import (
    OVER,
    CancelCycle,
    ForceAttempt,
    PendingChange,
    PlanStanding,
    PlanState,
    PlanStatus,
    plan_reference,
)
from dunning.domain.state import MethodState
from dunning.domain.step import Step
from dunning.domain.tables import SubscriptionFact, SubscriptionStatus

_S = SubscriptionStatus
_RANK = {status: rank for rank, status in enumerate(PlanStatus)}
MANY_TRIES = 4
"""So many tries to end a plan without success are shown to a person."""

REFUSED_WAIT = timedelta(days=1)
"""A plan that the provider will not end is asked again after so long, besides a person's eyes."""


def plan_read(step: Step, fact: facts.PlanRead) -> None:
    """What the provider says now."""
    plan, standing = step.s.plan, fact.standing
    if plan is None:
        return
    if stating.is_stated(step.s):
        stating.follow_purchase(step, standing)
        plan = step.s.plan or plan
    if fact.is_made:
        plan = _made(step, plan, standing.plan_id, was_unclear=fact.was_unclear)
    elif _is_the_unclear_one(step, plan, standing):
        plan = _made(step, plan, standing.plan_id, was_unclear=True)
    if standing.plan_id == plan.plan_id:
        forecasting.compare(step, standing)
        _note(step, step.s.plan or plan, standing)
    elif standing.plan_id != plan.old_plan_id:
        return  # no plan of ours: one of another life of this subscription, say
    _take(step, standing)
    if standing.plan_id == plan.plan_id and not stating.is_stated(step.s):
        _over(step, standing)
    following.close_reading(step, is_asked=fact.is_asked)
    if standing.status is None and not standing.cycles and not fact.is_asked:
        _plan_hinted(step, facts.PlanHinted())


def _is_the_unclear_one(step: Step, plan: PlanState, standing: PlanStanding) -> bool:
    """Whether a message is about the plan that was asked for and of which no answer ever came."""
    s = step.s
    expected = plan_reference(s.account, s.id, s.generation, plan.number)
    return plan.plan_id is None and plan.is_unclear and standing.reference == expected


def _take(step: Step, standing: PlanStanding) -> None:
    """Cycles, and where the provider states access, everything else that it says."""
    if not stating.is_stated(step.s):
        following.take_cycles(step, standing)
        return
    stating.before(step, standing)
    following.take_cycles(step, stating.numbered(step, standing))
    stating.after(step, standing)


def _made(step: Step, plan: PlanState, plan_id: str, *, was_unclear: bool) -> PlanState:
    """It exists now. Where it replaces one, that one is to be ended."""
    is_new = plan.plan_id is not None and plan.plan_id != plan_id
    plan = plan.but(
        plan_id=plan_id,
        number=plan.number + 1 if is_new else plan.number,
        old_plan_id=plan.plan_id if is_new else plan.old_plan_id,
        replaces=None,
        is_unclear=False,
        created=plan.created or step.now,
        verify_at=step.now + VERIFY_AFTER if was_unclear else plan.verify_at,
        tries=0,
        wait_until=None,
    )
    step.set(plan=plan)
    return plan


def _note(step: Step, plan: PlanState, standing: PlanStanding) -> None:
    told, status = standing.status, plan.status
    is_to_be_completed = told is PlanStatus.REQUIRES_ACTION and step.s.status is _S.REQUIRES_ACTION
    if told is not None and (_RANK[told] > _RANK[status] or is_to_be_completed):
        status = told
    is_checked = plan.verify_at is not None and step.now >= plan.verify_at
    step.set(
        plan=plan.but(
            status=status,
            link=standing.link or plan.link,
            link_expires_at=standing.link_expires_at or plan.link_expires_at,
            access_until=standing.access_until or plan.access_until,
            created=plan.created or step.now,
            verify_at=None if is_checked else plan.verify_at,
            wait_until=None if plan.change is None else plan.wait_until,
        ),
    )
    if step.s.status is _S.REQUIRES_ACTION:
        _authorise(step, standing, status)
    elif standing.customer_reference is not None and step.s.reference in (None, plan.plan_id):
        step.set(reference=standing.customer_reference)


def _authorise(step: Step, standing: PlanStanding, status: PlanStatus) -> None:
    """Where the plan is the authorisation: its link is the mandate's, and running means authorised."""
    if status is PlanStatus.REQUIRES_ACTION:
        step.set(mandate_link=standing.link, mandate_expires_at=standing.link_expires_at)
        return
    if status is PlanStatus.ENDED or status is PlanStatus.SUSPENDED:
        step.turn(SubscriptionFact.MANDATE_FAILED)
        lifecycle.fail(step, standing.because or "the plan ended before it began")
        return
    if status is PlanStatus.PENDING:
        return
    token = standing.method_token or standing.plan_id
    methods = step.s.methods if step.s.method(token) is not None else (MethodState(token=token), *step.s.methods)
    reference = standing.customer_reference or step.s.reference or standing.plan_id
    step.set(reference=reference, methods=methods, current=token, attached=token)
    step.turn(SubscriptionFact.MANDATE_AUTHORIZED)
    lifecycle.start_calendar(step, step.now)


def _over(step: Step, standing: PlanStanding) -> None:
    """It runs no more: taken over where the provider hands over; else the calendar's end, or the provider's."""
    plan = step.s.plan
    if plan is None or plan.status not in OVER or plan.is_released:
        return
    if plan.status is PlanStatus.SUSPENDED and rules_of(step.s).hands_over:
        following.take_over(step, following.HANDED_OVER)
        return
    is_wanted = plan.is_taken_over or plan.ends_because or step.s.is_ended or step.s.status is _S.CANCELED
    is_run_out = step.s.calendar is not None and not step.s.calendar.has_cycle(step.s.next_number)
    if is_run_out and has_open_window(step.s):
        return  # the last cycle is still being collected
    step.set(plan=plan.but(is_released=True))
    if not is_wanted and not is_run_out:
        lifecycle.end_by_provider(step, standing.because or "the plan ended at the provider")
    if rules_of(step.s).is_mandate:
        step.set(is_mandate_ended=True)


def _plan_hinted(step: Step, _: facts.PlanHinted) -> None:
    plan = step.s.plan
    if plan is not None and plan.plan_id is not None:
        step.set(plan=plan.but(is_hinted=True))


def _plan_not_made(step: Step, fact: facts.PlanNotMade) -> None:
    plan = step.s.plan
    if plan is None:
        return
    if fact.retry_at is not None:
        is_unclear = plan.is_unclear or fact.is_unclear
        created = plan.created or step.now
        step.set(plan=plan.but(wait_until=fact.retry_at, tries=plan.tries + 1, is_unclear=is_unclear, created=created))
        if plan.is_unclear and fact.is_unclear is False:
            step.attend(f"a plan that was asked for is looked for: {fact.because}")
        return
    step.set(plan=plan.but(is_unclear=False, replaces=None, tries=0, wait_until=None))
    if plan.plan_id is not None:
        step.attend(f"the plan could not be replaced, so it goes on as it is: {fact.because}")
        return
    step.set(plan=plan.but(is_released=True, is_unclear=False))
    if step.s.status is _S.REQUIRES_ACTION:
        step.turn(SubscriptionFact.MANDATE_FAILED)
    elif step.s.status is _S.ACTIVATING:
        step.turn(SubscriptionFact.CANCEL)
    else:
        return
    step.attend(f"the plan could not be created: {fact.because}")
    lifecycle.fail(step, fact.because)


def _plan_not_read(step: Step, fact: facts.PlanNotRead) -> None:
    plan = step.s.plan
    if plan is None:
        return
    wait = None if plan.verify_at is None else max(plan.verify_at, step.now + VERIFY_AFTER)
    step.set(plan=plan.but(verify_at=wait, is_hinted=False, created=plan.created or step.now))
    following.close_reading(step, is_asked=True)


def _plan_ended(step: Step, fact: facts.PlanEnded) -> None:
    plan = step.s.plan
    if plan is None or fact.plan_id not in (plan.plan_id, plan.old_plan_id):
        return
    if fact.standing is not None:
        _take(step, fact.standing)
    plan = step.s.plan or plan
    if not fact.is_done:
        if fact.retry_at is None:
            step.attend(f"the provider will not end its plan, so nothing is charged: {fact.because}")
        elif plan.tries + 1 == MANY_TRIES:
            step.attend(f"the provider's plan could not be ended yet, so nothing is charged: {fact.because}")
        step.set(plan=plan.but(wait_until=fact.retry_at or step.now + REFUSED_WAIT, tries=plan.tries + 1))
        return
    if fact.plan_id == plan.old_plan_id:
        step.set(plan=plan.but(old_plan_id=None, wait_until=None, tries=0))
        return
    step.set(plan=plan.but(is_released=True, status=PlanStatus.ENDED, wait_until=None, tries=0, is_hinted=False))
    if rules_of(step.s).is_mandate and (step.s.is_ended or step.s.status is _S.CANCELED):
        step.set(is_mandate_ended=True)


def _plan_changed(step: Step, fact: facts.PlanChanged) -> None:
    plan = step.s.plan
    if plan is None:
        return
    wanted = plan.change.change if plan.change is not None else None
    due = wanted.due_at if isinstance(wanted, CancelCycle) else _next_due(step)
    if fact.standing is not None:
        _take(step, fact.standing)
        forecasting.forget(step, fact.standing)
    # The standing that was read back may show the cycle as canceled: it is left out once.
    is_left_out = fact.is_done and due is not None and due != _next_due(step)
    plan = step.s.plan or plan
    pending = plan.change
    if not fact.is_done and fact.retry_at is not None:
        later = None if pending is None else pending.but(tries=pending.tries + 1, wait_until=fact.retry_at)
        step.set(plan=plan.but(change=later, wait_until=fact.retry_at if pending is None else plan.wait_until))
        return
    step.set(plan=plan.but(change=None, wait_until=None))
    if pending is None:
        _leave_out(step, fact, is_done=is_left_out)
    elif fact.is_done and _is_told_already(step, pending, is_left_out=is_left_out):
        detail = stating.shown(step, pending.command, fact.standing)  # the standing told the rest
        step.answer(CommandResult(command_id=pending.command.command_id, status="done", detail=detail))
    elif fact.is_done:
        commanding.carry_out(step, pending.command)
        if pending.command.name == "pause" and not is_left_out:
            lifecycle.skip_cycle(step, "paused")
    else:
        because = f"the provider refused: {fact.because}"
        step.answer(CommandResult(command_id=pending.command.command_id, status="refused", reason=because))
    following.close_reading(step, is_asked=False)


def _next_due(step: Step) -> datetime | None:
    return step.s.calendar.due_if_any(step.s.next_number) if step.s.calendar is not None else None


def _is_told_already(step: Step, pending: PendingChange, *, is_left_out: bool) -> bool:
    """Whether the standing that was read back did everything that the command asked for."""
    is_skipped = is_left_out and isinstance(pending.command, SkipCycle)
    return isinstance(pending.change, ForceAttempt) or is_skipped or stating.is_stated(step.s)


def _leave_out(step: Step, fact: facts.PlanChanged, *, is_done: bool) -> None:
    """The next cycle of a paused subscription; `is_done`: the standing has shown it as canceled already."""
    if not fact.is_done:
        step.attend(f"the provider would not leave a cycle out during the pause: {fact.because}")
    if step.s.status is _S.PAUSED and not is_done:
        lifecycle.skip_cycle(step, "paused")


HANDLERS: dict[str, Callable[[Step, Any], None]] = {
    "plan_read": plan_read,
    "plan_hinted": _plan_hinted,
    "plan_not_made": _plan_not_made,
    "plan_not_read": _plan_not_read,
    "plan_ended": _plan_ended,
    "plan_changed": _plan_changed,
}
