"""The control API of clocks: what providers do by themselves follows a subscription's own time. SPEC 16."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter

from dunning.sandbox.book import Subscription, read_instant
from dunning.sandbox.control_models import Clock
from dunning.sandbox.errors import ApiError
from dunning.sandbox.here import Here
from dunning.sandbox.state import Sandbox
from dunning.sandbox.xendit_plan_book import Plan

router = APIRouter(prefix="/_sandbox")


@router.post("/clock")
async def clock(sandbox: Here, body: Clock) -> dict[str, Any]:
    """Run what is due by then in the calendars that a provider runs; when one of them acts next, null for never.

    Payments that are undecided stay so: a look-up finds them settled, as on any other clock.
    """
    now = read_instant(body.business_now)
    if now is None:
        raise ApiError("INVALID_REQUEST_BODY", "business_now must be an instant with an offset")
    plans, customers = sandbox.xendit.plans.named(body.subscription), _customers(sandbox, body.subscription)
    for plan in plans:
        sandbox.xendit.plans.advance(plan, now)
    for customer in customers:
        sandbox.omise.scheduler.advance(now, customer)
    following = _next_at(sandbox, plans, customers)
    return {"next_at": None if following is None else following.isoformat()}


def _customers(sandbox: Sandbox, name: str) -> list[Subscription]:
    """Whoever has schedules, by the provider's id or our own reference."""
    found = {one.schedule_id: one.customer for one in sandbox.omise.scheduler.schedules.values()}
    named = {one.subscription_id: one for one in found.values() if name in (one.subscription_id, one.reference)}
    return list(named.values())


def _next_at(sandbox: Sandbox, plans: list[Plan], customers: list[Subscription]) -> datetime | None:
    instants = [sandbox.xendit.plans.next_at(one) for one in plans]
    instants += [sandbox.omise.scheduler.next_at(one) for one in customers]
    return min((one for one in instants if one is not None), default=None)
