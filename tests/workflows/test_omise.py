"""Lives at a provider that answers at once and takes tokens: the engine asks what it can do, never which it is."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.testing import WorkflowEnvironment

from dunning import contract
from dunning.contract import SubscriptionInput
from dunning.domain.script import Script
from dunning.domain.tables import CycleStatus, SubscriptionStatus
from dunning.intake import parse_subscription
from dunning.sandbox import customers
from tests.builders import subscription_data
from tests.workflows.world import ACCOUNT, Life, World, open_world

pytestmark = pytest.mark.server


@pytest.fixture
async def world(temporal_env: WorkflowEnvironment, ledger_url: str) -> AsyncIterator[World]:
    """The account is Omise's, the rest of the world the same."""
    account: dict[str, Any] = {"provider": "omise", "api_key": SecretStr("skey_test_key"), "webhook_secrets": ()}
    async with open_world(temporal_env, ledger_url, face="/omise", **account) as opened:
        yield opened


async def begin(world: World, *outcomes: str, **changes: Any) -> Life:
    """A subscription whose customer is scripted as for any other provider."""
    name = f"sub-{uuid.uuid4().hex[:12]}"
    anchor = (await world.now() + timedelta(hours=1)).replace(microsecond=0)
    data: dict[str, Any] = {
        "id": name,
        "customer": {**subscription_data()["customer"], "id": f"cust-{name}"},
        "provider": "omise",
        "provider_options": {"customer_id": f"cust_test_{name}"},
        "payment_methods": [{"token": "card_test_1", "authorized_at": anchor.isoformat()}],
        "currency": "THB",
        "schedule": {"anchor_at": anchor.isoformat(), "interval": "MONTH", "interval_count": 1},
        **changes,
    }
    given = parse_subscription(subscription_data(**data))
    await customers.register(world.http, given, Script.model_validate({"outcomes": outcomes}))
    created = await world.ledger.create_subscription(given, now=await world.now())
    start = SubscriptionInput(account=ACCOUNT, subscription=name, generation=created.generation)
    own = contract.workflow_id(ACCOUNT, name)
    handle = await world.client.start_workflow(contract.WORKFLOW, start, id=own, task_queue=world.task_queue)
    world.ids.append(handle.id)
    return Life(world, name, given.adopted_reference or "", handle, anchor)


async def test_a_decline_is_recovered_on_day_three(world: World) -> None:
    life = await begin(world, "INSUFFICIENT_FUNDS", "SUCCEEDED")

    owed = await life.pass_time(timedelta(hours=2))
    assert owed.status is SubscriptionStatus.PAST_DUE
    (first,) = owed.obligation("1").attempts
    assert first.outcome is not None
    assert (first.outcome.raw_code, first.outcome.klass) == ("insufficient_fund", "SOFT")

    paid = await life.pass_time(timedelta(days=3))
    assert paid.status is SubscriptionStatus.ACTIVE
    assert [(a.planned_at - life.anchor).days for a in paid.obligation("1").attempts] == [0, 3]
    assert [row["status"] for row in await life.charges()] == ["failed", "succeeded"]
    assert {row["payment_method_id"] for row in await life.charges()} == {"card_test_1"}


async def test_an_answer_that_is_lost_is_looked_up_and_never_sent_again(world: World) -> None:
    life = await begin(world, "TIMEOUT_COMMITTED")

    state = await life.until(lambda s: s.next_number == 2, step=timedelta(minutes=30))

    assert state.status is SubscriptionStatus.ACTIVE
    (only,) = await life.charges()
    assert (only["status"], only["amount"]) == ("succeeded", 100_000)


async def test_a_token_is_enough_to_begin_with_although_no_webhook_arrives(world: World) -> None:
    options = {"card_token": f"tokn_test_{uuid.uuid4().hex}"}
    life = await begin(world, "SUCCEEDED", provider_options=options, payment_methods=[])

    state = await life.pass_time(timedelta(hours=2))

    assert state.status is SubscriptionStatus.ACTIVE
    assert (state.reference or "").startswith("cust_test_")
    assert (state.current or "").startswith("card_test_")
    (charge,) = await life.charges()
    assert (charge["status"], charge["payment_method_id"]) == ("succeeded", state.current)


async def test_after_a_hard_decline_a_new_token_is_attached_and_charged_at_once(world: World) -> None:
    life = await begin(world, "DO_NOT_HONOR", "SUCCEEDED")
    waiting = await life.pass_time(timedelta(hours=2))
    assert waiting.obligation("1").status is CycleStatus.AWAITING_METHOD

    await life.command("update_payment_method", token=f"tokn_test_{uuid.uuid4().hex}")

    state = await life.until(lambda s: s.status is SubscriptionStatus.ACTIVE, step=timedelta(minutes=1), steps=10)
    assert state.obligation("1").status is CycleStatus.SUCCEEDED
    declined, paid = await life.charges()
    assert declined["payment_method_id"] == "card_test_1"
    assert paid["payment_method_id"].startswith("card_test_")
    assert paid["payment_method_id"] != "card_test_1"
