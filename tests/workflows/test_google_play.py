"""Google Play end to end: notification -> gateway -> workflow -> what `show` answers, on the purchase's own clock."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from dunning import contract
from dunning.client import DunningClient
from dunning.contract import SubscriptionInput
from dunning.domain.access import access
from dunning.domain.state import State
from dunning.domain.tables import SubscriptionStatus
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

pytestmark = pytest.mark.server
AUDIENCE = "https://example.com/play"
S = SubscriptionStatus


class Purchase:
    """One purchase at the sandbox, the life that follows it, and the gateway in between."""

    def __init__(self, world: World, dispatcher: Dispatcher, year: int) -> None:
        self.world = world
        self.dispatcher = dispatcher
        self.year = year
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

    async def begin(self, script: list[str], *, items: list[dict[str, Any]] | None = None, **changes: Any) -> State:
        start = self.on("08-01T00:00")
        base = {"product_id": "base", "price": 2_000, "is_base": True}
        body = {"token": self.token, "package": PACKAGE, "at": start.isoformat(), "script": script}
        await self.post("purchases", {**body, "items": items or [base]})
        name = f"sub-{self.token}"
        data = subscription_data(
            id=name,
            customer={**subscription_data()["customer"], "id": f"cust-{name}"},
            provider="google_play",
            collection="provider",
            provider_options={"purchase_token": self.token, "package_name": PACKAGE},
            payment_methods=[],
            currency="USD",
            items=[{"product_id": "base", "role": "base", "quantity": 1, "unit_amount": 2_000}],
            schedule={"anchor_at": start.isoformat(), "interval": "MONTH", "interval_count": 1},
            **changes,
        )
        given = parse_subscription(data)
        created = await self.world.ledger.create_subscription(given, now=await self.world.now())
        arguments = SubscriptionInput(account=ACCOUNT, subscription=name, generation=created.generation)
        own = contract.workflow_id(ACCOUNT, name)
        handle = await self.world.client.start_workflow(
            contract.WORKFLOW, arguments, id=own, task_queue=self.world.task_queue
        )
        self.world.ids.append(handle.id)
        self.life = Life(self.world, name, self.token, handle, start)
        return await self.life.until(lambda s: s.status is S.ACTIVE, step=timedelta(minutes=1))

    async def add_on(self) -> None:
        item = {"product_id": "addon", "price": 1_000, "trial_days": 7}
        await self.post(f"purchases/{self.token}/items", {"at": self.on("08-15T00:00").isoformat(), "item": item})
        await self.heard()


@pytest.fixture
async def play(temporal_env: WorkflowEnvironment, ledger_url: str) -> AsyncIterator[Purchase]:
    """The time-skipping server is taken to the next August 1."""
    account = {
        "provider": "google_play",
        "api_key": service_account(),
        "webhook_secrets": (),
        "google_play": GooglePlaySettings(package_name=PACKAGE),
    }
    async with open_world(temporal_env, ledger_url, face="/play", **account) as world:
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

        app = create_app({}, world.ledger, dispatcher, is_temporal_well=is_well, play={ACCOUNT: door})
        async with serving(app) as gateway:
            push = {"play_push_url": f"{gateway}/webhooks/google_play/{ACCOUNT}", "play_push_audience": AUDIENCE}
            async with httpx.AsyncClient(base_url=world.sandbox.url) as http:
                (await http.post("/_sandbox/configure", json=push)).raise_for_status()
            await world.sleep(datetime(year, 8, 1, tzinfo=UTC) - now)
            yield Purchase(world, dispatcher, year)
        await provider.aclose()


def granted(state: State, at: datetime) -> dict[str, str]:
    """Per item, the day up to which it gives access."""
    assert state.plan is not None
    return {item.product_id: f"{item.until:%m-%d}" for item in state.plan.items if item.until and at < item.until}


async def test_g1_hold_on_aug_22_recovered_on_aug_25_next_billing_on_sep_4(play: Purchase) -> None:
    active = await play.begin(["DECLINED"])
    await play.go("08-15T00:00")
    await play.add_on()
    trial = await play.life.state()
    assert granted(trial, play.on("08-15T01:00")) == {"base": "09-01", "addon": "08-22"}
    assert access(active, play.on("08-02T00:00")).is_granted

    held = await play.go("08-22T01:00")
    assert (held.status, granted(held, play.on("08-22T01:00"))) == (S.ON_HOLD, {})
    assert not access(held, play.on("08-22T01:00")).is_granted
    assert held.obligation("2").amount == 290

    await play.go("08-25T00:00")
    await play.deed("repair")
    back = await play.life.state()
    assert back.status is S.ACTIVE
    assert granted(back, play.on("08-25T01:00")) == {"base": "09-04", "addon": "09-04"}
    now = access(back, play.on("08-25T01:00"))
    assert now.is_granted
    assert now.until is not None
    assert f"{now.until:%m-%d %H:%M}" == "09-04 00:00"
    assert back.plan is not None
    assert {f"{due:%m-%d}" for due in back.plan.next_due} == {"09-04"}

    renewed = await play.go("09-04T01:00")
    assert granted(renewed, play.on("09-04T01:00")) == {"base": "10-04", "addon": "10-04"}


async def test_g1_hold_not_recovered_canceled_on_sep_21_base_through_sep_30(play: Purchase) -> None:
    await play.begin(["DECLINED"])
    await play.go("08-15T00:00")
    await play.add_on()
    assert (await play.go("09-20T23:00")).status is S.ON_HOLD
    lost = await play.go("09-22T01:00")
    assert (lost.status, granted(lost, play.on("09-22T01:00"))) == (S.CANCELED, {"base": "10-01"})
    assert access(lost, play.on("09-30T12:00")).is_granted
    over = await play.go("10-01T01:00")
    assert (over.status, access(over, play.on("10-01T01:00")).is_granted) == (S.INACTIVE, False)


async def test_grace_keeps_access_and_a_payment_in_it_closes_the_cycle(play: Purchase) -> None:
    base = {"product_id": "base", "price": 2_000, "is_base": True, "grace_days": 3, "hold_days": 30}
    await play.begin(["DECLINED"], items=[base])
    late = await play.go("09-02T00:00")
    assert (late.status, granted(late, play.on("09-02T00:00"))) == (S.PAST_DUE, {"base": "09-04"})
    await play.deed("repair")
    paid = await play.life.state()
    assert (paid.status, granted(paid, play.on("09-02T01:00"))) == (S.ACTIVE, {"base": "10-01"})
    assert [o.status.value for o in paid.obligations if o.is_cycle][-1] == "succeeded"


async def test_everything_is_found_out_when_every_notification_is_lost(play: Purchase) -> None:
    await play.begin(["DECLINED"])
    lose = {"webhooks": {"mode": "lose"}}
    (await play.world.http.post("/_sandbox/configure", json=lose)).raise_for_status()
    held = await play.go("09-01T01:00")
    assert held.status is S.ON_HOLD
    await play.deed("repair")
    back = await play.go("09-03T01:00")
    assert (back.status, granted(back, play.on("09-03T01:00"))) == (S.ACTIVE, {"base": "10-01"})


async def test_cancel_and_defer_are_asked_of_google_play_and_read_back(play: Purchase) -> None:
    await play.begin([])
    deferred = await play.life.command("defer", "cmd-defer", days=7)
    assert deferred.status == "done", deferred
    assert granted(await play.life.state(), play.on("08-02T00:00")) == {"base": "09-08"}
    assert await play.life.command("defer", "cmd-defer", days=7) == deferred
    canceled = await play.life.command("cancel", type="USER_REQUESTED_STOP_RENEWALS")
    assert canceled.status == "done", canceled
    after = await play.life.state()
    assert (after.status, granted(after, play.on("08-02T00:00"))) == (S.CANCELED, {"base": "09-08"})
    await play.deed("restore")
    assert (await play.life.state()).status is S.ACTIVE


async def test_an_order_is_refunded_once_and_access_stays(play: Purchase) -> None:
    state = await play.begin([])
    (order,) = [o.provider_cycle for o in state.obligations if o.is_cycle]
    for _ in range(2):
        done = await play.life.command("refund", "cmd-refund", order=order)
        assert done.status == "done", done
    after = await play.life.state()
    assert (after.status, granted(after, play.on("08-02T00:00"))) == (S.ACTIVE, {"base": "09-01"})
    rows = await play.world.ledger.booked(ACCOUNT, subscription=play.life.name)
    assert [(row.kind.value, row.amount) for row in rows if row.kind.value == "refund"] == [("refund", 2_000)]


async def test_a_prorated_revoke_ends_access_at_once(play: Purchase) -> None:
    await play.begin([])
    done = await play.life.command("revoke", "cmd-revoke", type="PRORATED")
    assert done.status == "done", done
    after = await play.life.state()
    assert (after.status, granted(after, play.on("08-02T00:00"))) == (S.INACTIVE, {})


async def test_what_only_the_customer_can_do_is_refused_with_the_place_where(play: Purchase) -> None:
    await play.begin([])
    for name, fields in (("pause", {}), ("update_payment_method", {"token": "pm_2"}), ("skip_cycle", {})):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await play.life.command(name, **fields)
        link = f"https://play.google.com/store/account/subscriptions?sku=base&package={PACKAGE}"
        assert link in str(refused.value.cause), name


async def test_a_purchase_made_in_place_of_another_is_followed_from_then_on(play: Purchase) -> None:
    await play.begin([])
    old, play.token = play.token, f"{play.token}-new"
    base = {"product_id": "base", "price": 2_500, "is_base": True}
    at = (await play.world.now()).isoformat()
    body = {"token": play.token, "package": PACKAGE, "at": at, "linked_token": old, "items": [base]}
    await play.post("purchases", body)
    changed = await play.heard()
    assert changed.plan is not None
    assert (changed.status, changed.plan.plan_id, changed.reference) == (S.ACTIVE, play.token, play.token)


async def test_a_pause_in_google_play_gives_no_access_and_its_end_gives_it_back(play: Purchase) -> None:
    await play.begin([])
    await play.deed("pause", days=30)
    paused = await play.go("09-02T00:00")
    assert (paused.status, granted(paused, play.on("09-02T00:00"))) == (S.PAUSED, {})
    resumed = await play.go("10-01T12:00")
    assert (resumed.status, list(granted(resumed, play.on("10-01T12:00")))) == (S.ACTIVE, ["base"])
