"""Omise's schedules keep the contract of every provider that runs calendars itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from dunning.domain.terms import Subscription
from dunning.intake import parse_subscription
from tests.builders import subscription_data
from tests.providers.omise.rig import SECRET, OmiseRig
from tests.providers.plan_contract import PlanContract


class Schedules:
    """Retries on the next two days, then the engine takes over; another card is charged by another schedule."""

    name = "omise"
    secret = SECRET
    retries_after = (1, 2)
    is_made_again = True
    is_replaced = True

    def __init__(self, rig: OmiseRig) -> None:
        self.rig, self.provider = rig, rig.provider

    def given(self, now: datetime, **changes: Any) -> Subscription:
        data = {
            "id": "ours-1",
            "provider": "omise",
            "collection": "provider",
            "provider_options": {"customer_id": "cust_test_1"},
            "payment_methods": [{"token": "pm_1", "authorized_at": now.isoformat()}],
            "currency": "THB",
            "schedule": {"anchor_at": "2026-03-05T08:30:00+07:00", "interval": "MONTH", "interval_count": 1},
            **changes,
        }
        return parse_subscription(subscription_data(**data), at=now)

    async def know(self, *outcomes: str) -> None:
        assert await self.rig.agree(*outcomes, currency="THB") == "cust_test_1"

    async def running(self) -> list[str]:
        known = self.rig.sandbox.state.omise.scheduler.schedules.values()
        return [one.schedule_id for one in known if one.runs]

    def other_method(self) -> str:
        return "tokn_test_other"


@pytest.fixture
def side(rig: OmiseRig) -> Schedules:
    return Schedules(rig)


class TestSchedules(PlanContract):
    """Everything that is asked of a provider's calendar."""
