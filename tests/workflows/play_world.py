"""Purchases at the sandbox's Google Play, the lives that follow them, and the gateway in between; August is ahead."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.testing import WorkflowEnvironment

from dunning import contract
from dunning.client import DunningClient
from dunning.contract import SubscriptionInput
from dunning.domain.state import State
from dunning.domain.tables import SubscriptionStatus
from dunning.gateway.api import Api
from dunning.gateway.api.limiting import Limiter
from dunning.gateway.app import create_app
from dunning.gateway.dispatcher import Dispatcher
from dunning.gateway.play_push import PlayDoor
from dunning.intake import parse_subscription
from dunning.providers.google_play import GooglePlayProvider
from dunning.providers.google_play_push import FixedKeys, PushVerifier
from dunning.sandbox.serving import serving
from dunning.settings import GooglePlaySettings
from tests.builders import subscription_data
from tests.providers.google_play.rig import PACKAGE, service_account
from tests.workflows.world import ACCOUNT, Life, World, open_world

AUDIENCE = "https://example.com/play"
S = SubscriptionStatus


BASE: dict[str, Any] = {"product_id": "base", "price": 2_000, "is_base": True}


class Purchase:
    """One purchase at the sandbox, the life that follows it, and the gateway in between."""

    def __init__(self, world: World, dispatcher: Dispatcher, year: int, gateway: str = "") -> None:
        self.world = world
        self.dispatcher = dispatcher
        self.year = year
        self.gateway = gateway
        self.token = f"token-{uuid.uuid4().hex[:8]}"
        self.life: Life

    def on(self, text: str) -> datetime:
        return datetime.fromisoformat(f"{self.year}-{text}").replace(tzinfo=UTC)

    async def post(self, path: str, body: dict[str, Any]) -> None:
        answer = await self.world.http.post(f"/_sandbox/play/{path}", json=body)
        assert answer.is_success, answer.text

    async def deed(self, deed: str, **more: Any) -> None:
        moment = (await self.world.now()).isoformat()
        await self.post(f"purchases/{self.token}/deeds", {"deed": deed, "at": moment, **more})
        await self.heard()

    async def heard(self) -> State:
        """Everything that was said has come in, and what it hinted at has been read."""
        assert await self.world.sandbox.state.until_quiet()
        while await self.dispatcher.drain():
            pass
        await self.world.sleep(timedelta(seconds=1))
        while (state := await self.life.state()).plan is None or state.plan.is_hinted:
            await self.world.sleep(timedelta(seconds=1))
        return state

    async def go(self, text: str) -> State:
        """Let time pass up to an instant of the year."""
        wait = self.on(text) - await self.world.now()
        assert wait > timedelta(0), text
        await self.world.sleep(wait)
        return await self.heard()

    async def begin(self, script: list[str], *, items: list[dict[str, Any]] | None = None, **given: Any) -> State:
        """Bought on August 1, and followed from then on."""
        await self.buy(items or [BASE], script=script)
        await self.follow(**given)
        return await self.life.until(lambda s: s.status is S.ACTIVE, step=timedelta(minutes=1))

    async def buy(self, items: list[dict[str, Any]], **given: Any) -> None:
        body = {"token": self.token, "package": PACKAGE, "at": self.on("08-01T00:00").isoformat(), "items": items}
        await self.post("purchases", {**body, **given})

    async def follow(self, **given: Any) -> None:
        """What a product backend does with the token."""
        start = self.on("08-01T00:00")
        name = f"sub-{self.token}"
        data = {
            "id": name,
            "customer": {**subscription_data()["customer"], "id": f"cust-{name}"},
            "provider": "google_play",
            "collection": "provider",
            "provider_options": {"purchase_token": self.token, "package_name": PACKAGE},
            "payment_methods": [],
            "currency": "USD",
            "items": [{"product_id": "base", "role": "base", "quantity": 1, "unit_amount": 2_000}],
            "schedule": {"anchor_at": start.isoformat(), "interval": "MONTH", "interval_count": 1},
            **given,
        }
        parsed = parse_subscription(subscription_data(**data))
        created = await self.world.ledger.create_subscription(parsed, now=await self.world.now())
        arguments = SubscriptionInput(account=ACCOUNT, subscription=name, generation=created.generation)
        own = contract.workflow_id(ACCOUNT, name)
        handle = await self.world.client.start_workflow(
            contract.WORKFLOW, arguments, id=own, task_queue=self.world.task_queue
        )
        self.world.ids.append(handle.id)
        self.life = Life(self.world, name, self.token, handle, start)

    async def add_on(self) -> None:
        item = {"product_id": "addon", "price": 1_000, "trial_days": 7}
        await self.post(f"purchases/{self.token}/items", {"at": self.on("08-15T00:00").isoformat(), "item": item})
        await self.heard()


ACCOUNT_SETTINGS: dict[str, Any] = {
    "provider": "google_play",
    "api_key": service_account(),
    "webhook_secrets": (),
    "google_play": GooglePlaySettings(package_name=PACKAGE),
}


@asynccontextmanager
async def open_play(env: WorkflowEnvironment, ledger_url: str) -> AsyncIterator[Purchase]:
    """A world whose gateway takes pushes and has the HTTP API; its clock is taken to the next August 1."""
    async with open_world(env, ledger_url, face="/play", **ACCOUNT_SETTINGS) as world:
        now = await world.now()
        year = now.year + (now >= datetime(now.year, 7, 31, tzinfo=UTC))
        client = DunningClient(world.client, world.ledger, task_queue=world.task_queue)
        dispatcher = Dispatcher(world.ledger, client.signal_fact)
        keys = FixedKeys({world.sandbox.state.play.key.key_id: world.sandbox.state.play.key.certificate})
        settings = world.sandbox.state.settings
        provider = GooglePlayProvider(
            service_account(),
            package_name=PACKAGE,
            is_test=True,
            base_url=f"{world.sandbox.url}/play",
            token_url=f"{world.sandbox.url}/play/token",
        )
        door = PlayDoor(provider, PushVerifier(keys, audience=AUDIENCE, email=settings.play_push_email))

        async def is_well() -> bool:
            return True

        api = Api(client, Limiter(10_000, 10_000), {})
        app = create_app({}, world.ledger, dispatcher, is_temporal_well=is_well, play={ACCOUNT: door}, api=api)
        async with serving(app) as gateway:
            push = {"play_push_url": f"{gateway}/webhooks/google_play/{ACCOUNT}", "play_push_audience": AUDIENCE}
            (await world.http.post("/_sandbox/configure", json=push)).raise_for_status()
            await world.sleep(datetime(year, 8, 1, tzinfo=UTC) - now)
            yield Purchase(world, dispatcher, year, gateway)
        await provider.aclose()


def granted(state: State, at: datetime) -> dict[str, str]:
    """Per item, the day up to which it gives access."""
    assert state.plan is not None
    return {item.product_id: f"{item.until:%m-%d}" for item in state.plan.items if item.until and at < item.until}
