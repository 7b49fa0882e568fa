"""Temporal is away and the gateway dies under a load of webhooks: what was accepted takes effect once. SPEC 15."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from standardwebhooks import Webhook
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from dunning.client import DunningClient
from dunning.gateway.dispatcher import PATROL_SECONDS
from dunning.ledger import Ledger
from dunning.stack import Stack
from tests.builders import subscription
from tests.on_the_stack import until

pytestmark = [pytest.mark.server, pytest.mark.crash]
NAMES = [f"out-{number}" for number in range(6)]
OUTAGE = PATROL_SECONDS + 3
PACE = 0.05
"""Seconds between two messages of one sender: the load goes on through all of it, and is over in reasonable time."""

PATIENCE = 300.0
"""Seconds in which the last message must have taken effect: a busy machine drains what came in an outage slowly."""


class Provider:
    """Sends payments that nobody knows of, each with an amount of its own, and again until it is thanked."""

    def __init__(self, stack: Stack) -> None:
        self._url = f"{stack.env['DUNNING_GATEWAY_URL']}/webhooks/dodo/demo"
        self._webhook = Webhook(stack.env["DUNNING_SANDBOX_WEBHOOK_SECRET"])
        self._numbers = itertools.count(1)
        self.accepted: dict[int, str] = {}
        self.is_over = False
        self._thanked = asyncio.Condition()

    async def keep_sending(self) -> None:
        async with httpx.AsyncClient(timeout=5) as http:
            while not self.is_over:
                number = next(self._numbers)
                await self._deliver(http, number, NAMES[number % len(NAMES)])
                await asyncio.sleep(PACE)

    async def _deliver(self, http: httpx.AsyncClient, number: int, name: str) -> None:
        while True:
            body, now, ident = self._body(number, name), datetime.now(UTC), f"msg_out_{number}"
            headers = {
                "webhook-id": ident,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": self._webhook.sign(ident, now, body),
            }
            try:
                if (await http.post(self._url, content=body, headers=headers)).status_code == 200:
                    await self._note(number, name)
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)  # a provider waits before it sends again

    def _body(self, number: int, name: str) -> str:
        data = {
            "payload_type": "Payment", "payment_id": f"pay_out_{number}", "status": "succeeded",
            "total_amount": 1_000_000 + number, "currency": "IDR", "subscription_id": f"sub_{name}",
            "metadata": {"subscription": name}, "created_at": datetime.now(UTC).isoformat(),
        }  # fmt: skip
        return json.dumps({"type": "payment.succeeded", "timestamp": datetime.now(UTC).isoformat(), "data": data})

    async def until_accepted(self, count: int) -> None:
        async with asyncio.timeout(60), self._thanked:
            await self._thanked.wait_for(lambda: len(self.accepted) >= count)

    async def _note(self, number: int, name: str) -> None:
        async with self._thanked:
            self.accepted[number] = name
            self._thanked.notify_all()


async def told(ledger: Ledger) -> Counter[int]:
    """How often each payment raised attention: the effect of each message, by its amount."""
    found: Counter[int] = Counter()
    for name in NAMES:
        for event in await ledger.events_of("demo", name):
            if event["type"] == "subscription.attention":
                found[int(event["data"]["what"].split()[3]) - 1_000_000] += 1
    return found


async def test_every_accepted_webhook_takes_effect_exactly_once_over_an_outage_and_a_crash() -> None:
    async with Stack.start(["worker", "gateway"], durable=True) as stack:
        temporal = await Client.connect(stack.env["TEMPORAL_ADDRESS"], data_converter=pydantic_data_converter)
        ledger = await Ledger.open(stack.env["DUNNING_LEDGER_URL"], pool_size=2)
        dunning = DunningClient(temporal, ledger)
        due = (datetime.now(UTC) + timedelta(days=20)).isoformat()
        for name in NAMES:
            given = subscription(
                id=name,
                customer={"id": f"cust-{name}"},
                notifications={},
                payment_methods=[{"token": "pm_1", "authorized_at": due}],
                provider_options={"country": "ID", "product_id": "p", "subscription_id": f"sub_{name}"},
                schedule={"anchor_at": due, "interval": "MONTH"},
            )
            await dunning.start(given)
        provider = Provider(stack)
        load = [asyncio.create_task(provider.keep_sending()) for _ in range(3)]
        try:
            await provider.until_accepted(20)
            await stack.stop("temporal")
            began, before = time.monotonic(), len(provider.accepted)
            await provider.until_accepted(before + 30)
            await stack.kill("gateway")
            await stack.restart("gateway")
            await provider.until_accepted(len(provider.accepted) + 10)
            while time.monotonic() - began < OUTAGE:
                await provider.until_accepted(len(provider.accepted) + 1)
            await stack.restart("temporal")
            await provider.until_accepted(len(provider.accepted) + 20)
        finally:
            provider.is_over = True
            await asyncio.gather(*load)
        await until(ledger.count_waiting, lambda waiting: waiting == 0, "the inbox is empty", patience=PATIENCE)
        heard = functools.partial(told, ledger)
        await until(heard, lambda seen: set(provider.accepted) <= set(seen), "all is heard", patience=PATIENCE)
        assert await told(ledger) == Counter(dict.fromkeys(provider.accepted, 1))
        await ledger.aclose()
