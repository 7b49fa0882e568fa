"""Xendit's plans behind the adapter: what is asked for, what is read, what cannot be expressed, what is never twice."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from dunning.domain.declines import DeclineClass
from dunning.domain.plans import (
    CancelCycle,
    ChangeTerms,
    ForceAttempt,
    MoveNext,
    PlanCycleStatus,
    PlanStatus,
    ReplaceMethod,
    TryKind,
    plan_reference,
)
from dunning.domain.terms import Subscription
from dunning.providers.base import MessageKind, ProviderRefused, ProviderUnavailable
from dunning.providers.following import Plan, PlanMessage, PlanProvider, PlanRequest, PlanUnclear, standing_of
from dunning.providers.xendit_declines import XENDIT_DECLINES
from tests.builders import at, subscription_data
from tests.providers.xendit.rig import SECRET, XenditRig

pytestmark = pytest.mark.server
NOW = at("2026-03-01T09:00")
REFERENCE = plan_reference("demo", "ours-1", 1, 1)
EVENLY = {"interval": "DAY", "interval_count": 3, "total": 2}


def given(**changes: Any) -> Subscription:
    options = changes.pop("provider_options", {})
    data = subscription_data(
        **{
            "id": "ours-1",
            "provider": "xendit",
            "collection": "provider",
            "payment_methods": [],
            "provider_options": options,
            "retry": EVENLY,
            "schedule": {"anchor_at": "2026-03-05T16:00:00+07:00", "interval": "MONTH", "interval_count": 1},
            **changes,
        }
    )
    return Subscription.model_validate(data)


def wanted(*tokens: str, now: datetime = NOW, was_unclear: bool = False, **changes: Any) -> PlanRequest:
    subscription = given(**changes)
    return PlanRequest(
        subscription="ours-1",
        account="demo",
        reference=REFERENCE,
        method_tokens=tokens,
        terms=subscription.terms(),
        contacts=subscription.contacts(),
        was_unclear=was_unclear,
        business_at=now,
    )


async def known(rig: XenditRig, *outcomes: str) -> None:
    methods = [{"payment_method_id": "pt-2"}]
    body = {"provider": "xendit", "subscription_id": "pt-1", "customer_id": "cust-1", "payment_method_id": "pt-1"}
    await rig.post("subscriptions", {**body, "methods": methods, "currency": "IDR"})
    await rig.post("scripts", {"subscription": "ours-1", "script": list(outcomes)})


async def running(rig: XenditRig, *outcomes: str, **changes: Any) -> str:
    """A plan on a token that Xendit runs."""
    await known(rig, *outcomes)
    plan = await rig.provider.create_plan(wanted("pt-1", **changes))
    await rig.quiet()
    return plan.plan_id


async def seen(rig: XenditRig, plan: str, instant: str) -> Plan:
    return await rig.provider.read_plan(plan, business_at=at(instant))


async def plans(rig: XenditRig) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await rig.control.get("/_sandbox/plans")).json()["plans"]
    return rows


async def test_the_adapter_runs_plans(rig: XenditRig) -> None:
    assert isinstance(rig.provider, PlanProvider)
    assert rig.provider.plan_rules.max_forced == 5


async def test_a_plan_is_asked_for_in_major_units_under_our_reference_with_its_retries(rig: XenditRig) -> None:
    await running(rig, provider_options={"locale": "id"})
    (made,) = await plans(rig)
    assert made["reference_id"] == REFERENCE
    assert (made["amount"], made["currency"], made["failed_cycle_action"]) == (1000, "IDR", "STOP")
    assert made["metadata"] == {"subscription": "ours-1", "merchant_account": "demo"}
    assert made["payment_tokens"] == [{"payment_token_id": "pt-1", "rank": 1}]
    assert made["schedule"] == {
        "interval": "MONTH",
        "interval_count": 1,
        "anchor_date": "2026-03-05T16:00:00+07:00",
        "total_recurrence": None,
        "retry_interval": "DAY",
        "retry_interval_count": 3,
        "total_retry": 2,
        "failed_attempt_notifications": [],
    }
    assert (made["notification_channels"], made["locale"], made["contract"]) == ([], "id", "2026-01-01")


async def test_paid_and_failed_cycles_are_read_with_every_try_and_their_instants(rig: XenditRig) -> None:
    plan = await running(rig, "INSUFFICIENT_FUNDS", "SUCCEEDED")
    first = (await seen(rig, plan, "2026-03-05T10:00")).cycles[0]
    assert (first.status, first.number, first.next_try_at) == (PlanCycleStatus.RETRYING, 1, at("2026-03-08T09:00"))
    assert (first.due_at, first.amount) == (at("2026-03-05T09:00"), 100_000)
    found = await seen(rig, plan, "2026-03-09T00:00")
    paid = found.cycles[0]
    assert [(one.number, one.kind, one.at) for one in paid.tries] == [
        (1, TryKind.DUE, at("2026-03-05T09:00")),
        (2, TryKind.RETRY, at("2026-03-08T09:00")),
    ]
    assert (paid.status, paid.due_at) == (PlanCycleStatus.PAID, at("2026-03-05T09:00"))
    assert paid.tries[1].payment.payment_id.startswith("pr-")
    assert (found.status, found.method_token, found.next_due) == (PlanStatus.ACTIVE, "pt-1", (at("2026-04-05T09:00"),))


async def test_the_networks_advice_overrides_the_code_of_a_cycle(rig: XenditRig) -> None:
    plan = await running(rig, "DO_NOT_HONOR")
    standing = standing_of(await seen(rig, plan, "2026-03-05T10:00"), XENDIT_DECLINES)
    outcome = standing.cycles[0].tries[0].outcome
    assert (outcome.raw_code, outcome.klass) == ("03", DeclineClass.HARD)


@pytest.mark.parametrize(
    "row", [one for one in XENDIT_DECLINES.rows if one.field == "error_code"], ids=lambda one: one.code
)
def test_every_failure_code_of_a_cycle_has_the_class_of_its_row(row: Any) -> None:
    from dunning.providers.xendit_plan_wire import WireCycle, WirePlan, plan_of

    cycle = {"id": "recy_1", "status": "RETRYING", "amount": 1000, "currency": "IDR", "cycle_number": 1}
    detail = {"attempt_number": 1, "action_number": 1, "type": "INITIAL", "status": "FAILED", "failure_code": row.code}
    wire = WireCycle.model_validate({**cycle, "attempt_details": [detail]})
    plan = WirePlan.model_validate({"id": "repl_1", "amount": 1000, "currency": "IDR", "status": "ACTIVE"})
    told = standing_of(plan_of(plan, "repl_1", [wire], {}, otherwise=NOW), XENDIT_DECLINES)
    outcome = told.cycles[0].tries[0].outcome
    assert (outcome.raw_code, outcome.klass, outcome.because) == (row.code, row.klass, "")


async def test_tokens_tried_by_rank_are_one_try_and_the_one_that_paid_is_its_method(rig: XenditRig) -> None:
    await known(rig, "STOLEN_CARD", "SUCCEEDED")
    plan = await rig.provider.create_plan(wanted("pt-1", "pt-2"))
    await rig.quiet()
    (one,) = (await seen(rig, plan.plan_id, "2026-03-05T10:00")).cycles[0].tries
    assert (one.payment.method_token, one.payment.message) == ("pt-2", "pt-1: STOLEN_CARD")


async def test_a_plan_without_a_token_gives_the_link_where_the_customer_completes_it(rig: XenditRig) -> None:
    made = await rig.provider.create_plan(wanted(immediate_action="FULL_AMOUNT"))
    assert (made.status, made.cycles) == (PlanStatus.REQUIRES_ACTION, ())
    assert made.link is not None
    await rig.visit(made.link)
    found = await seen(rig, made.plan_id, "2026-03-01T09:00")
    assert (found.status, found.cycles[0].status) == (PlanStatus.ACTIVE, PlanCycleStatus.PAID)
    assert found.cycles[1].due_at == at("2026-03-05T09:00")
    assert found.method_token


async def test_the_guides_contract_sends_its_own_body_and_is_read_in_its_own_version(rig: XenditRig) -> None:
    pages = {"success_return_url": "https://shop.example/ok", "failure_return_url": "https://shop.example/no"}
    options = {"legacy_plan": True, "notification_channels": ["WHATSAPP"], **pages}
    made = await rig.provider.create_plan(wanted(provider_options=options, notifications={}))
    assert made.plan_id.startswith("legacy:repl-")
    (row,) = await plans(rig)
    assert (row["recurring_action"], row["contract"]) == ("PAYMENT", "2022-10-01")
    assert {name: row[name] for name in pages} == pages
    assert row["notification_config"]["recurring_failed"] == ["WHATSAPP"]
    assert row["schedule"]["failed_attempt_notifications"] == [1, 2]
    assert made.link is not None
    await rig.visit(made.link)
    found = await seen(rig, made.plan_id, "2026-03-05T10:00")
    assert (found.status, found.cycles[0].status) == (PlanStatus.ACTIVE, PlanCycleStatus.PAID)
    over = await rig.provider.end_plan(made.plan_id, business_at=at("2026-03-06T00:00"), reason="test")
    assert over.status is PlanStatus.ENDED


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"schedule": {"anchor_at": "2026-03-31T09:00:00+00:00", "interval": "MONTH"}}, "ANCHOR_DATE"),
        ({"retry": {"ladder_days": [3, 10, 17]}}, "RETRY"),
        ({"metadata": {f"k{n}": "v" for n in range(19)}}, "METADATA"),
        (
            {
                "provider_options": {"legacy_plan": True},
                "schedule": {"anchor_at": "2026-03-05T09:00:00Z", "interval": "YEAR"},
            },
            "INTERVAL",
        ),
        ({"provider_options": {"legacy_plan": True}}, "RETURN_URL"),
        (
            {
                "immediate_action": "FULL_AMOUNT",
                "schedule": {
                    "anchor_at": "2026-03-05T09:00:00Z",
                    "interval": "MONTH",
                    "start_at": "2026-03-20T00:00:00Z",
                },
            },
            "IMMEDIATE_PAYMENT",
        ),
    ],
)
async def test_what_a_plan_cannot_express_is_refused_before_anything_is_sent(
    rig: XenditRig, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(ProviderRefused) as caught:
        await rig.provider.create_plan(wanted(**changes))
    assert caught.value.code == code
    assert await plans(rig) == []


@pytest.mark.parametrize("kind", ["timeout_after_commit", "http_500_after_commit", "drop_after_commit"])
async def test_a_creation_with_tokens_whose_answer_is_lost_is_unclear_and_never_looked_up_as_absent(
    rig: XenditRig, kind: str
) -> None:
    await known(rig)
    await rig.fault(kind, on="mandate")
    with pytest.raises(PlanUnclear):
        await rig.provider.create_plan(wanted("pt-1"))
    with pytest.raises(ProviderUnavailable):
        await rig.provider.find_plans(wanted("pt-1", was_unclear=True), since=NOW)
    assert len(await plans(rig)) == 1


async def test_its_own_message_tells_which_plan_an_unanswered_creation_made(rig: XenditRig) -> None:
    await known(rig)
    await rig.fault("drop_after_commit", on="mandate")
    with pytest.raises(PlanUnclear):
        await rig.provider.create_plan(wanted("pt-1"))
    await rig.quiet()
    heard = [rig.provider.read_webhook(one.headers, one.body, secrets=[SECRET], now=NOW) for one in rig.deliveries()]
    told = next(one for one in heard if one.raw_type == "recurring.plan.activated")
    assert isinstance(told, PlanMessage)
    assert told.plan is not None
    assert (told.plan.reference, told.subscription) == (REFERENCE, "ours-1")
    assert (await seen(rig, told.plan.plan_id, "2026-03-01T10:00")).status is PlanStatus.ACTIVE


@pytest.mark.parametrize("kind", ["timeout_after_commit", "drop_connection", "429", "401"])
async def test_a_creation_for_a_link_may_be_asked_for_again(rig: XenditRig, kind: str) -> None:
    await rig.post("scripts", {"subscription": "ours-1", "script": []})
    await rig.provider.create_plan(wanted())  # the customer exists
    await rig.fault(kind, on="mandate", after=1)
    with pytest.raises(ProviderUnavailable):
        await rig.provider.create_plan(wanted())
    assert await rig.provider.find_plans(wanted(was_unclear=True), since=NOW) == ()


async def test_where_the_key_is_kept_a_repeated_creation_is_refused_as_unclear(rig: XenditRig) -> None:
    await known(rig)
    await rig.post("configure", {"xendit_keeps_plan_keys": True})
    try:
        await rig.provider.create_plan(wanted("pt-1"))
        with pytest.raises(PlanUnclear):
            await rig.provider.create_plan(wanted("pt-1"))
    finally:
        await rig.post("configure", {"xendit_keeps_plan_keys": False})
    assert len(await plans(rig)) == 1


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
    (row,) = await plans(rig)
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
    assert (await plans(rig))[0]["amount"] == 1000


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
    assert (await plans(rig))[0]["schedule"]["anchor_date"] == "2026-03-01T09:10:00Z"


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
