"""A plan of Xendit's for the adapter's tests: terms, the request that makes it, a token, a scripted customer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dunning.domain.plans import plan_reference
from dunning.domain.terms import Subscription
from dunning.providers.following import Plan, PlanRequest
from tests.builders import at, subscription_data
from tests.providers.xendit.rig import XenditRig

NOW = at("2026-03-01T09:00")
REFERENCE = plan_reference("demo", "ours-1", 1, 1)
EVENLY = {"interval": "DAY", "interval_count": 3, "total": 2}


def given(**changes: Any) -> Subscription:
    options = changes.pop("provider_options", {})
    data = subscription_data(
        **{
            "id": "ours-1",
            "provider": "xendit",
            "collection": "provider",
            "payment_methods": [],
            "provider_options": options,
            "retry": EVENLY,
            "schedule": {"anchor_at": "2026-03-05T16:00:00+07:00", "interval": "MONTH", "interval_count": 1},
            **changes,
        }
    )
    return Subscription.model_validate(data)


def wanted(*tokens: str, now: datetime = NOW, was_unclear: bool = False, **changes: Any) -> PlanRequest:
    subscription = given(**changes)
    return PlanRequest(
        subscription="ours-1",
        account="demo",
        reference=REFERENCE,
        method_tokens=tokens,
        terms=subscription.terms(),
        contacts=subscription.contacts(),
        was_unclear=was_unclear,
        business_at=now,
    )


async def known(rig: XenditRig, *outcomes: str) -> None:
    methods = [{"payment_method_id": "pt-2"}]
    body = {"provider": "xendit", "subscription_id": "pt-1", "customer_id": "cust-1", "payment_method_id": "pt-1"}
    await rig.post("subscriptions", {**body, "methods": methods, "currency": "IDR"})
    await rig.post("scripts", {"subscription": "ours-1", "script": list(outcomes)})


async def running(rig: XenditRig, *outcomes: str, **changes: Any) -> str:
    """A plan on a token that Xendit runs."""
    await known(rig, *outcomes)
    plan = await rig.provider.create_plan(wanted("pt-1", **changes))
    await rig.quiet()
    return plan.plan_id


async def seen(rig: XenditRig, plan: str, instant: str) -> Plan:
    return await rig.provider.read_plan(plan, business_at=at(instant))


async def plan_rows(rig: XenditRig) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await rig.control.get("/_sandbox/plans")).json()["plans"]
    return rows
