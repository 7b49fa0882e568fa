"""Changes of Xendit's plans behind the adapter: each made once, read back, and refused where Xendit cannot."""

from __future__ import annotations

import pytest

from dunning.domain.plans import (
    CancelCycle,
    ChangeTerms,
    ForceAttempt,
    MoveNext,
    PlanCycleStatus,
    PlanStatus,
    ReplaceMethod,
    TryKind,
)
from dunning.providers.base import MessageKind, ProviderRefused
from tests.builders import at
from tests.providers.xendit.plan_rig import NOW, given, plan_rows, running, seen
from tests.providers.xendit.rig import SECRET, XenditRig

pytestmark = pytest.mark.server


async def test_a_forced_attempt_is_read_back_and_its_lost_answer_is_no_second_one(rig: XenditRig) -> None:
    plan = await running(rig, "INSUFFICIENT_FUNDS", "EXPIRED_CARD", "SUCCEEDED")
    cycle = (await seen(rig, plan, "2026-03-05T10:00")).cycles[0]
    now = at("2026-03-06T00:00")
    await rig.fault("drop_after_commit", on="charge")
    found = await rig.provider.change_plan(plan, ForceAttempt(cycle_id=cycle.cycle_id), business_at=now)
    assert [one.kind for one in found.cycles[0].tries] == [TryKind.DUE, TryKind.FORCED]
    assert found.cycles[0].next_try_at == at("2026-03-08T09:00")
    found = await rig.provider.change_plan(plan, ForceAttempt(cycle_id=cycle.cycle_id), business_at=now)
    assert found.cycles[0].status is PlanCycleStatus.PAID
    found = await rig.provider.change_plan(plan, ForceAttempt(cycle_id=cycle.cycle_id), business_at=now)
    assert [row.status for row in await rig.book()] == ["failed", "failed", "succeeded"]


async def test_the_sixth_forced_attempt_is_refused(rig: XenditRig) -> None:
    plan = await running(rig, *["INSUFFICIENT_FUNDS"] * 7)
    cycle = (await seen(rig, plan, "2026-03-05T10:00")).cycles[0]
    for _ in range(5):
        await rig.provider.change_plan(plan, ForceAttempt(cycle_id=cycle.cycle_id), business_at=at("2026-03-06T00:00"))
    with pytest.raises(ProviderRefused) as caught:
        await rig.provider.change_plan(plan, ForceAttempt(cycle_id=cycle.cycle_id), business_at=at("2026-03-06T00:00"))
    assert caught.value.code == "MAXIMUM_LIMIT_REACHED"
    assert len(await rig.book()) == 6


async def test_a_scheduled_cycle_is_canceled_by_its_instant_and_once(rig: XenditRig) -> None:
    plan = await running(rig)
    change = CancelCycle(due_at=at("2026-03-05T09:00"))
    for _ in range(2):
        found = await rig.provider.change_plan(plan, change, business_at=NOW)
    assert [one.status for one in found.cycles] == [PlanCycleStatus.CANCELED, PlanCycleStatus.SCHEDULED]
    await seen(rig, plan, "2026-03-20T00:00")
    assert await rig.book() == []
    with pytest.raises(ProviderRefused):
        await rig.provider.change_plan(plan, CancelCycle(due_at=at("2026-03-06T09:00")), business_at=NOW)


async def test_the_next_cycle_moves_and_the_calendar_with_it(rig: XenditRig) -> None:
    plan = await running(rig)
    change = MoveNext(to=at("2026-03-12T09:00"), days=7)
    for _ in range(2):
        await rig.provider.change_plan(plan, change, business_at=NOW)
    found = await seen(rig, plan, "2026-03-13T00:00")
    assert [one.due_at for one in found.cycles] == [at("2026-03-12T09:00"), at("2026-04-12T09:00")]
    with pytest.raises(ProviderRefused) as caught:
        await rig.provider.change_plan(plan, MoveNext(to=at("2026-03-30T09:00"), days=18), business_at=NOW)
    assert caught.value.code == "ANCHOR_DATE"


async def test_another_price_is_collected_from_the_scheduled_cycle_on(rig: XenditRig) -> None:
    plan = await running(rig)
    items = [{"product_id": "pro", "role": "base", "quantity": 1, "unit_amount": 250_000}]
    change = ChangeTerms(terms=given(items=items, retry={"interval": "DAY", "interval_count": 2, "total": 1}).terms())
    await rig.provider.change_plan(plan, change, business_at=NOW)
    await seen(rig, plan, "2026-04-06T00:00")
    assert [(row.amount, row.status) for row in await rig.book()] == [(250_000, "succeeded")] * 2
    (row,) = await plan_rows(rig)
    assert (row["schedule"]["retry_interval_count"], row["schedule"]["total_retry"]) == (2, 1)
    assert row["schedule"]["anchor_date"] == "2026-03-05T16:00:00+07:00"


