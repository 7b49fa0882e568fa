"""Lives at a provider that proves presence and never absence: decline and recovery, a link, and a lost answer."""

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
    """The account is Xendit's, the rest of the world the same."""
    account: dict[str, Any] = {"provider": "xendit", "api_key": SecretStr("xnd_development_key"), "webhook_secrets": ()}
    async with open_world(temporal_env, ledger_url, face="/xendit", **account) as opened:
        yield opened


async def begin(world: World, *outcomes: str, mandate: str | None = None, **changes: Any) -> Life:
    """A subscription whose customer is scripted in the words of any other provider."""
    name = f"sub-{uuid.uuid4().hex[:12]}"
    anchor = (await world.now() + timedelta(hours=1)).replace(microsecond=0)
    data: dict[str, Any] = {
        "id": name,
        "customer": {**subscription_data()["customer"], "id": f"cust-{name}"},
        "provider": "xendit",
        "provider_options": {},
        "payment_methods": [{"token": f"pt-{name}", "authorized_at": anchor.isoformat()}],
        "schedule": {"anchor_at": anchor.isoformat(), "interval": "MONTH", "interval_count": 1},
        **changes,
    }
    given = parse_subscription(subscription_data(**data))
    script = {"outcomes": outcomes} if mandate is None else {"outcomes": outcomes, "mandate": mandate}
    await customers.register(world.http, given, Script.model_validate(script))
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
    assert (first.outcome.raw_code, first.outcome.klass) == ("INSUFFICIENT_BALANCE", "SOFT")

    paid = await life.pass_time(timedelta(days=3))
    assert paid.status is SubscriptionStatus.ACTIVE
    assert [(a.planned_at - life.anchor).days for a in paid.obligation("1").attempts] == [0, 3]
    assert [(row["status"], row["amount"]) for row in await life.charges()] == [
        ("failed", 100_000),
        ("succeeded", 100_000),
    ]


async def test_an_advice_of_the_card_network_stops_the_ladder_whatever_the_code_says(world: World) -> None:
    life = await begin(world, "DO_NOT_HONOR")

    waiting = await life.pass_time(timedelta(days=4))

    assert waiting.obligation("1").status is CycleStatus.AWAITING_METHOD
    (only,) = waiting.obligation("1").attempts
    assert only.outcome is not None
    assert (only.outcome.raw_code, only.outcome.klass) == ("03", "HARD")
    assert len(await life.charges()) == 1


async def test_an_advised_wait_moves_the_first_retry(world: World) -> None:
    life = await begin(world, "INSUFFICIENT_FUNDS/wait=10d", "SUCCEEDED")

    paid = await life.pass_time(timedelta(days=12))

    assert paid.status is SubscriptionStatus.ACTIVE
    assert [(a.planned_at - life.anchor).days for a in paid.obligation("1").attempts] == [0, 10]


async def test_an_answer_that_is_lost_is_found_by_its_reference_and_never_sent_again(world: World) -> None:
    life = await begin(world, "TIMEOUT_COMMITTED")

    state = await life.until(lambda s: s.next_number == 2, step=timedelta(minutes=30))

    assert state.status is SubscriptionStatus.ACTIVE
    (only,) = await life.charges()
    assert (only["status"], only["amount"]) == ("succeeded", 100_000)


async def test_a_completed_link_begins_although_no_webhook_arrives(world: World) -> None:
    life = await begin(world, "SUCCEEDED", mandate="complete", payment_methods=[])

    state = await life.until(lambda s: s.next_number == 2)

    assert state.status is SubscriptionStatus.ACTIVE
    assert (state.reference or "").startswith("pt-")
    assert state.current == state.reference
    assert {row["status"] for row in await life.charges()} == {"succeeded"}


async def test_after_a_hard_decline_another_token_is_charged_at_once(world: World) -> None:
    life = await begin(world, "STOLEN_CARD", "SUCCEEDED")
    waiting = await life.pass_time(timedelta(hours=2))
    assert waiting.obligation("1").status is CycleStatus.AWAITING_METHOD
    token = f"pt-{uuid.uuid4().hex}"
    method = {"payment_method_id": token, "then": ["SUCCEEDED"]}
    answer = await world.http.post(f"/_sandbox/subscriptions/{life.name}/update-method", json=method)
    answer.raise_for_status()

    await life.command("update_payment_method", token=token)

    state = await life.until(lambda s: s.status is SubscriptionStatus.ACTIVE, step=timedelta(minutes=1), steps=10)
    assert state.obligation("1").status is CycleStatus.SUCCEEDED
    assert [row["payment_method_id"] for row in await life.charges()] == [f"pt-{life.name}", token]
