"""The steps of a run where the provider runs the calendar. SPEC 12. What to do and when is `decide`'s."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from temporalio.exceptions import ActivityError

from activities.names import (
    CHANGE_PLAN,
    CREATE_PLAN,
    END_PLAN,
    READ_PLAN,
    ChangePlanInput,
    CreatePlanInput,
    EndPlanInput,
    PlanAfterChange,
    PlanFound,
    PlanMade,
    PlanOver,
    ReadPlanInput,
)
from dunning.domain import facts
from dunning.domain.decide import Decision, Do
from dunning.domain.expecting import current_change, end_because
from dunning.domain.plans import PlanState, plan_reference
from dunning.domain.showing import summary
from workflows import options
from workflows.shell import Shell

AGAIN = "the worker died or the call ran out of time"


class PlanSteps(Shell):
    """Making, reading, changing and ending the provider's plan. Everything known is written down before each."""

    @property
    def _plan(self) -> PlanState:
        return self._s.plan or PlanState()

    async def _follow(self, decision: Decision) -> None:
        await _STEPS[decision.do](self, decision)

    async def _create_plan(self, decision: Decision) -> None:
        await self._record()
        request = self._creation()
        label = summary(self._s, decision)
        try:
            made = await self._activity(CREATE_PLAN, request, PlanMade, options.PLAN, label)
        except ActivityError:
            retry_at = self._now() + options.PLAN_AGAIN
            made = PlanMade(fact=facts.PlanNotMade(because=AGAIN, retry_at=retry_at, is_unclear=True))
        self._apply(made.fact)
        self._must_record = True

    def _creation(self) -> CreatePlanInput:
        """What the plan is made from; also how one that was perhaps made is found."""
        plan, s = self._plan, self._s
        calendar = s.calendar
        last = calendar.last_number() if calendar is not None else None
        usable = [m for m in s.methods if m.is_usable(self._now())]
        ranked = sorted(usable, key=lambda m: m.token != s.current)
        is_new = plan.plan_id is not None and plan.replaces is not None
        return CreatePlanInput(
            account=s.account,
            subscription=s.id,
            generation=s.generation,
            reference=plan_reference(s.account, s.id, s.generation, plan.number + int(is_new)),
            customer_reference=s.reference,
            method_tokens=tuple(m.token for m in ranked),
            terms=s.next_terms or s.terms,
            calendar=calendar,
            first_due_at=calendar.due_if_any(s.next_number) if calendar is not None else None,
            cycles_left=None if last is None else max(0, last - s.next_number + 1),
            since=plan.created or self._now(),
            tries=plan.tries,
            was_unclear=plan.is_unclear,
            find_only=end_because(s, plan) is not None,
            business_at=self._now(),
        )

    async def _read_plan(self, decision: Decision) -> None:
        await self._record()
        plan = self._plan
        is_to_verify = plan.verify_at is not None and plan.verify_at <= self._now()
        request = ReadPlanInput(
            account=self._s.account,
            subscription=self._s.id,
            plan_id=plan.plan_id or "",
            verify=self._creation() if is_to_verify else None,
            business_at=self._now(),
        )
        label = summary(self._s, decision)
        try:
            found = await self._activity(READ_PLAN, request, PlanFound, options.PLAN, label)
        except ActivityError:
            found = PlanFound(fact=facts.PlanNotRead(because=AGAIN))
        self._apply(found.fact)

    async def _end_plan(self, decision: Decision) -> None:
        await self._record()
        plan = self._plan
        request = EndPlanInput(
            account=self._s.account,
            subscription=self._s.id,
            plan_id=plan.old_plan_id or plan.plan_id or "",
            reason=decision.because,
            tries=plan.tries,
            business_at=self._now(),
        )
        label = summary(self._s, decision)
        try:
            over = await self._activity(END_PLAN, request, PlanOver, options.PLAN, label)
        except ActivityError:
            retry_at = self._now() + options.PLAN_AGAIN
            ended = facts.PlanEnded(plan_id=request.plan_id, is_done=False, because=AGAIN, retry_at=retry_at)
            over = PlanOver(fact=ended)
        self._apply(over.fact)
        # In the snapshot too, so that a run that goes on from it never charges beside a plan, nor ends it again.
        self._must_record = True

    async def _change_plan(self, decision: Decision) -> None:
        await self._record()
        plan, change = self._plan, current_change(self._s)
        if change is None:
            return
        request = ChangePlanInput(
            account=self._s.account,
            subscription=self._s.id,
            plan_id=plan.plan_id or "",
            change=change,
            tries=plan.change.tries if plan.change is not None else 0,
            business_at=self._now(),
        )
        label = summary(self._s, decision)
        try:
            after = await self._activity(CHANGE_PLAN, request, PlanAfterChange, options.PLAN, label)
        except ActivityError:
            retry_at = self._now() + options.PLAN_AGAIN
            after = PlanAfterChange(fact=facts.PlanChanged(is_done=False, because=AGAIN, retry_at=retry_at))
        self._apply(after.fact)


_STEPS: Mapping[Do, Callable[[PlanSteps, Decision], Awaitable[None]]] = {
    Do.CREATE_PLAN: PlanSteps._create_plan,
    Do.READ_PLAN: PlanSteps._read_plan,
    Do.END_PLAN: PlanSteps._end_plan,
    Do.CHANGE_PLAN: PlanSteps._change_plan,
}
PLAN_STEPS = frozenset(_STEPS)
"""Decisions that are carried out here."""