async def test_a_change_on_the_day_of_the_cycle_changes_nothing_and_says_when_to_ask(rig: XenditRig) -> None:
    plan = await running(rig)
    items = [{"product_id": "pro", "role": "base", "quantity": 1, "unit_amount": 250_000}]
    with pytest.raises(ProviderRefused) as caught:
        await rig.provider.change_plan(
            plan, ChangeTerms(terms=given(items=items).terms()), business_at=at("2026-03-05T01:00")
        )
    assert "day of the next cycle has begun" in str(caught.value)
    assert (await plan_rows(rig))[0]["amount"] == 1000


async def test_the_failed_cycle_action_of_a_plan_cannot_change(rig: XenditRig) -> None:
    plan = await running(rig)
    with pytest.raises(ProviderRefused) as caught:
        await rig.provider.change_plan(
            plan, ChangeTerms(terms=given(failed_cycle_action="RESUME").terms()), business_at=NOW
        )
    assert caught.value.code == "FAILED_CYCLE_ACTION"


async def test_a_replaced_token_is_charged_from_then_on(rig: XenditRig) -> None:
    plan = await running(rig, "STOLEN_CARD", "SUCCEEDED")
    await seen(rig, plan, "2026-03-05T10:00")
    found = await rig.provider.change_plan(plan, ReplaceMethod(token="pt-2"), business_at=at("2026-03-06T00:00"))
    assert found.method_token == "pt-2"
    paid = (await seen(rig, plan, "2026-03-08T09:00")).cycles[0]
    assert paid.tries[-1].payment.method_token == "pt-2"


async def test_a_plan_is_ended_once_and_what_is_gone_is_over(rig: XenditRig) -> None:
    plan = await running(rig)
    for _ in range(2):
        over = await rig.provider.end_plan(plan, business_at=NOW, reason="canceled")
        assert over.status is PlanStatus.ENDED
    assert (await seen(rig, "repl_unknown", "2026-03-01T10:00")).status is PlanStatus.ENDED


async def test_an_end_whose_answer_is_lost_is_read_back(rig: XenditRig) -> None:
    plan = await running(rig)
    await rig.fault("drop_after_commit", on="any", after=2)
    over = await rig.provider.end_plan(plan, business_at=NOW, reason="canceled")
    assert over.status is PlanStatus.ENDED


async def test_a_failed_first_payment_ends_the_plan_and_says_so(rig: XenditRig) -> None:
    plan = await running(rig, "DO_NOT_HONOR", immediate_action="FULL_AMOUNT")
    found = await seen(rig, plan, "2026-03-01T09:00")
    assert (found.status, found.cycles[0].status) == (PlanStatus.ENDED, PlanCycleStatus.GIVEN_UP)
    assert "first payment" in found.because


async def test_an_anchor_that_has_just_passed_lies_a_little_ahead(rig: XenditRig) -> None:
    await running(rig, schedule={"anchor_at": "2026-03-01T09:00:00+00:00", "interval": "MONTH"})
    assert (await plan_rows(rig))[0]["schedule"]["anchor_date"] == "2026-03-01T09:10:00Z"


async def test_a_long_plans_read_stops_at_cycles_that_are_long_over(rig: XenditRig) -> None:
    plan = await running(
        rig, schedule={"anchor_at": "2026-03-05T09:00:00Z", "interval": "DAY"}, retry={"ladder_days": []}
    )
    found = await seen(rig, plan, "2026-07-20T00:00")
    assert len(found.cycles) == 100
    assert found.cycles[-1].status is PlanCycleStatus.SCHEDULED


async def test_messages_are_hints_and_repeats_of_one_fact_have_one_id(rig: XenditRig) -> None:
    plan = await running(rig, "INSUFFICIENT_FUNDS", "SUCCEEDED")
    await seen(rig, plan, "2026-03-09T00:00")
    await rig.quiet()
    heard = [rig.provider.read_webhook(one.headers, one.body, secrets=[SECRET], now=NOW) for one in rig.deliveries()]
    cycles = [one for one in heard if one.raw_type.startswith("recurring.cycle.")]
    assert [one.raw_type.rpartition(".")[2] for one in cycles] == [
        "created",
        "created",
        "created",
        "retrying",
        "succeeded",
    ]
    assert len({one.message_id for one in cycles}) == len(cycles)
    assert {(one.kind, one.reference, one.subscription) for one in cycles} == {(MessageKind.PLAN, plan, "ours-1")}
    assert {one.kind for one in heard if one.raw_type.startswith("payment.")} == {MessageKind.OTHER}
