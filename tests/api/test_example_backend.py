"""The example backend, written from the docs alone, subscribes, follows, hears and decides. Issue 5; SPEC 10."""

from __future__ import annotations

import ast
import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from dunning.client import DunningClient
from dunning.ledger import Ledger
from dunning.stack import Stack
from dunning.testclock import TestClock
from tests.api.desk import document

SHOP = Path(__file__).parents[2] / "examples" / "backend" / "shop.py"


def test_the_example_imports_nothing_of_ours_and_no_temporal() -> None:
    tree = ast.parse(SHOP.read_text())
    found = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    found |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    tops = {name.partition(".")[0] for name in found}
    assert "standardwebhooks" in tops
    assert tops.isdisjoint({"dunning", "temporalio", "workflows", "activities", "workers", "sqlalchemy", "psycopg"})


@dataclass
class Town:
    """The shop, the engine's API as an onlooker sees it, the provider, and the hand on the clock."""

    shop: httpx.AsyncClient
    api: httpx.AsyncClient
    sandbox: httpx.AsyncClient
    dunning: DunningClient

    def clock(self, name: str) -> TestClock:
        return TestClock(self.dunning, "demo", name, sandbox=self.sandbox)

    async def shown(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.api.get(f"/v1/subscriptions/{name}")).raise_for_status().json()
        return found

    async def received(self, name: str) -> list[str]:
        return [one["type"] for one in (await self.shop.get(f"/received/{name}")).raise_for_status().json()]

    async def until(self, name: str, is_so: Callable[[list[str]], bool]) -> list[str]:
        """Wait for events to arrive at the shop."""
        seen: list[str] = []
        try:
            async with asyncio.timeout(30):
                while not is_so(seen):
                    seen = await self.received(name)
                    await asyncio.sleep(0.05)  # polled, as a person would reload the page
        except TimeoutError:
            raise AssertionError(f"never so: {seen}") from None
        return seen

    async def agree(self, name: str) -> bool:
        """Once every event has arrived: what both sides say of access, which must be the same."""
        sent = len(await self.dunning.ledger.events_of("demo", name))
        await self.until(name, lambda seen: len(seen) == sent)
        shown = await self.shown(name)
        kept = (await self.shop.get(f"/access/{name}", params={"at": shown["business_now"]})).json()["granted"]
        assert kept is shown["access"]["granted"], shown["access"]
        return bool(kept)


@asynccontextmanager
async def _open(stack: Stack) -> AsyncIterator[Town]:
    env = stack.env
    key = {"Authorization": f"Bearer {env['DUNNING_SANDBOX_API_KEY']}"}
    async with (
        httpx.AsyncClient(base_url=env["DUNNING_BACKEND_URL"], timeout=60) as shop,
        httpx.AsyncClient(base_url=env["DUNNING_GATEWAY_URL"], timeout=60, headers=key) as api,
        httpx.AsyncClient(base_url=env["DUNNING_SANDBOX_URL"], timeout=60) as sandbox,
    ):
        temporal = await Client.connect(env["TEMPORAL_ADDRESS"], data_converter=pydantic_data_converter)
        ledger = await Ledger.open(env["DUNNING_LEDGER_URL"], pool_size=2)
        yield Town(shop, api, sandbox, DunningClient(temporal, ledger))
        await ledger.aclose()


@pytest.fixture
async def town(stack: Stack) -> AsyncIterator[Town]:
    async with _open(stack) as found:
        yield found


@pytest.mark.server
async def test_a_backend_from_the_docs_alone_grants_and_takes_access_by_events(town: Town, stack: Stack) -> None:
    name = f"shop-{uuid.uuid4().hex[:8]}"
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    outcomes = ["INSUFFICIENT_FUNDS", "SUCCEEDED", *["INSUFFICIENT_FUNDS"] * 4]
    (await town.sandbox.post("/_sandbox/scripts", json={"subscription": name, "script": outcomes})).raise_for_status()

    # A customer orders, and is sent to the provider's page.
    order = document(
        id=name,
        customer={"id": f"cust-{name}", "email": "ayu@example.com"},
        schedule={"anchor_at": due.isoformat(), "interval": "MONTH"},
    )
    ordered = await town.shop.post("/orders?test_clock=true", json=order)
    assert ordered.status_code == 201, ordered.text
    assert await town.received(name) == []
    assert (await town.shop.get(f"/access/{name}")).json() == {"granted": False}
    link = ordered.json()["link"]
    page = (await town.sandbox.get(link)).raise_for_status().text
    action = re.search(r"action='(/pay/[^']+)'", page)
    assert action is not None
    (await town.sandbox.post(action[1], data={"answer": "approve"})).raise_for_status()

    # Activation, heard by event.
    await town.until(name, lambda seen: "subscription.active" in seen)
    assert await town.agree(name) is True

    # A cycle fails, and is recovered by the first retry.
    clock = town.clock(name)
    await clock.advance(due + timedelta(hours=1))
    assert "recurring.cycle.retrying" in await town.until(name, lambda seen: "recurring.cycle.retrying" in seen)
    assert await town.agree(name) is True
    await clock.advance(due + timedelta(days=3, hours=1))
    await town.until(name, lambda seen: "recurring.cycle.succeeded" in seen)
    assert await town.agree(name) is True

    # The next cycle fails through the whole ladder: the plan stops, and access with it.
    await clock.advance(due + timedelta(days=60))
    seen = await town.until(name, lambda seen: "subscription.ended" in seen)
    assert seen.count("payment.failed") == 5
    assert "recurring.plan.inactivated" in seen
    assert await town.agree(name) is False


@pytest.mark.server
async def test_a_dead_backend_delays_no_charge_and_no_renewal_and_hears_everything_again(stack: Stack) -> None:
    name = f"dead-{uuid.uuid4().hex[:8]}"
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    customer = {
        "subscription_id": f"sub_{name}", "customer_id": f"cus_{name}", "payment_method_id": "pm_1", "currency": "IDR",
        "metadata": {"subscription": name}, "script": ["SUCCEEDED"],
    }  # fmt: skip
    began = datetime.now(UTC)
    async with _open(stack) as town:
        (await town.sandbox.post("/_sandbox/subscriptions", json=customer)).raise_for_status()
        order = document(
            id=name,
            customer={"id": f"cust-{name}", "email": "ayu@example.com"},
            provider_options={"country": "ID", "product_id": "p", "subscription_id": f"sub_{name}"},
            payment_methods=[{"token": "pm_1", "authorized_at": due.isoformat()}],
            schedule={"anchor_at": due.isoformat(), "interval": "DAY"},
        )
        assert (await town.shop.post("/orders?test_clock=true", json=order)).status_code == 201
        first = (await town.dunning.describe("demo", name)).run_id
        await stack.kill("backend")
        clock = town.clock(name)
        await clock.advance(due + timedelta(days=2, hours=1))
        attempts = await town.dunning.ledger.attempts_of("demo", name)
        assert [a.business_at - a.planned_at < timedelta(minutes=2) for a in attempts] == [True] * 3
        assert (await town.dunning.describe("demo", name)).run_id != first
        waiting = await town.dunning.ledger.events_of("demo", name)
        assert sum(one["type"] == "payment.succeeded" for one in waiting) == 3
        assert not any(one["delivered_at"] for one in waiting if one["sequence"] > 3)
    # It comes back without any memory, and asks for everything since.
    await stack.restart("backend")
    async with _open(stack) as town:
        again = await town.api.post("/v1/events/redeliver", json={"since": began.isoformat(), "subscription_id": name})
        assert again.json() == {"events": len(waiting)}
        assert await town.agree(name) is True
