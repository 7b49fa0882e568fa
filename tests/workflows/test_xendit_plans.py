"""Lives whose calendar Xendit runs: followed by reading alone, for no webhook ever arrives here. SPEC 9, 12."""

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
from dunning.domain.attempts import Trigger
from dunning.domain.script import Script
from dunning.domain.tables import CycleStatus, SubscriptionStatus
from dunning.intake import parse_subscription
from dunning.sandbox import customers
from tests.builders import subscription_data
from tests.workflows.world import ACCOUNT, Life, World, open_world

pytestmark = pytest.mark.server

DAY = timedelta(days=1)
EVENLY = {"interval": "DAY", "interval_count": 3, "total": 2}
POOR = "INSUFFICIENT_FUNDS"


@pytest.fixture
async def world(temporal_env: WorkflowEnvironment, ledger_url: str) -> AsyncIterator[World]:
    account: dict[str, Any] = {"provider": "xendit", "api_key": SecretStr("xnd_development_key"), "webhook_secrets": ()}
    async with open_world(temporal_env, ledger_url, face="/xendit", **account) as opened:
        yield opened


async def begin(world: World, *outcomes: str, mandate: str | None = None, **changes: Any) -> Life:
    """A subscription whose plan Xendit runs: on a token that is known, or (`mandate`) by its link."""
    name = f"sub-{uuid.uuid4().hex[:12]}"
    now = (await world.now()).replace(microsecond=0)
    due = now + 2 * DAY
    anchor = due if due.day <= 28 else due + 4 * DAY
    methods = [{"token": f"pt-{name}", "authorized_at": now.isoformat()}] if mandate is None else []
    data: dict[str, Any] = {
        "id": name,
        "customer": {**subscription_data()["customer"], "id": f"cust-{name}"},
        "provider": "xendit",
        "collection": "provider",
        "provider_options": {},
        "payment_methods": methods,
        "schedule": {"anchor_at": anchor.isoformat(), "interval": "MONTH", "interval_count": 1},
        "retry": EVENLY,
        **changes,
    }
    given = parse_subscription(subscription_data(**data))
    script = {"outcomes": outcomes} if mandate is None else {"outcomes": outcomes, "mandate": mandate}
    await customers.register(world.http, given, Script.model_validate(script))
    created = await world.ledger.create_subscription(given, now=now)
    start = SubscriptionInput(account=ACCOUNT, subscription=name, generation=created.generation)
    own = contract.workflow_id(ACCOUNT, name)
    handle = await world.client.start_workflow(contract.WORKFLOW, start, id=own, task_queue=world.task_queue)
    world.ids.append(handle.id)
    return Life(world, name, f"pt-{name}", handle, anchor)


async def plan_of(life: Life) -> dict[str, Any]:
    """The one plan of this subscription at Xendit."""
    answer = await life.world.http.get("/_sandbox/plans")
    (found,) = [row for row in answer.json()["plans"] if (row["metadata"] or {}).get("subscription") == life.name]
    return dict(found)


async def paid(life: Life) -> list[str]:
    return [row["status"] for row in await life.charges()]


async def test_a_plan_lives_from_its_link_through_a_retry_to_the_next_cycle_with_every_webhook_lost(
    world: World,
) -> None:
    life = await begin(world, "SUCCEEDED", POOR, "SUCCEEDED", mandate="complete", immediate_action="FULL_AMOUNT")
    state = await life.until(lambda s: s.status is SubscriptionStatus.ACTIVE, step=timedelta(minutes=30), steps=20)
    assert state.obligation("1").status is CycleStatus.SUCCEEDED
    assert state.current == (await plan_of(life))["payment_tokens"][0]["payment_token_id"]

    state = await life.until(lambda s: s.next_number == 3, step=DAY, steps=10)
    second = await life.until(lambda s: s.obligation("2").status is CycleStatus.RETRYING, step=DAY / 2, steps=10)
    owed = second.obligation("2")
    assert owed.next is not None
    assert (owed.next.trigger, owed.next.planned_at) == (Trigger.PROVIDER, life.anchor + 3 * DAY)

    state = await life.until(lambda s: s.obligation("2").status is CycleStatus.SUCCEEDED, step=DAY, steps=10)
    assert [(a.trigger, a.rung) for a in state.obligation("2").attempts] == [(Trigger.DUE, None), (Trigger.PROVIDER, 1)]
    assert state.status is SubscriptionStatus.ACTIVE
    assert await paid(life) == ["succeeded", "failed", "succeeded"]
    assert all(row["key"] is None for row in await life.charges())


async def test_a_cycle_given_up_under_stop_ends_the_subscription_and_its_plan(world: World) -> None:
    life = await begin(world, POOR, POOR, POOR)
    state = await life.until(lambda s: s.status is SubscriptionStatus.INACTIVE, step=DAY, steps=30)
    assert state.obligation("1").status is CycleStatus.FAILED
    assert [a.trigger for a in state.obligation("1").attempts] == [Trigger.DUE, Trigger.PROVIDER, Trigger.PROVIDER]
    await life.closed()
    assert (await plan_of(life))["status"] == "INACTIVE"
    assert await paid(life) == ["failed"] * 3


