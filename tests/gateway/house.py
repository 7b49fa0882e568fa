"""A gateway over a real ledger and real HTTP, with a post box where Temporal would be."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import select, update
from standardwebhooks import Webhook

from dunning.contract import ProviderFact
from dunning.domain.attempts import Attempt, Trigger, attempt_key
from dunning.gateway.app import Door, create_app
from dunning.gateway.dispatcher import Dispatcher
from dunning.ledger import Ledger, Limits
from dunning.ledger.models import ChargeInput, Claim
from dunning.ledger.schema import inbox
from dunning.providers.base import PaymentProvider
from dunning.providers.dodo import DodoProvider
from dunning.sandbox.serving import serving
from tests.builders import subscription

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
AT = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)
REFERENCE = "sub_dodo_1"


@dataclass
class PostBox:
    """Takes signals, or refuses those of some subscriptions."""

    got: list[tuple[str, str, ProviderFact]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    is_away: bool = False

    async def signal(self, account: str, name: str, fact: ProviderFact) -> None:
        if self.is_away or name in self.refused:
            raise ConnectionError("the workflow service is away")
        self.got.append((account, name, fact))

    @property
    def facts(self) -> list[ProviderFact]:
        return [fact for _, _, fact in self.got]


class House:
    """What the tests of the gateway speak to."""

    def __init__(self, http: httpx.AsyncClient, ledger: Ledger, box: PostBox, dispatcher: Dispatcher) -> None:
        self.http = http
        self.ledger = ledger
        self.box = box
        self.dispatcher = dispatcher

    async def subscribe(self, name: str = "sub-1", account: str = "demo", reference: str = REFERENCE) -> None:
        given = subscription(
            id=name,
            merchant_account=account,
            provider_options={"country": "ID", "product_id": "pdt_1", "subscription_id": reference},
        )
        await self.ledger.create_subscription(given, now=AT)

    async def send_attempt(self, number: int = 1, account: str = "demo", name: str = "sub-1") -> str:
        """An attempt that was sent, and whose answer is still to come; gives its key."""
        key = attempt_key(account, name, 1, "1", number)
        attempt = Attempt(
            number=number, trigger=Trigger.DUE, method="pm_1", planned_at=AT, because="it is due", key=key
        )
        request = ChargeInput(
            account=account,
            subscription=name,
            generation=1,
            customer=f"cust-{number}",
            obligation="1",
            attempt=attempt,
            amount=100_000,
            currency="IDR",
            description="Pro plan",
            reference=REFERENCE,
            business_at=AT,
        )
        admission = await self.ledger.admit(request, owner="test", limits=Limits())
        assert isinstance(admission.claim, Claim)
        await self.ledger.mark_sent(admission.claim)
        return key

    async def deliver(self, body: bytes, ident: str = "msg_1", *, path: str = "dodo/demo") -> httpx.Response:
        """A message, signed as the provider signs."""
        now = datetime.now(UTC)
        signature = Webhook(SECRET).sign(ident, now, body.decode())
        headers = {
            "webhook-id": ident,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }
        return await self.http.post(f"/webhooks/{path}", content=body, headers=headers)

    async def try_again(self) -> int:
        """Drain the inbox, also of what was put off."""
        async with self.ledger._engine.begin() as connection:
            await connection.execute(update(inbox).values(settle_after=None))
        return await self.dispatcher.drain()

    async def rows(self) -> list[dict[str, Any]]:
        async with self.ledger._engine.begin() as connection:
            found = await connection.execute(select(inbox).order_by(inbox.c.id))
            return [dict(row._mapping) for row in found]


def message(kind: str, **data: Any) -> bytes:
    at = datetime.now(UTC).isoformat()
    return json.dumps({"business_id": "b", "type": kind, "timestamp": at, "data": data}).encode()


def payment(key: str | None, status: str = "succeeded", kind: str | None = None, **changes: Any) -> bytes:
    metadata = {"subscription": "sub-1"} if key is None else {"subscription": "sub-1", "dunning_key": key}
    data = {
        "payload_type": "Payment",
        "payment_id": "pay_1",
        "status": status,
        "total_amount": 100_000,
        "currency": "IDR",
        "charge_type": "on_demand",
        "subscription_id": REFERENCE,
        "metadata": metadata,
        "created_at": datetime.now(UTC).isoformat(),
        **changes,
    }
    return message(kind or f"payment.{status}", **data)


def agreement(status: str, kind: str | None = None, **changes: Any) -> bytes:
    data = {
        "payload_type": "Subscription",
        "subscription_id": REFERENCE,
        "status": status,
        "payment_method_id": "pm_2",
        "metadata": {"subscription": "sub-1"},
        **changes,
    }
    return message(kind or f"subscription.{status}", **data)


@asynccontextmanager
async def open_house(url: str, provider: PaymentProvider | None = None, secret: str = SECRET) -> AsyncIterator[House]:
    """The gateway without its loop: tests say when the inbox is drained."""
    ledger = await Ledger.open(url)
    box = PostBox()
    dispatcher = Dispatcher(ledger, box.signal)
    provider = provider or DodoProvider(SecretStr("dodo_test_key"), is_test=True, base_url="http://127.0.0.1:9")
    doors = {name: Door(provider, (secret,)) for name in ("demo", "other")}

    async def is_temporal_well() -> bool:
        return not box.is_away

    app = create_app(doors, ledger, dispatcher, is_temporal_well=is_temporal_well)
    try:
        async with serving(app) as base, httpx.AsyncClient(base_url=base, timeout=20) as http:
            yield House(http, ledger, box, dispatcher)
    finally:
        await provider.aclose()
        await ledger.aclose()
