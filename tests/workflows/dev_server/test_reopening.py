"""After the end: a closed run is opened again from the ledger's snapshot, and charges nothing. SPEC 8, 15."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from dunning.contract import SubscriptionInput
from dunning.domain.commands import Cancel, Charge, Reinstate, RetryNow, UpdatePaymentMethod
from dunning.domain.state import State
from dunning.domain.tables import CycleStatus, SubscriptionStatus
from dunning.errors import NotFound
from tests.on_the_stack import ACCOUNT, House, Life, until

pytestmark = pytest.mark.server
HARD = "DO_NOT_HONOR"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


async def ended(house: House, **changes: Any) -> tuple[Life, str]:
    """A subscription whose first cycle was declined for good and given up just now; and the run that is over."""
    changes = {"on_hard_decline": "FAIL_CYCLE", "notifications": {}, **changes}
    life = await house.begin(HARD, due_in=-MINUTE, **changes)
    run = await life.settled()
    assert await keys(life) == {"1/1"}
    return life, run


async def keys(life: Life) -> set[str]:
    """The attempts that reached the provider, as `obligation/number`, each once."""
    rows = await life.house.dunning.ledger.attempts_of(ACCOUNT, life.name)
    sent = [c["key"] for c in await life.charges() if c["key"] is not None]
    assert sorted(sent) == sorted(row.key for row in rows)
    return {f"{row.obligation}/{row.number}" for row in rows}


async def snapshot(life: Life) -> State:
    """As the ledger has it."""
    stored = await life.house.dunning.ledger.read_subscription(ACCOUNT, life.name)
    return State.model_validate(stored.snapshot)


async def forget(life: Life) -> None:
    """Let the server forget every run: it keeps them in memory, and comes back empty."""
    await life.house.stack.restart("temporal")
    with pytest.raises(NotFound):
        await life.house.dunning.describe(ACCOUNT, life.name)


async def given_to(life: Life, run: str) -> SubscriptionInput:
    """What a run was started with."""
    history = await life.house.dunning.temporal.get_workflow_handle(life.handle.id, run_id=run).fetch_history()
    payloads = history.events[0].workflow_execution_started_event_attributes.input.payloads
    converter = life.house.dunning.temporal.data_converter
    (given,) = await converter.decode(payloads, [SubscriptionInput])
    assert isinstance(given, SubscriptionInput)
    return given


async def test_a_late_payment_opens_the_run_again_by_its_webhook_and_it_closes_again(house: House) -> None:
    life, first = await ended(house)

    await life.control("pay-link", amount=100_000, currency="IDR")
    second = await life.settled(after=first)

    assert (await given_to(life, second)).state is None
    state = await snapshot(life)
    assert (state.status, state.obligation("1").status) == (SubscriptionStatus.INACTIVE, CycleStatus.SUCCEEDED)
    assert any("given up" in attention.what for attention in state.attention)
    told = await life.state()
    assert (told.obligations, told.paid_until, told.attention) == (state.obligations, state.paid_until, state.attention)
    assert await keys(life) == {"1/1"}
    assert [c["status"] for c in await life.charges() if c["key"] is None] == ["succeeded"]
    assert (await life.events()).count("subscription.attention") == 1


async def test_the_list_shows_a_subscription_that_was_opened_again_as_it_is_now(house: House) -> None:
    life, first = await ended(house)
    mine = f"DunningMerchantAccount = 'demo' AND DunningCustomer = 'cust-{life.name}'"
    await until(
        lambda: house.listed(f"{mine} AND DunningStatus = 'inactive'"), bool, "the ended subscription is listed"
    )

    await life.control("pay-link", amount=100_000, currency="IDR")
    second = await life.settled(after=first)

    found = await until(lambda: house.listed(mine), lambda runs: [r.run_id for r in runs] == [second], "the new run")
    assert len(found) == 1
    await until(lambda: house.listed(f"{mine} AND DunningAttention = true"), bool, "the late payment asks for a person")
    rows = {row["id"]: row for row in await house.cli("list", "--status", "inactive")}
    assert rows[life.name]["attention"] is True
    assert rows[life.name]["is_open"] is False


async def test_a_server_that_has_forgotten_everything_finds_it_all_in_the_ledger(house: House) -> None:
    life, first = await ended(house)
    asked = RetryNow(command_id=f"before-{life.name}")
    answer = await life.command(asked)
    await life.closed(after=first)
    before = await snapshot(life)
    await forget(life)

    assert await life.command(asked) == answer, "a known id gets its first result"
    refused = await life.command(RetryNow(command_id=f"after-{life.name}"))

    assert refused.status == "refused"
    run = await life.closed()
    assert (await given_to(life, run)).state is None
    after = await snapshot(life)
    assert (after.status, after.obligations, after.methods) == (before.status, before.obligations, before.methods)
    assert await keys(life) == {"1/1"}


@pytest.mark.parametrize(
    "command",
    [
        lambda own: RetryNow(command_id=own),
        lambda own: Charge(command_id=own, amount=5_000),
        lambda own: UpdatePaymentMethod(command_id=own, token="pm_2"),
        lambda own: Cancel(command_id=own),
    ],
    ids=["retry_now", "charge", "update_payment_method", "cancel"],
)
async def test_no_command_to_an_ended_subscription_charges_anything(house: House, command: Any) -> None:
    life, first = await ended(house)
    asked = command(f"late-{life.name}")

    answer = await life.command(asked)
    await life.closed(after=first)

    assert answer.status == "refused"
    assert answer.reason
    assert await keys(life) == {"1/1"}
    assert await life.command(asked) == answer
    assert await keys(life) == {"1/1"}


async def test_a_payment_and_a_command_that_come_at_once_are_both_handled(house: House) -> None:
    life, first = await ended(house)

    _, answer = await asyncio.gather(
        life.control("pay-link", amount=100_000, currency="IDR"),
        life.command(RetryNow(command_id=f"race-{life.name}")),
    )

    assert answer.status == "refused"
    await until(lambda: snapshot(life), lambda s: s.obligation("1").status is CycleStatus.SUCCEEDED, "the payment")
    await life.closed(after=first)
    assert await keys(life) == {"1/1"}


async def test_a_person_gives_access_back_and_the_run_stays_open_until_it_ends(house: House) -> None:
    life, first = await ended(house)
    await life.control("pay-link", amount=100_000, currency="IDR")
    second = await life.settled(after=first)

    command = Reinstate(command_id=f"back-{life.name}")
    answer = await life.command(command)

    assert answer.status == "done"
    described = await life.handle.describe()
    assert described.run_id not in (first, second)
    assert described.status is WorkflowExecutionStatus.RUNNING
    state, decision = await life.clock.until_quiet()
    assert state.status is SubscriptionStatus.CANCELED
    assert state.paid_until is not None
    assert decision is not None
    assert decision.at == state.paid_until
    assert await life.command(command) == answer
    assert await keys(life) == {"1/1"}
    await life.end(state.paid_until + HOUR)
    assert (await snapshot(life)).status is SubscriptionStatus.INACTIVE
    assert await keys(life) == {"1/1"}