async def test_a_cycle_given_up_under_resume_lets_the_next_one_run(world: World) -> None:
    life = await begin(world, POOR, "STOLEN_CARD", POOR, "SUCCEEDED", failed_cycle_action="RESUME")
    state = await life.until(lambda s: s.next_number == 3 and s.open_cycle is None, step=DAY, steps=60)
    assert [state.obligation(n).status for n in ("1", "2")] == [CycleStatus.FAILED, CycleStatus.SUCCEEDED]
    assert state.status is SubscriptionStatus.ACTIVE
    assert await paid(life) == ["failed", "failed", "failed", "succeeded"]


async def test_retry_now_forces_an_attempt_at_xendit_and_nothing_is_charged_on_top(world: World) -> None:
    life = await begin(world, POOR, "SUCCEEDED")
    await life.until(
        lambda s: bool(s.open_cycle and s.open_cycle.status is CycleStatus.RETRYING), step=DAY / 2, steps=20
    )
    assert (await life.command("retry_now")).status == "done"
    state = await life.state()
    assert state.obligation("1").status is CycleStatus.SUCCEEDED
    assert [a.trigger for a in state.obligation("1").attempts] == [Trigger.DUE, Trigger.OPERATOR]
    await life.pass_time(8 * DAY)
    assert await paid(life) == ["failed", "succeeded"]


async def test_another_token_a_skipped_cycle_and_the_end_reach_the_plan(world: World) -> None:
    life = await begin(world, "SUCCEEDED", "SUCCEEDED")
    await life.until(lambda s: s.status is SubscriptionStatus.ACTIVE, step=timedelta(minutes=5), steps=20)
    body = {"provider": "xendit", "subscription_id": "pt-other", "customer_id": f"cus_{life.name}", "currency": "IDR"}
    (
        await world.http.post("/_sandbox/subscriptions", json={**body, "payment_method_id": "pt-other"})
    ).raise_for_status()
    assert (await life.command("update_payment_method", token="pt-other")).status == "done"
    assert (await plan_of(life))["payment_tokens"] == [{"payment_token_id": "pt-other", "rank": 1}]

    assert (await life.command("skip_cycle")).status == "done"
    state = await life.until(lambda s: s.next_number == 3 and s.open_cycle is None, step=DAY, steps=40)
    assert state.obligation("2").status is CycleStatus.SUCCEEDED
    assert [one["status"] for one in (await plan_of(life))["cycles"]] == ["CANCELLED", "SUCCEEDED", "SCHEDULED"]

    done = await life.command("cancel", type="DEVELOPER_REQUESTED_STOP_PAYMENTS")
    assert done.status in ("done", "accepted")
    await life.until(lambda s: s.plan is not None and s.plan.is_released, step=timedelta(minutes=1), steps=20)
    assert (await plan_of(life))["status"] == "INACTIVE"
    assert await paid(life) == ["succeeded"]


async def test_a_pause_leaves_scheduled_cycles_out_one_by_one_and_a_deferral_moves_the_plan(world: World) -> None:
    life = await begin(world, "SUCCEEDED", "SUCCEEDED")
    await life.until(lambda s: s.status is SubscriptionStatus.ACTIVE, step=timedelta(minutes=5), steps=20)
    until = (life.anchor + 40 * DAY).isoformat()
    assert (await life.command("pause", until=until)).status == "done"
    state = await life.until(lambda s: s.status is SubscriptionStatus.ACTIVE, step=DAY, steps=60)
    assert [one["status"] for one in (await plan_of(life))["cycles"]] == ["CANCELLED", "CANCELLED", "SCHEDULED"]
    assert state.next_number == 3
    assert state.calendar is not None
    due = state.calendar.due(3)
    assert (await life.command("defer", days=1)).status == ("done" if (due + DAY).day <= 28 else "refused")
    state = await life.until(lambda s: s.next_number == 4 and s.open_cycle is None, step=DAY, steps=40)
    assert state.obligation("3").status is CycleStatus.SUCCEEDED
    assert len(await paid(life)) == 1


async def test_other_items_are_the_plans_amount_from_its_next_cycle_on_and_nothing_is_charged_now(world: World) -> None:
    life = await begin(world, "SUCCEEDED", "SUCCEEDED")
    state = await life.until(lambda s: s.next_number == 2 and s.open_cycle is None, step=DAY, steps=10)
    (had,) = state.terms.items
    base = {"product_id": had.product_id, "role": "base", "unit_amount": had.unit_amount}
    items = [base, {"product_id": "seats", "role": "addon", "unit_amount": 50_000}]
    assert (await life.command("change_items", items=items)).status == "done"
    assert len(await paid(life)) == 1
    state = await life.until(lambda s: s.next_number == 3 and s.open_cycle is None, step=DAY, steps=40)
    assert [o.amount for o in state.obligations if o.number == 2] == [had.unit_amount + 50_000]
    assert [item.product_id for item in state.terms.items] == [had.product_id, "seats"]
    assert not state.attention
