"""What a cycle costs, counted in real histories. SPEC 19."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from dunning.contract import ProviderFact
from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.providers.base import MessageKind
from tests.workflows.world import Life, World

pytestmark = pytest.mark.server
E = EventType


def actions(history: WorkflowHistory) -> int:
    """Billable actions: the run itself, timers, activities, upserts, signals, updates, local activities of a task."""
    kinds = Counter(event.event_type for event in history.events)
    one_each = (
        E.EVENT_TYPE_TIMER_STARTED,
        E.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
        E.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
    )
    return 1 + sum(kinds[kind] for kind in one_each) + kinds[E.EVENT_TYPE_MARKER_RECORDED]


async def runs(life: Life) -> list[WorkflowHistory]:
    """Every run of the chain, oldest first."""
    found, run = [], life.first_run
    while run:
        history = await life.world.client.get_workflow_handle(life.handle.id, run_id=run).fetch_history()
        found.append(history)
        run = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return found


async def charging_runs(life: Life) -> list[WorkflowHistory]:
    """Those with an activity: in a long month the idle part of a cycle may end in a renewal of its own."""
    return [h for h in await runs(life) if any(e.event_type == E.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED for e in h.events)]


def paid(key: str, at: datetime) -> ProviderFact:
    """The provider's message that an attempt succeeded."""
    outcome = Outcome(kind=OutcomeKind.SUCCEEDED, at=at, provider_payment_id="pay_told")
    return ProviderFact(
        message_id=f"told-{key}", kind=MessageKind.PAYMENT, occurred_at=at, attempt_key=key, outcome=outcome
    )


async def test_a_good_cycle_costs_at_most_19_events_and_5_actions(world: World) -> None:
    life = await world.begin("SUCCEEDED", "SUCCEEDED", "SUCCEEDED")
    await life.pass_time(timedelta(days=25))
    await life.pass_time(timedelta(days=10))

    second = (await charging_runs(life))[1]

    assert len(second.events) <= 19
    assert actions(second) <= 5
    # What it shows came with its start.
    assert E.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES not in {e.event_type for e in second.events}


async def test_a_webhook_inside_the_call_makes_it_at_most_24_events_and_6_actions(world: World) -> None:
    life = await world.begin("SUCCEEDED", "SUCCEEDED")
    await life.pass_time(timedelta(hours=2))
    slow = {"on": "charge", "kind": "slow", "seconds": 1.0, "subscription": life.name}
    (await world.http.post("/_sandbox/faults", json=[slow])).raise_for_status()
    passing = asyncio.create_task(life.pass_time(timedelta(days=32)))
    # The ledger is watched, not the run: a query would cost a workflow task on this server.
    while len(rows := await world.ledger.attempts_of("demo", life.name)) < 2:  # noqa: ASYNC110 - another's table
        await asyncio.sleep(0)
    await life.tell(paid(rows[-1].key, await world.now()))
    await passing

    second = (await charging_runs(life))[1]

    assert E.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED in {e.event_type for e in second.events}
    assert len(second.events) <= 24
    assert actions(second) <= 6


async def test_a_webhook_after_pending_makes_it_at_most_30_events_and_8_actions(hasty_world: World) -> None:
    life = await hasty_world.begin("SUCCEEDED", "PENDING/2h/SUCCEEDED")
    await life.pass_time(timedelta(hours=2))
    due = (await life.report()).next_at
    assert due is not None
    state = await life.pass_time(due + timedelta(minutes=10) - await hasty_world.now())
    await life.tell(paid(state.obligation("2").attempts[0].key, await hasty_world.now()))
    await life.pass_time(timedelta(hours=3))

    second = (await charging_runs(life))[1]

    assert E.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED in {e.event_type for e in second.events}
    assert len(second.events) <= 30
    assert actions(second) <= 8


async def test_an_idle_month_costs_at_most_10_events_and_2_actions(world: World) -> None:
    schedule = {
        "anchor_at": (await world.now() + timedelta(days=100)).isoformat(),
        "interval": "YEAR",
        "interval_count": 1,
    }
    life = await world.begin(due_in=timedelta(days=100), schedule=schedule)
    await life.pass_time(timedelta(days=70))

    second = (await runs(life))[1]

    assert len(second.events) <= 10
    assert actions(second) <= 2


async def test_a_failed_ladder_costs_at_most_28_actions(world: World) -> None:
    # 5 to begin; charge, record, notice, attributes and timer for each of 4 attempts; the mandate's end twice
    life = await world.begin(*["INSUFFICIENT_FUNDS"] * 4)
    await life.until(lambda s: s.is_ended, step=timedelta(days=1))

    total = sum(actions(history) for history in await runs(life))
    assert total <= 28
