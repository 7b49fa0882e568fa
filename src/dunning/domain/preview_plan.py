"""The walk of `preview` where the provider runs the calendar. SPEC 17."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime, timedelta

from dunning.domain import facts, foreseen_plan
from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.decide import Decision, Do
from dunning.domain.expecting import current_change, unpaid_cycle
from dunning.domain.outcomes import ScriptedOutcome
from dunning.domain.plans import ForceAttempt, PlanStatus
from dunning.domain.state import State
from dunning.domain.step import Applied
from dunning.domain.tables import SubscriptionStatus

PLAN_DECISIONS = frozenset({Do.CREATE_PLAN, Do.READ_PLAN, Do.END_PLAN, Do.CHANGE_PLAN})


class PlanWalk(ABC):
    """What the provider does by itself in a walk, and how it answers. The class that inherits owns the state."""

    state: State
    now: datetime
    _created_at: datetime
    _pending: dict[str, tuple[datetime, ScriptedOutcome]]

    @abstractmethod
    def _take(self, fact: facts.Fact) -> Applied: ...

    @abstractmethod
    def _next_outcome(self, key: str) -> Outcome: ...

    @abstractmethod
    def _outcome(self, scripted: ScriptedOutcome) -> Outcome: ...

    @abstractmethod
    def _mandate_story(self) -> tuple[str, timedelta]: ...

    def _provider_at(self) -> datetime | None:
        """When the provider, whose plan it is, does something by itself."""
        owed = unpaid_cycle(self.state)
        if owed is not None and owed.id in self._pending:
            return self._pending[owed.id][0]
        return foreseen_plan.next_try(self.state)

    def _is_beyond(self, cycles: int) -> bool:
        return unpaid_cycle(self.state) is None and self.state.next_number > cycles

    def _provider_acts(self, at: datetime, *, is_forced: bool = False) -> None:
        self.now = max(self.now, at)
        owed = unpaid_cycle(self.state)
        key = owed.id if owed is not None else str(self.state.next_number)
        known = self._pending.pop(key, None)
        outcome = self._next_outcome(key) if known is None else self._outcome(known[1])
        if outcome.kind is OutcomeKind.OUTAGE:
            outcome = self._next_outcome(key)  # what refuses our requests does not stop the provider itself
        if outcome.kind in (OutcomeKind.UNKNOWN, OutcomeKind.OUTAGE):
            self._pending.pop(key, None)
            outcome = Outcome(kind=OutcomeKind.SUCCEEDED, at=self.now)
        self._take(foreseen_plan.tried(self.state, outcome, self.now, is_forced=is_forced))

    def _follow(self, decision: Decision) -> None:
        plan = self.state.plan
        if plan is None:
            return
        if decision.do is Do.CREATE_PLAN:
            self._make_plan()
        elif decision.do is Do.READ_PLAN:
            self._take(foreseen_plan.read(self.state))
        elif decision.do is Do.END_PLAN:
            self._take(facts.PlanEnded(plan_id=plan.old_plan_id or plan.plan_id or ""))
        else:
            if isinstance(current_change(self.state), ForceAttempt):
                self._provider_acts(self.now, is_forced=True)
            self._take(facts.PlanChanged())

    def _make_plan(self) -> None:
        if self.state.status is not SubscriptionStatus.REQUIRES_ACTION:
            self._take(foreseen_plan.made(self.state))
            return
        self._take(foreseen_plan.waiting(self.state))
        story, delay = self._mandate_story()
        at = self.now + delay
        if story == "never" or at >= self._created_at + timedelta(days=self.state.terms.activation_timeout_days):
            return
        self.now = at
        self._take(foreseen_plan.read(self.state, PlanStatus.ENDED if story == "fail" else PlanStatus.ACTIVE))
