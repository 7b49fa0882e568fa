"""Xendit's routes for the cycles of a plan. Sheet A2.3."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from dunning.sandbox.book import read_instant
from dunning.sandbox.dodo_shared import NeverAnswered
from dunning.sandbox.here import Here
from dunning.sandbox.state import Sandbox
from dunning.sandbox.xendit_bodies import fields_of, money, require_key
from dunning.sandbox.xendit_errors import XenditError, invalid, not_found
from dunning.sandbox.xendit_plan_bodies import contract_of, plan_pairs
from dunning.sandbox.xendit_plan_book import Cycle, Plan
from dunning.sandbox.xendit_plan_views import cycle_view
from dunning.sandbox.xendit_recurring import plan_of

router = APIRouter(
    prefix="/recurring/plans/{plan_id}/cycles", dependencies=[Depends(require_key), Depends(contract_of)]
)
MOST = 100
SIMULATED = {
    13579: "",
    21103: "ACCOUNT_ACCESS_BLOCKED",
    21106: "INVALID_ACCOUNT_DETAILS",
    21107: "MAXIMUM_LIMIT_REACHED",
    21110: "INSUFFICIENT_BALANCE",
}
"""How a cycle ends that is simulated with this amount, in major units (sheet A8); "" is paid."""
_CHANGES = frozenset({"scheduled_timestamp", "currency", "amount", "metadata"})


@router.get("")
async def listing(sandbox: Here, plan_id: str, request: Request) -> dict[str, Any]:
    """`GET …/cycles`: newest first, by cursor."""
    plan, contract = plan_of(sandbox, request, plan_id), contract_of(request)
    asked = request.query_params
    limit = asked.get("limit", "10")
    if not limit.isdigit() or not 1 <= int(limit) <= MOST:
        raise invalid(f"limit must be 1 to {MOST}")
    rows = list(reversed(plan.cycles))
    names = [one.cycle_id for one in rows]
    after, before = asked.get("after_id"), asked.get("before_id")
    start = names.index(after) + 1 if after in names else 0
    end = names.index(before) if before in names else len(rows)
    found = rows[start:end]
    shown = found[: int(limit)] if before is None else found[-int(limit) :]
    return {"data": [cycle_view(plan, one, contract) for one in shown], "has_more": len(found) > len(shown)}


@router.get("/{cycle_id}")
async def read(sandbox: Here, plan_id: str, cycle_id: str, request: Request) -> dict[str, Any]:
    """`GET …/cycles/{id}`."""
    plan, cycle = _found(sandbox, request, plan_id, cycle_id)
    return cycle_view(plan, cycle, contract_of(request))


@router.patch("/{cycle_id}")
async def update(sandbox: Here, plan_id: str, cycle_id: str, request: Request) -> dict[str, Any]:
    """`PATCH …/cycles/{id}`: only while it is scheduled, and before its day begins (UTC)."""
    plan, cycle = _found(sandbox, request, plan_id, cycle_id)
    fields = await fields_of(request)
    unknown = sorted(set(fields) - _CHANGES)
    if unknown:
        raise invalid(f"{', '.join(unknown)} is not allowed")
    plans = sandbox.xendit.plans
    plans.require_scheduled(cycle)
    if plans.now(plan).date() >= cycle.scheduled_at.date():
        raise XenditError("INELIGIBLE_CYCLE_REQUEST", "The day of the cycle has begun.")
    at = _instant(fields["scheduled_timestamp"]) if "scheduled_timestamp" in fields else cycle.scheduled_at
    if at <= plans.now(plan):
        raise invalid("scheduled_timestamp must lie ahead")
    if "metadata" in fields:
        cycle.metadata = plan_pairs(fields)
    if fields.get("currency") not in (None, plan.currency):
        raise invalid("currency is not the plan's")
    if "amount" in fields:
        cycle.amount = money(fields, "amount", cycle.currency)
    cycle.scheduled_at, cycle.updated_at = at, plans.now(plan)
    return cycle_view(plan, cycle, contract_of(request))


@router.post("/{cycle_id}/cancel")
async def cancel(sandbox: Here, plan_id: str, cycle_id: str, request: Request) -> dict[str, Any]:
    """`POST …/cycles/{id}/cancel`: only while it is scheduled."""
    plan, cycle = _found(sandbox, request, plan_id, cycle_id)
    sandbox.xendit.plans.cancel(plan, cycle)
    return cycle_view(plan, cycle, contract_of(request))


@router.post("/{cycle_id}/force_attempt")
async def force(sandbox: Here, plan_id: str, cycle_id: str, request: Request) -> Response:
    """`POST …/cycles/{id}/force_attempt`: charge now, at most five times a cycle; no key of any kind guards it."""
    plan, cycle = _found(sandbox, request, plan_id, cycle_id)
    is_lost = sandbox.xendit.plans.force(plan, cycle)
    return NeverAnswered(sandbox) if is_lost else JSONResponse(cycle_view(plan, cycle, contract_of(request)))


@router.post("/{cycle_id}/simulate")
async def simulate(sandbox: Here, plan_id: str, cycle_id: str, request: Request) -> dict[str, Any]:
    """`POST …/cycles/{id}/simulate`, in test mode: run a scheduled cycle; its amount says how it ends."""
    plan, cycle = _found(sandbox, request, plan_id, cycle_id)
    amount = (await fields_of(request)).get("amount")
    decline = SIMULATED.get(amount) if isinstance(amount, int) else None
    if decline is None:
        raise invalid(f"amount must be one of {', '.join(str(one) for one in SIMULATED)}")
    sandbox.xendit.plans.require_scheduled(cycle)
    sandbox.xendit.plans.attempt(plan, cycle, "INITIAL", decline)
    return cycle_view(plan, cycle, contract_of(request))


def _found(sandbox: Sandbox, request: Request, plan_id: str, cycle_id: str) -> tuple[Plan, Cycle]:
    plan = plan_of(sandbox, request, plan_id)
    cycle = plan.cycle(cycle_id)
    if cycle is None:
        raise not_found("cycle", cycle_id)
    return plan, cycle


def _instant(value: object) -> datetime:
    found = read_instant(value)
    if found is None:
        raise invalid("scheduled_timestamp must be an instant of ISO 8601")
    return found
