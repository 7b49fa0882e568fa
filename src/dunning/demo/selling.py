"""A life that is sold: ordered, and steered, at the example backend's own pages, as its customers and its desk do it.

The backend speaks to the engine over HTTP and hears of everything by signed events. Only the clock is moved behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import httpx

from dunning.client import DunningClient
from dunning.demo.living import Entitlement, Living
from dunning.domain.commands import Command
from dunning.domain.script import Script
from dunning.domain.terms import Subscription

EVENTS_SECONDS = 30.0
LOOK_EVERY = 0.1


class Places(NamedTuple):
    """Where a life takes place: the provider, the product backend, and the engine's HTTP API by merchant account."""

    sandbox: httpx.AsyncClient
    shop: httpx.AsyncClient
    api: Mapping[str, httpx.AsyncClient]


class Sold(Living):
    """The life of one subscription that is sold by a product backend."""

    def __init__(
        self,
        dunning: DunningClient,
        places: Places,
        document: Mapping[str, Any],
        subscription: Subscription,
        script: Script,
        *,
        now: datetime,
        cycles: int,
    ) -> None:
        super().__init__(dunning, places.sandbox, subscription, script, now=now, cycles=cycles, on_step=lambda _: None)
        self._places = places
        self._document = document

    async def _begin(self) -> None:
        answer = await self._places.shop.post("/orders", params={"test_clock": "true"}, json=self._document)
        if answer.status_code != 201:
            raise RuntimeError(f"the shop did not order {self._given.id}: {answer.status_code} {answer.text}")

    async def _send(self, command: Command) -> None:
        body = command.model_dump(mode="json", exclude={"name"}, exclude_none=True)
        answer = await self._places.shop.post(f"/orders/{self._given.id}/{command.name}", json=body)
        if answer.status_code not in (200, 409):
            raise RuntimeError(f"the shop's {command.name} went wrong: {answer.status_code} {answer.text}")

    async def _entitlement(self) -> Entitlement:
        """Both sides' word, once the backend has every event there is, or has had half a minute for it."""
        own, shop = self._given.id, self._places.shop
        api = self._places.api[self._given.merchant_account]
        sent = len(await self._dunning.ledger.events_of(self._given.merchant_account, own))
        received = 0
        for _ in range(int(EVENTS_SECONDS / LOOK_EVERY)):
            received = len((await shop.get(f"/received/{own}")).raise_for_status().json())
            if received >= sent:
                break
            await asyncio.sleep(LOOK_EVERY)
        shown = (await api.get(f"/v1/subscriptions/{own}")).raise_for_status().json()
        kept = (await shop.get(f"/access/{own}", params={"at": shown["business_now"]})).raise_for_status().json()
        return Entitlement(
            at=datetime.fromisoformat(shown["business_now"]),
            engine=shown["access"]["granted"],
            backend=kept["granted"],
            events_sent=sent,
            events_received=received,
        )
