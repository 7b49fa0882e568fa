"""Xendit's plans behind the adapter: what is asked for, what is read, what cannot be expressed, what is never twice."""

from __future__ import annotations

from typing import Any

import pytest

from dunning.domain.declines import DeclineClass
from dunning.domain.plans import (
    PlanCycleStatus,
    PlanStatus,
    TryKind,
)
from dunning.providers.base import ProviderRefused, ProviderUnavailable
from dunning.providers.following import PlanMessage, PlanProvider, PlanUnclear, standing_of
from dunning.providers.xendit_declines import XENDIT_DECLINES
from tests.builders import at
from tests.providers.xendit.plan_rig import NOW, REFERENCE, known, plan_rows, running, seen, wanted
from tests.providers.xendit.rig import SECRET, XenditRig

pytestmark = pytest.mark.server


async def test_the_adapter_runs_plans(rig: XenditRig) -> None:
    assert isinstance(rig.provider, PlanProvider)
    assert rig.provider.plan_rules.max_forced == 5


async def test_a_plan_is_asked_for_in_major_units_under_our_reference_with_its_retries(rig: XenditRig) -> None:
    await running(rig, provider_options={"locale": "id"})
    (made,) = await plan_rows(rig)
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
    (row,) = await plan_rows(rig)
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
    assert await plan_rows(rig) == []


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
    assert len(await plan_rows(rig)) == 1


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
    assert len(await plan_rows(rig)) == 1
