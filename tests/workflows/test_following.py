"""Lives whose calendar Omise runs: followed by reading alone, for no webhook ever arrives here. SPEC 12."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from dunning import contract
from dunning.contract import ProviderFact, SubscriptionInput
from dunning.domain.attempts import Trigger
from dunning.domain.script import Script
from dunning.domain.tables import CycleStatus, SubscriptionStatus
from dunning.intake import parse_subscription
from dunning.providers.base import MessageKind
from dunning.sandbox import customers
from tests.builders import subscription_data
from tests.workflows.world import ACCOUNT, Life, World, open_world

pytestmark = pytest.mark.server

DAY = timedelta(days=1)
KEY = ("skey_test_key", "")


@pytest.fixture
async def world(temporal_env: WorkflowEnvironment, ledger_url: str) -> AsyncIterator[World]:
    account: dict[str, Any] = {"provider": "omise", "api_key": SecretStr("skey_test_key"), "webhook_secrets": ()}
    async with open_world(temporal_env, ledger_url, face="/omise", **account) as opened:
        yield opened


def first_due(now: datetime) -> datetime:
    """At least two days ahead, on a day that every month has, at an hour after Omise's own."""
    due = (now + 2 * DAY).replace(hour=6, minute=0, second=0, microsecond=0)
    return due if due.day <= 28 else due + 4 * DAY


async def begin(world: World, *outcomes: str, **changes: Any) -> Life:
    """A subscription whose schedule Omise runs."""
    name = f"sub-{uuid.uuid4().hex[:12]}"
    now = (await world.now()).replace(microsecond=0)
    anchor = first_due(now)
    data: dict[str, Any] = {
        "id": name,
        "customer": {**subscription_data()["customer"], "id": f"cust-{name}"},
        "provider": "omise",
        "collection": "provider",
        "provider_options": {"customer_id": f"cust_test_{name}"},
        "payment_methods": [
            {"token": "card_test_1", "authorized_at": now.isoformat()},
        ],
        "currency": "THB",
        "schedule": {"anchor_at": anchor.isoformat(), "interval": "MONTH", "interval_count": 1},
        **changes,
    }
    given = parse_subscription(subscription_data(**data))
    await customers.register(world.http, given, Script.model_validate({"outcomes": outcomes}))
    created = await world.ledger.create_subscription(given, now=now)
    start = SubscriptionInput(account=ACCOUNT, subscription=name, generation=created.generation)
    own = contract.workflow_id(ACCOUNT, name)
    handle = await world.client.start_workflow(contract.WORKFLOW, start, id=own, task_queue=world.task_queue)
    world.ids.append(handle.id)
    return Life(world, name, given.adopted_reference or "", handle, anchor)


async def schedules(life: Life) -> list[dict[str, Any]]:
    """The customer's schedules at the provider."""
    answer = await life.world.http.get(f"/omise/customers/{life.reference}/schedules", auth=KEY)
    return list(answer.json()["data"])


async def test_cycles_are_followed_by_reading_alone_when_every_webhook_is_lost(world: World) -> None:
    life = await begin(world, "SUCCEEDED", "INSUFFICIENT_FUNDS", "SUCCEEDED")

    state = await life.until(lambda s: s.next_number == 2, step=DAY, steps=12)
    assert state.status is SubscriptionStatus.ACTIVE
    assert state.obligation("1").status is CycleStatus.SUCCEEDED
    (made,) = await schedules(life)
    assert (made["status"], made["charge"]["card"], made["on"]) == (
        "running", "card_test_1", {"days_of_month": [life.anchor.day]},
    )  # fmt: skip

    state = await life.until(lambda s: s.next_number == 3 and s.open_cycle is None, step=DAY, steps=40)
    second = state.obligation("2")
    assert second.status is CycleStatus.SUCCEEDED
    assert [(a.trigger, a.rung) for a in second.attempts] == [(Trigger.DUE, None), (Trigger.PROVIDER, 1)]
    assert [(a.started_at or a.planned_at).date() - second.due_at.date() for a in second.attempts] == [0 * DAY, DAY]
    assert [row["status"] for row in await life.charges()] == ["succeeded", "failed", "succeeded"]
    assert all(row["key"] is None for row in await life.charges())
    rows = await world.ledger.attempts_of(ACCOUNT, life.name)
    booked = [(r.obligation, r.number, r.status, r.provider_payment_id) for r in rows]
    ids = [row["payment_id"] for row in await life.charges()]
    assert booked == [("1", 1, "settled", ids[0]), ("2", 1, "settled", ids[1]), ("2", 2, "settled", ids[2])]


