"""The walk of `preview` where the provider states access: its purchase is foreseen, item by item. SPEC 12, 17."""

from __future__ import annotations

from datetime import datetime

from dunning.domain import facts
from dunning.domain import foreseen_purchase as foreseen
from dunning.domain.attempts import OutcomeKind
from dunning.domain.base import Known
from dunning.domain.decide import Decision, Do
from dunning.domain.expecting import current_change
from dunning.domain.foreseen_plan import PREVIEW
from dunning.domain.foreseen_purchase import ForeseenPurchase, NewItem
from dunning.domain.plans import ItemStanding, PlanPhase, PlanStanding
from dunning.domain.preview_plan import PlanWalk
from dunning.domain.script import BUY_ADD_ON, REPAIR_PAYMENT, ScriptedAction
from dunning.domain.stating import is_stated


class PurchaseMoment(Known):
    """What the purchase gives from `at` on, and when it is to change next. `amount`: of its latest order."""

    at: datetime
    status: str
    phase: PlanPhase
    until: datetime | None
    next_at: datetime | None
    items: tuple[ItemStanding, ...]


class PurchaseWalk(PlanWalk):
    """What a purchase does by itself in a walk, what its customer does, and what commands make of it."""

    _purchase: ForeseenPurchase | None = None
    _moments: tuple[PurchaseMoment, ...] = ()

    def _provider_at(self) -> datetime | None:
        if not is_stated(self.state):
            return super()._provider_at()
        return self._purchase.next_at if self._purchase is not None else None

    def _is_beyond(self, cycles: int) -> bool:
        is_closing = self._purchase is not None and self._purchase.phase is not PlanPhase.ACTIVE
        return not is_closing and super()._is_beyond(cycles)

    def _provider_acts(self, at: datetime, *, is_forced: bool = False) -> None:
        purchase = self._purchase
        if purchase is None or not is_stated(self.state):
            super()._provider_acts(at, is_forced=is_forced)
            return
        self.now = max(self.now, at)
        is_paid = True
        if foreseen.needs_charge(purchase, at):
            is_paid = self._next_outcome(purchase.plan_id).kind is not OutcomeKind.DECLINED
        self._tell(foreseen.lived(purchase, at, is_paid=is_paid))

    def _follow(self, decision: Decision) -> None:
        plan = self.state.plan
        if plan is None or not is_stated(self.state):
            super()._follow(decision)
            return
        if self._purchase is None:
            token = plan.plan_id or PREVIEW
            is_made = decision.do is Do.CREATE_PLAN
            self._tell(foreseen.bought(self.state.terms, token, self.now), is_made=is_made)
        elif decision.do is Do.CHANGE_PLAN:
            self._purchase = foreseen.changed(self._purchase, current_change(self.state), self.now)
            self._take(facts.PlanChanged(standing=self._standing(self._purchase)))
            self._remember_moment()
        else:
            self._tell(self._purchase)

    def _customer_deed(self, action: ScriptedAction) -> bool:
        """Whether the action is something that a purchase's customer does; it is done then."""
        if self._purchase is None or action.action not in (BUY_ADD_ON, REPAIR_PAYMENT):
            return False
        if action.action == BUY_ADD_ON:
            self._tell(foreseen.with_item(self._purchase, NewItem.model_validate(action.with_), self.now))
        else:
            self._tell(foreseen.repaired(self._purchase, self.now))
        return True

    def _tell(self, purchase: ForeseenPurchase, *, is_made: bool = False) -> None:
        self._purchase = purchase
        self._take(facts.PlanRead(standing=self._standing(purchase), is_asked=True, is_made=is_made))
        self._remember_moment()

    def _standing(self, purchase: ForeseenPurchase) -> PlanStanding:
        return foreseen.standing(purchase, self.now)

    def _remember_moment(self) -> None:
        plan, purchase = self.state.plan, self._purchase
        if plan is None or plan.phase is None or purchase is None:
            return
        moment = PurchaseMoment(
            at=self.now,
            status=self.state.status.value,
            phase=plan.phase,
            until=plan.access_until,
            next_at=purchase.next_at,
            items=plan.items,
        )
        if not self._moments or moment.but(at=self._moments[-1].at) != self._moments[-1]:
            self._moments = (*self._moments, moment)
