"""Commands, messages, crashes of habit and re-opening, through the real workflow on the time-skipping server."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from temporalio.client import WorkflowUpdateFailedError

from dunning import contract
from dunning.client import DunningClient
from dunning.contract import ProviderFact
from dunning.domain.access import access
from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.commands import Reinstate, RetryNow
from dunning.domain.tables import CycleStatus, SubscriptionStatus
from dunning.providers.base import Mandate, MandateStatus, MessageKind, Payment, PaymentStatus
from tests.workflows.world import ACCOUNT, Life, World

pytestmark = pytest.mark.server
SOFT, HARD = "INSUFFICIENT_FUNDS", "DO_NOT_HONOR"
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


async def events(life: Life) -> list[str]:
    return [row["type"] for row in await life.world.ledger.events_of(ACCOUNT, life.name)]


async def test_a_hard_decline_waits_and_a_new_method_is_tried_at_once(world: World) -> None:
    life = await world.begin(HARD, methods=("pm_1", "pm_2"))
    state = await life.pass_time(2 * HOUR)
    assert state.status is SubscriptionStatus.PAST_DUE
    assert state.obligation("1").status is CycleStatus.AWAITING_METHOD

    result = await life.command("update_payment_method", token="pm_2")
    # Told at most once a day: the thanks come on the next morning.
    state = await life.until(lambda s: s.open_cycle is None and not s.live_notices, step=HOUR)

    assert result.status == "done"
    assert state.status is SubscriptionStatus.ACTIVE
    charges = await life.charges()
    assert [c["payment_method_id"] for c in charges] == ["pm_1", "pm_2"]
    subjects = [mail.row()["subject"] for mail in world.mail.mails]
    assert subjects == [
        "Please update your payment method for Kopi Club",
        "Thank you: your payment to Kopi Club arrived",
    ]


async def test_a_refused_command_is_not_part_of_the_history(world: World) -> None:
    life = await world.begin("SUCCEEDED")
    await life.pass_time(2 * HOUR)

    with pytest.raises(WorkflowUpdateFailedError):
        await life.command("resume")

    history = await life.handle.fetch_history()
    names = {event.WhichOneof("attributes") for event in history.events}
    assert not any("update" in str(name) for name in names)


async def test_the_same_command_id_returns_the_first_result_whatever_run_is_open(world: World) -> None:
    life = await world.begin("SUCCEEDED", "SUCCEEDED")
    await life.pass_time(2 * HOUR)
    first = await life.command("defer", "cmd-1", days=3)
    due = (await life.state()).calendar
    await life.pass_time(40 * DAY)

    again = await life.command("defer", "cmd-1", days=3)

    assert (first.status, again) == ("done", first)
    assert due is not None
    assert (await life.state()).calendar == due


async def test_a_cancel_while_a_charge_is_pending_is_accepted_and_honours_the_payment(hasty_world: World) -> None:
    life = await hasty_world.begin("PENDING/2h/SUCCEEDED")
    state = await life.until(
        lambda s: bool(s.obligations) and s.obligation("1").status is CycleStatus.PENDING, step=HOUR
    )

    result = await life.command("cancel")
    state = await life.until(lambda s: s.status is SubscriptionStatus.CANCELED, step=HOUR)

    assert result.status == "accepted"
    assert state.paid_until is not None
    assert access(state, state.latest).is_granted


async def test_a_cancel_while_a_charge_is_pending_and_then_declined_stops(hasty_world: World) -> None:
    life = await hasty_world.begin(f"PENDING/2h/{SOFT}")
    await life.until(lambda s: bool(s.obligations) and s.obligation("1").status is CycleStatus.PENDING, step=HOUR)

    await life.command("cancel")
    state = await life.until(lambda s: s.is_ended, step=HOUR)

    assert state.obligation("1").status is CycleStatus.CANCELED
    assert len(await life.charges()) == 1


async def test_a_cancel_request_from_the_ui_is_the_cancel_command(world: World) -> None:
    life = await world.begin("SUCCEEDED")
    await life.pass_time(2 * HOUR)

    await life.handle.cancel()
    state = await life.until(lambda s: s.status is SubscriptionStatus.CANCELED, step=HOUR)

    assert "subscription.canceled" in await events(life)
    assert access(state, state.latest).is_granted


async def test_an_on_demand_charge_has_its_own_ladder_beside_the_cycle(world: World) -> None:
    life = await world.begin("SUCCEEDED", SOFT, "SUCCEEDED")
    await life.pass_time(2 * HOUR)

    await life.command("charge", "extra", amount=5_000)
    state = await life.until(lambda s: not s.has("od-extra") or not s.obligation("od-extra").is_open, step=DAY)

    assert state.status is SubscriptionStatus.ACTIVE
    book = [(c["amount"], c["status"]) for c in await life.charges()]
    assert book == [(100_000, "succeeded"), (5_000, "failed"), (5_000, "succeeded")]


async def test_a_time_out_after_commit_is_looked_up_and_never_charged_again(world: World) -> None:
    life = await world.begin("TIMEOUT_COMMITTED")

    state = await life.until(lambda s: s.paid_until is not None, step=HOUR)

    assert state.status is SubscriptionStatus.ACTIVE
    assert len(await life.charges()) == 1


async def test_a_merchant_fault_waits_for_the_operator(world: World) -> None:
    life = await world.begin("INVALID_REQUEST", "SUCCEEDED")
    state = await life.pass_time(2 * HOUR)
    assert state.obligation("1").status is CycleStatus.AWAITING_OPERATOR
    assert state.attention

    await life.command("mark_fixed")
    await life.until(lambda s: s.paid_until is not None, step=HOUR)

    assert world.mail.mails == []


async def test_grace_then_hold_then_recovered_by_a_rung_starts_the_calendar_again(world: World) -> None:
    life = await world.begin(SOFT, SOFT, "SUCCEEDED", grace_days=3, hold_days=30)

    held = await life.until(lambda s: s.status is SubscriptionStatus.ON_HOLD, step=12 * HOUR)
    assert not access(held, held.latest).is_granted
    state = await life.until(lambda s: s.status is SubscriptionStatus.ACTIVE, step=12 * HOUR)

    assert state.calendar is not None
    assert state.last_success_at is not None
    assert (state.last_success_at - life.anchor).days == 10
    assert state.calendar.due(2) > life.anchor + 38 * DAY


async def test_a_mandate_link_is_completed_and_the_first_charge_runs_at_once(world: World) -> None:
    life = await world.begin(
        payment_methods=[],
        provider_options={"country": "ID", "product_id": "pdt_1"},
        immediate_action="FULL_AMOUNT",
    )
    state = await life.until(lambda s: s.mandate_link is not None, step=timedelta(minutes=1))
    assert state.status is SubscriptionStatus.REQUIRES_ACTION
    await world.script(life.name, life.reference, ("SUCCEEDED",), "pm_new")

    now = await world.now()
    mandate = Mandate(reference=life.reference, status=MandateStatus.AUTHORIZED, method_token="pm_new")
    fact = ProviderFact(message_id="m1", kind=MessageKind.MANDATE, occurred_at=now, mandate=mandate)
    await life.tell(fact)
    await life.tell(fact)  # a repeat changes nothing
    state = await life.until(lambda s: s.status is SubscriptionStatus.ACTIVE, step=timedelta(minutes=1))

    assert state.paid_until is not None
    assert len(await life.charges()) == 1
    assert (await events(life)).count("recurring.plan.activated") == 1


async def test_a_first_payment_that_is_declined_never_starts_the_service(world: World) -> None:
    life = await world.begin(SOFT, due_in=timedelta(seconds=-60), immediate_action="FULL_AMOUNT")

    state = await life.until(lambda s: s.is_ended, step=timedelta(minutes=1))

    assert state.status is SubscriptionStatus.FAILED
    assert (await events(life))[-2:] == ["recurring.plan.inactivated", "subscription.failed"]
    assert len(await life.charges()) == 1


async def test_a_late_payment_reopens_a_closed_run_and_a_person_may_reinstate(world: World) -> None:
    life = await world.begin(HARD, on_hard_decline="FAIL_CYCLE")
    await life.until(lambda s: s.is_ended, step=HOUR)
    await life.closed()
    dunning = DunningClient(world.client, world.ledger, task_queue=world.task_queue)

    now = await world.now()
    payment = Payment(
        payment_id="pay_late", status=PaymentStatus.SUCCEEDED, amount=100_000, currency="IDR", created_at=now
    )
    fact = ProviderFact(message_id="late-1", kind=MessageKind.PAYMENT, occurred_at=now, payment=payment)
    await dunning.signal_fact(ACCOUNT, life.name, fact)
    await life.closed()
    state = await life.state()

    assert state.status is SubscriptionStatus.INACTIVE
    assert state.obligation("1").status is CycleStatus.SUCCEEDED
    assert any("given up" in a.what for a in state.attention)
    refused = await dunning.command(ACCOUNT, life.name, RetryNow(command_id="r-1"))
    assert refused.status == "refused"
    reinstated = await dunning.command(ACCOUNT, life.name, Reinstate(command_id="r-2"))
    assert reinstated.status == "done"
    assert (await life.state()).status is SubscriptionStatus.CANCELED


async def test_pause_skips_and_resume_goes_on(world: World) -> None:
    life = await world.begin("SUCCEEDED", "SUCCEEDED")
    await life.pass_time(2 * HOUR)

    await life.command("pause")
    state = await life.pass_time(40 * DAY)
    assert (state.status, state.next_number) == (SubscriptionStatus.PAUSED, 3)
    await life.command("resume")
    state = await life.until(lambda s: s.next_number == 4, step=DAY)

    assert len(await life.charges()) == 2


async def test_downtime_of_ours_opens_each_missed_cycle_once(world: World) -> None:
    life = await world.begin(
        "SUCCEEDED", "SUCCEEDED", "SUCCEEDED", due_in=-3 * DAY,
        schedule={"anchor_at": (await world.now() - 3 * DAY).isoformat(), "interval": "DAY", "interval_count": 1},
    )  # fmt: skip

    await life.until(lambda s: s.next_number >= 4, step=HOUR)

    ran = [row.business_at for row in await world.ledger.attempts_of(ACCOUNT, life.name)]
    assert len(ran) >= 3
    assert all(later - earlier >= DAY for earlier, later in pairwise(ran))
    keys = [c["key"] for c in await life.charges()]
    assert len(keys) == len(set(keys))


async def test_what_happened_is_told_to_the_backend_in_order(world: World) -> None:
    life = await world.begin(SOFT, "SUCCEEDED")
    await life.until(lambda s: s.paid_until is not None, step=12 * HOUR)

    assert await events(life) == [
        "recurring.plan.activated",
        "subscription.active",
        "recurring.cycle.created",
        "payment.failed",
        "recurring.cycle.retrying",
        "payment.succeeded",
        "recurring.cycle.succeeded",
        "subscription.active",
    ]
    rows = await world.ledger.events_of(ACCOUNT, life.name)
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))


async def test_an_outcome_told_twice_changes_nothing(world: World) -> None:
    life = await world.begin(SOFT)
    state = await life.pass_time(2 * HOUR)
    attempt = state.obligation("1").attempts[0]
    outcome = Outcome(kind=OutcomeKind.DECLINED, at=state.latest, raw_code=SOFT, klass="SOFT")
    fact = ProviderFact(
        message_id="w1", kind=MessageKind.PAYMENT, occurred_at=state.latest, attempt_key=attempt.key, outcome=outcome
    )

    await life.tell(fact)
    await life.tell(fact)
    after = await life.pass_time(timedelta(minutes=5))

    assert after.obligation("1").attempts == state.obligation("1").attempts
    assert after.obligation("1").next == state.obligation("1").next


def test_every_command_of_the_table_is_an_update_of_the_workflow() -> None:
    from workflows.subscription import SubscriptionWorkflow

    definition = SubscriptionWorkflow.__temporal_workflow_definition  # type: ignore[attr-defined]  # set by the SDK
    assert set(definition.updates) == set(contract.UPDATE_NAMES)


async def test_an_add_on_is_charged_and_had_at_once_and_a_declined_one_is_not(world: World) -> None:
    life = await world.begin("SUCCEEDED", "SUCCEEDED", "INSUFFICIENT_FUNDS")
    had = (await life.pass_time(2 * HOUR)).terms.items
    base = {"product_id": had[0].product_id, "role": "base", "unit_amount": had[0].unit_amount}
    seats, sms = ({"product_id": name, "role": "addon", "unit_amount": 3_100_000} for name in ("seats", "sms"))

    done = await life.command("change_items", "cmd-seats", items=[base, seats])
    refused = await life.command("change_items", "cmd-sms", items=[base, seats, sms])

    assert (done.status, refused.status, "declined" in refused.reason) == ("done", "refused", True)
    state = await life.state()
    assert [item.product_id for item in state.terms.items] == [had[0].product_id, "seats"]
    # The first day of a month of 28 to 31 days is used up: of the whole price all but one day's is charged.
    charged = state.obligation("od-cmd-seats")
    assert str(charged.amount) == done.detail["charged"]
    assert 3_100_000 * 27 // 28 - 1 <= charged.amount <= 3_000_001
    charges = [c for c in await life.charges() if c["amount"] == charged.amount]
    assert len(charges) == 2  # one that was paid, one that was declined and is never tried again
    assert await life.command("change_items", "cmd-seats", items=[base, seats]) == done
