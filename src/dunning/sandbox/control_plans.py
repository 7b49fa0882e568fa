"""The control API of provider-run plans: what stands there, and what a customer or the provider does by themselves."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from dunning.sandbox.book import read_instant
from dunning.sandbox.control_models import EndPlan, PayCycle
from dunning.sandbox.errors import ApiError
from dunning.sandbox.here import Here
from dunning.sandbox.state import Sandbox
from dunning.sandbox.xendit_plan_book import Plan
from dunning.sandbox.xendit_plan_views import cycle_view, plan_view

router = APIRouter(prefix="/_sandbox/plans")


def find_plan(sandbox: Sandbox, name: str) -> Plan:
    """The newest plan under the provider's id, its reference or our own id; raises NOT_FOUND."""
    found = sandbox.xendit.plans.named(name)
    if not found:
        raise ApiError("NOT_FOUND", f"There is no plan {name}.")
    return found[-1]


@router.get("")
async def listing(sandbox: Here) -> dict[str, Any]:
    """Every plan, oldest first."""
    return {"plans": [_row(one) for one in sandbox.xendit.plans.plans.values()]}


@router.get("/{name}")
async def read(sandbox: Here, name: str) -> dict[str, Any]:
    """One plan with its cycles and with what the provider itself told the customer."""
    return _row(find_plan(sandbox, name))


@router.post("/{name}/pay-link")
async def pay(sandbox: Here, name: str, body: PayCycle) -> dict[str, Any]:
    """The customer pays, on a page of the provider's, the oldest cycle that is being retried."""
    plan, plans = find_plan(sandbox, name), sandbox.xendit.plans
    plans.advance(plan, read_instant(body.business_at))
    for cycle in plan.cycles:
        if plans.pay_by_link(plan, cycle) is not None:
            return _row(plan)
    raise ApiError("INVALID_REQUEST_BODY", "no cycle of this plan is being retried")


@router.post("/{name}/end")
async def end(sandbox: Here, name: str, body: EndPlan) -> dict[str, Any]:
    """The provider, or somebody at its dashboard, ends a plan."""
    plan, plans = find_plan(sandbox, name), sandbox.xendit.plans
    plans.advance(plan, read_instant(body.business_at))
    if plan.status != "INACTIVE":
        plans.inactivate(plan)
    return _row(plan)


def _row(plan: Plan) -> dict[str, Any]:
    told = [{"occasion": one.occasion, "channel": one.channel, "attempt": one.attempt} for one in plan.notices]
    cycles = [cycle_view(plan, one, plan.contract) for one in plan.cycles]
    return {**plan_view(plan, plan.contract), "contract": plan.contract, "cycles": cycles, "notices": told}
