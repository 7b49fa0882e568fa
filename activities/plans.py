"""Calendars that a provider runs: made once, read, changed, ended. SPEC 12, 13."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

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
from dunning.domain.facts import PlanChanged, PlanEnded, PlanNotMade, PlanNotRead, PlanRead
from dunning.domain.planning import OUTAGE_CAP, OUTAGE_DELAYS, backoff
from dunning.domain.plans import PlanStanding
from dunning.errors import ProviderError
from dunning.ledger import Ledger
from dunning.providers.base import PaymentProvider, ProviderRefused, ProviderUnavailable
from dunning.providers.following import Plan, PlanProvider, PlanRequest, PlanUnclear, live, standing_of

LOOK_BACK = timedelta(days=1)
"""How far before the first try plans are searched: no clock is trusted to the minute."""


class PlanActivities:
    """One instance per worker; providers by merchant account."""

    def __init__(self, ledger: Ledger, providers: Mapping[str, PaymentProvider]) -> None:
        self._ledger = ledger
        self._providers = providers

    @activity.defn(name=CREATE_PLAN)
    async def create_plan(self, request: CreatePlanInput) -> PlanMade:
        """Make the plan, never twice: whatever was perhaps made before is looked up by its reference first."""
        plans = self._plans_of(request.account)
        asked = await self._asked(request)
        try:
            if request.tries or request.was_unclear:
                found = live(await plans.find_plans(asked, since=request.since - LOOK_BACK))
                if found:
                    await self._end_others(plans, found, request.business_at)
                    return PlanMade(fact=self._made(request, found[0]))
            if request.find_only:
                return PlanMade(fact=PlanNotMade(because="no plan was made"))
            plan = await plans.create_plan(asked)
        except ProviderRefused as failure:
            return PlanMade(fact=PlanNotMade(because=str(failure)))
        except ProviderError as failure:
            retry_at = _later(request.business_at, request.tries, failure)
            is_unclear = isinstance(failure, PlanUnclear)
            return PlanMade(fact=PlanNotMade(because=str(failure), retry_at=retry_at, is_unclear=is_unclear))
        return PlanMade(fact=self._made(request, plan))

    @activity.defn(name=READ_PLAN)
    async def read_plan(self, request: ReadPlanInput) -> PlanFound:
        """Where the plan stands. After an unclear creation: what carries the same reference besides it is ended."""
        plans = self._plans_of(request.account)
        try:
            if request.verify is not None:
                since = request.verify.since - LOOK_BACK
                found = live(await plans.find_plans(await self._asked(request.verify), since=since))
                others = tuple(one for one in found if one.plan_id != request.plan_id)
                for other in others:
                    await plans.end_plan(other.plan_id, business_at=request.business_at, reason="made twice")
            plan = await plans.read_plan(request.plan_id, business_at=request.business_at)
        except ProviderError as failure:
            return PlanFound(fact=PlanNotRead(because=str(failure)))
        await self._book(request, plan)
        return PlanFound(fact=PlanRead(standing=self._standing(request.account, plan), is_asked=True))

    @activity.defn(name=END_PLAN)
    async def end_plan(self, request: EndPlanInput) -> PlanOver:
        """End the plan for good; done only when it was read back as over."""
        plans = self._plans_of(request.account)
        try:
            plan = await plans.end_plan(request.plan_id, business_at=request.business_at, reason=request.reason)
        except ProviderRefused as failure:
            return PlanOver(fact=PlanEnded(plan_id=request.plan_id, is_done=False, because=str(failure)))
        except ProviderError as failure:
            retry_at = _later(request.business_at, request.tries, failure)
            ended = PlanEnded(plan_id=request.plan_id, is_done=False, because=str(failure), retry_at=retry_at)
            return PlanOver(fact=ended)
        await self._book(request, plan)
        standing = self._standing(request.account, plan)
        if live((plan,)):
            retry_at = _later(request.business_at, request.tries, None)
            because = f"it was asked to end and is read as {plan.status}"
            ended = PlanEnded(
                plan_id=request.plan_id, is_done=False, because=because, retry_at=retry_at, standing=standing
            )
            return PlanOver(fact=ended)
        return PlanOver(fact=PlanEnded(plan_id=request.plan_id, standing=standing))

    @activity.defn(name=CHANGE_PLAN)
    async def change_plan(self, request: ChangePlanInput) -> PlanAfterChange:
        """Make one change; a change of which the answer never came is made again: the last one counts."""
        plans = self._plans_of(request.account)
        try:
            plan = await plans.change_plan(request.plan_id, request.change, business_at=request.business_at)
        except ProviderRefused as failure:
            return PlanAfterChange(fact=PlanChanged(is_done=False, because=str(failure)))
        except ProviderError as failure:
            retry_at = _later(request.business_at, request.tries, failure)
            return PlanAfterChange(fact=PlanChanged(is_done=False, because=str(failure), retry_at=retry_at))
        await self._book(request, plan)
        return PlanAfterChange(fact=PlanChanged(standing=self._standing(request.account, plan)))

    async def _end_others(self, plans: PlanProvider, found: tuple[Plan, ...], at: datetime) -> None:
        for other in found[1:]:
            await plans.end_plan(other.plan_id, business_at=at, reason="made twice")

    def _made(self, request: CreatePlanInput, plan: Plan) -> PlanRead:
        standing = self._standing(request.account, plan)
        return PlanRead(standing=standing, is_asked=True, is_made=True, was_unclear=request.was_unclear)

    async def _book(self, request: ReadPlanInput | EndPlanInput | ChangePlanInput, plan: Plan) -> None:
        """What the provider collected and tells only to us stands in the ledger's books."""
        if plan.rows:
            await self._ledger.book(request.account, plan.rows, subscription=request.subscription)

    def _standing(self, account: str, plan: Plan) -> PlanStanding:
        return standing_of(plan, self._providers[account].declines)

    async def _asked(self, request: CreatePlanInput) -> PlanRequest:
        contacts = await self._ledger.contacts(request.account, request.terms.customer.id)
        return PlanRequest(
            subscription=request.subscription,
            account=request.account,
            reference=request.reference,
            customer_reference=request.customer_reference,
            method_tokens=request.method_tokens,
            terms=request.terms,
            contacts=contacts,
            calendar=request.calendar,
            first_due_at=request.first_due_at,
            cycles_left=request.cycles_left,
            was_unclear=request.was_unclear,
            business_at=request.business_at,
        )

    def _plans_of(self, account: str) -> PlanProvider:
        found = self._providers.get(account)
        if isinstance(found, PlanProvider):
            return found
        message = f"merchant account {account!r} is not in this worker's settings, or its provider runs no calendars"
        raise ApplicationError(message, type="configuration", non_retryable=True)


def _later(now: datetime, tries: int, failure: ProviderError | None) -> datetime:
    """When to ask again: backing off, and never sooner than the provider advised."""
    advised = failure.retry_after_seconds if isinstance(failure, ProviderUnavailable) else None
    return now + max(backoff(OUTAGE_DELAYS, OUTAGE_CAP, tries), timedelta(seconds=advised or 0))