async def test_after_three_failures_the_schedule_is_destroyed_and_day_seventeen_is_ours(world: World) -> None:
    life = await begin(world, "INSUFFICIENT_FUNDS", "INSUFFICIENT_FUNDS", "INSUFFICIENT_FUNDS", "SUCCEEDED")

    state = await life.until(lambda s: s.plan is not None and s.plan.is_taken_over, step=DAY, steps=12)
    owed = state.obligation("1")
    assert [(a.trigger, a.rung) for a in owed.attempts] == [
        (Trigger.DUE, None), (Trigger.PROVIDER, 1), (Trigger.PROVIDER, 2),
    ]  # fmt: skip
    assert owed.next is not None
    assert (owed.next.trigger, owed.next.rung) == (Trigger.LADDER, 3)
    assert (owed.next.planned_at.date() - owed.due_at.date()) == 17 * DAY
    (old,) = await schedules(life)
    assert old["status"] == "deleted"

    state = await life.until(lambda s: s.status is SubscriptionStatus.ACTIVE, step=DAY, steps=20)
    assert [row["status"] for row in await life.charges()] == ["failed", "failed", "failed", "succeeded"]

    state = await life.until(lambda s: s.next_number == 3, step=DAY, steps=40)
    assert state.obligation("2").attempts[0].trigger is Trigger.DUE
    keys = [row["key"] for row in await life.charges()]
    assert keys[:3] == [None] * 3
    assert len({*keys[3:]} - {None}) == 2


async def test_another_card_is_charged_by_a_new_schedule_and_no_day_twice_or_never(world: World) -> None:
    life = await begin(world, "SUCCEEDED", "SUCCEEDED")
    await life.until(lambda s: s.next_number == 2, step=DAY, steps=12)

    answer = await life.command("update_payment_method", token=f"tokn_test_{uuid.uuid4().hex}")
    assert answer.status == "done"
    state = await life.until(
        lambda s: s.plan is not None and s.plan.number == 2 and s.plan.old_plan_id is None,
        step=timedelta(minutes=5),
        steps=20,
    )

    old, new = await schedules(life)
    assert (old["status"], new["status"]) == ("deleted", "running")
    assert new["charge"]["card"] not in ("card_test_1", None)
    due = state.calendar.due(2).date() if state.calendar is not None else None
    assert new["start_on"] == str(due)
    await life.until(lambda s: s.next_number == 4, step=3 * DAY, steps=30)
    cards = [row["payment_method_id"] for row in await life.charges()]
    assert cards == ["card_test_1", new["charge"]["card"], new["charge"]["card"]]


async def test_a_cancel_destroys_the_schedule_before_its_next_day(world: World) -> None:
    life = await begin(world, "SUCCEEDED", "SUCCEEDED")
    await life.until(lambda s: s.next_number == 2, step=DAY, steps=12)

    answer = await life.command("cancel", type="USER_REQUESTED_STOP_RENEWALS")
    assert answer.status == "done"
    await life.until(lambda s: s.plan is not None and s.plan.is_released, step=timedelta(minutes=5), steps=20)
    (only,) = await schedules(life)
    assert only["status"] == "deleted"

    back = await life.command("restore")
    assert back.status == "done"
    state = await life.until(lambda s: s.next_number == 3, step=DAY, steps=40)
    assert state.plan is not None
    assert state.plan.is_taken_over
    assert [row["key"] is None for row in await life.charges()] == [True, False]


async def test_during_its_own_window_omise_is_never_helped(world: World) -> None:
    life = await begin(world, "INSUFFICIENT_FUNDS", "SUCCEEDED")
    await world.sleep(life.anchor - await world.now())
    await life.tell(ProviderFact(message_id="evnt_1", kind=MessageKind.PLAN, occurred_at=life.anchor))
    state = await life.until(lambda s: s.open_cycle is not None, step=timedelta(minutes=1), steps=12)
    assert state.status is SubscriptionStatus.PAST_DUE

    with pytest.raises(WorkflowUpdateFailedError):
        await life.command("retry_now")
    put_off = await life.command("pause")
    assert (put_off.status, put_off.reason) == (
        "accepted", "the provider is collecting a cycle; the command is carried out when that is over",
    )  # fmt: skip

    state = await life.until(lambda s: s.status is SubscriptionStatus.PAUSED, step=DAY / 2, steps=12)
    assert (state.attention, state.past_due_since) == ((), None)
    (only,) = await schedules(life)
    assert only["status"] == "deleted"
    assert [row["status"] for row in await life.charges()] == ["failed", "succeeded"]
