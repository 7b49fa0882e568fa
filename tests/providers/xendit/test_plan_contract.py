"""Xendit's plans, by both of its contracts, keep the contract of every provider that runs calendars itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from dunning.domain.terms import Subscription
from dunning.intake import parse_subscription
from tests.builders import subscription_data
from tests.providers.plan_contract import FollowedContract, PlanContract
from tests.providers.xendit.plan_rig import EVENLY, known
from tests.providers.xendit.rig import SECRET, XenditRig


class Plans:
    """Retries at even gaps; a plan with tokens is never made a second time, and takes another token as it is."""

    name = "xendit"
    secret = SECRET
    retries_after = (3, 6)
    is_made_again = False
    is_replaced = False

    def __init__(self, rig: XenditRig, *, is_legacy: bool) -> None:
        self.rig, self.provider = rig, rig.provider
        self._options = {"legacy_plan": True, "customer_id": "cust-1"} if is_legacy else {}

    def given(self, now: datetime, **changes: Any) -> Subscription:
        data = {
            "id": "ours-1",
            "provider": "xendit",
            "collection": "provider",
            "provider_options": self._options,
            "payment_methods": [{"token": "pt-1", "authorized_at": now.isoformat()}],
            "schedule": {"anchor_at": "2026-03-05T08:30:00+07:00", "interval": "MONTH", "interval_count": 1},
            "retry": EVENLY,
            **changes,
        }
        return parse_subscription(subscription_data(**data), at=now)

    async def know(self, *outcomes: str) -> None:
        await known(self.rig, *outcomes)

    async def running(self) -> list[str]:
        found = self.rig.sandbox.state.xendit.plans.plans.values()
        return [one.plan_id for one in found if one.status != "INACTIVE"]

    def other_method(self) -> str:
        return "pt-2"


class TestPlans(PlanContract):
    """Everything that is asked of a provider's calendar."""

    @pytest.fixture
    def side(self, rig: XenditRig) -> Plans:
        return Plans(rig, is_legacy=False)


class TestPlansOfTheGuide(FollowedContract):
    """By the contract of 2022: made and ended by the same steps, told in its own words."""

    @pytest.fixture
    def side(self, rig: XenditRig) -> Plans:
        return Plans(rig, is_legacy=True)
