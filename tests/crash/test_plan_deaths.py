"""Workers that die around the end of a provider's schedule: no day is charged twice, and none is missed. SPEC 12."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from dunning.client import DunningClient, connect
from dunning.domain.commands import UpdatePaymentMethod
from dunning.domain.script import Script
from dunning.domain.state import State
from dunning.intake import parse_subscription
from dunning.ledger import Ledger
from dunning.sandbox import customers
from dunning.stack import Stack
from dunning.testclock import TestClock
from tests.builders import subscription_data
from tests.crash.test_worker_deaths import environment, until, worker

pytestmark = [pytest.mark.server, pytest.mark.crash]
ACCOUNT = "omise"
DAY = timedelta(days=1)


class Case:
    """One subscription whose calendar Omise runs."""

    def __init__(self, dunning: DunningClient, sandbox: httpx.AsyncClient, name: str, due: datetime) -> None:
        self.dunning, self.sandbox, self.name, self.due = dunning, sandbox, name, due
        self.clock = TestClock(dunning, ACCOUNT, name, sandbox=sandbox)

    async def charges(self) -> list[dict[str, Any]]:
        answer = await self.sandbox.get("/_sandbox/charges", params={"subscription": self.name})
        return list(answer.json()["charges"])

    async def schedules(self) -> list[str]:
        """What stands of the customer's schedules, oldest first."""
        path = f"/omise/customers/cust_test_{self.name}/schedules"
        answer = await self.sandbox.get(path, auth=("skey_test_sandbox", ""))
        return [one["status"] for one in answer.json()["data"]]


@asynccontextmanager
async def case(stack: Stack, *outcomes: str, interval: str = "MONTH") -> AsyncIterator[Case]:
    """First due on a day that every month has, at least three days from now: time enough to replace a schedule."""
    name = f"plan-{uuid.uuid4().hex[:8]}"
    now = datetime.now(UTC).replace(microsecond=0)
    due = (now + 3 * DAY).replace(hour=6, minute=0, second=0)
    due = due if due.day <= 28 else due + 4 * DAY
    given = parse_subscription(
        subscription_data(
            id=name,
            merchant_account=ACCOUNT,
            customer={**subscription_data()["customer"], "id": f"cust-{name}"},
            provider="omise",
            collection="provider",
            provider_options={"customer_id": f"cust_test_{name}"},
            payment_methods=[{"token": "card_test_1", "authorized_at": now.isoformat()}],
            currency="THB",
            schedule={"anchor_at": due.isoformat(), "interval": interval, "interval_count": 1},
        )
    )
    with environment(stack.env):
        ledger = await Ledger.open(stack.env["DUNNING_LEDGER_URL"], pool_size=3)
        dunning = DunningClient(await connect(), ledger)
    async with httpx.AsyncClient(base_url=stack.env["DUNNING_SANDBOX_URL"], timeout=30) as sandbox:
        await customers.register(sandbox, given, Script.model_validate({"outcomes": outcomes}))
        await dunning.start(given, is_test_clock=True)
        yield Case(dunning, sandbox, name, due)
    await ledger.aclose()


async def state_of(there: Case) -> State:
    report = await there.clock.report()
    assert report.state is not None
    return report.state


@pytest.mark.parametrize("point", ["before the plan is ended", "after the plan is ended"])
async def test_between_the_suspension_and_our_first_charge_a_death_leaves_one_charge(
    stack: Stack, tmp_path: Path, point: str
) -> None:
    declined = "INSUFFICIENT_FUNDS"
    file = tmp_path / "point"
    async with case(stack, declined, declined, declined, "SUCCEEDED") as there:
        with worker(stack, point, file) as doomed:
            moving = asyncio.create_task(there.clock.advance(there.due + 4 * DAY))
            await until(file.exists, point)
            doomed.send_signal(signal.SIGKILL)
            doomed.wait()
        assert [row["key"] for row in await there.charges()] == [None] * 3
        with worker(stack, "never", tmp_path / "none"):
            await moving
            assert await there.schedules() == ["deleted"]
            assert len(await there.charges()) == 3
            await there.clock.advance(there.due + 18 * DAY)
            rows = await there.charges()
            assert [row["status"] for row in rows] == ["failed", "failed", "failed", "succeeded"]
            assert rows[3]["key"] is not None
            assert (await state_of(there)).paid_until is not None


async def test_between_the_new_schedule_and_the_end_of_the_old_a_death_costs_no_day(
    stack: Stack, tmp_path: Path
) -> None:
    file = tmp_path / "point"
    async with case(stack, "SUCCEEDED", "SUCCEEDED", interval="WEEK") as there:
        with worker(stack, "before the plan is ended", file) as doomed:
            await there.clock.until_quiet()
            command = UpdatePaymentMethod(command_id=f"card-{there.name}", token="tokn_test_other")
            await there.dunning.command(ACCOUNT, there.name, command)
            await until(file.exists, "the old schedule is about to be ended")
            doomed.send_signal(signal.SIGKILL)
            doomed.wait()
        assert await there.schedules() == ["running", "running"]
        with worker(stack, "never", tmp_path / "none"):
            await there.clock.advance(there.due + 9 * DAY)
            assert await there.schedules() == ["deleted", "running"]
            first, second = await there.charges()
            assert (first["status"], second["status"]) == ("succeeded", "succeeded")
            assert first["payment_method_id"] == second["payment_method_id"] != "card_test_1"
            assert (await state_of(there)).next_number == 3
