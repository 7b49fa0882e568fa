"""The sandbox as Xendit's plans: both contracts, the state machines, and that it hides no double charge."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from dunning.sandbox import SandboxServer
from tests.sandbox.plan_shop import CALENDAR, OLD, START, Shop

pytestmark = pytest.mark.server


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with (
        SandboxServer.start(hold_seconds=0.05, settle_seconds=0.0) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, timeout=10) as http,
    ):
        yield Shop(sandbox, http)


async def test_a_plan_collects_each_month_at_its_anchor(shop: Shop) -> None:
    await shop.know()
    plan = await shop.plan()
    found = await shop.at(plan, "2026-05-04T00:00:00Z")
    assert found["status"] == "ACTIVE"
    assert [(one["status"], one["scheduled_timestamp"]) for one in found["cycles"]] == [
        ("SUCCEEDED", "2026-03-05T09:00:00.000Z"),
        ("SUCCEEDED", "2026-04-05T09:00:00.000Z"),
        ("SCHEDULED", "2026-05-05T09:00:00.000Z"),
    ]
    assert await shop.book() == [(10_000_000, "succeeded")] * 2


async def test_a_failed_cycle_is_tried_again_at_even_gaps_whatever_the_reason(shop: Shop) -> None:
    await shop.know("STOLEN_CARD", "INSUFFICIENT_FUNDS", "SUCCEEDED")
    plan = await shop.plan()
    first = (await shop.at(plan, "2026-03-05T10:00:00Z"))["cycles"][0]
    assert (first["status"], first["scheduled_timestamp"]) == ("RETRYING", "2026-03-08T09:00:00.000Z")
    assert first["attempt_details"][0]["next_retry_timestamp"] == "2026-03-08T09:00:00.000Z"
    cycle = (await shop.at(plan, "2026-03-12T00:00:00Z"))["cycles"][0]
    assert [(one["type"], one["status"], one["failure_code"]) for one in cycle["attempt_details"]] == [
        ("INITIAL", "FAILED", "STOLEN_CARD"),
        ("RETRY", "FAILED", "INSUFFICIENT_BALANCE"),
        ("RETRY", "SUCCEEDED", None),
    ]
    assert (cycle["status"], cycle["attempt_count"]) == ("SUCCEEDED", 3)


@pytest.mark.parametrize(
    ("action", "status", "later"), [("STOP", "INACTIVE", "CANCELLED"), ("RESUME", "ACTIVE", "SUCCEEDED")]
)
async def test_after_the_last_retry_the_cycle_fails_and_the_plan_stops_or_goes_on(
    shop: Shop, action: str, status: str, later: str
) -> None:
    await shop.know(*["INSUFFICIENT_FUNDS"] * 3)
    plan = await shop.plan(failed_cycle_action=action)
    found = await shop.at(plan, "2026-04-06T00:00:00Z")
    assert found["status"] == status
    assert [one["status"] for one in found["cycles"][:2]] == ["FAILED", later]
    told = await shop.told()
    assert told.count("recurring.cycle.retrying") == 2
    assert told.count("recurring.cycle.failed") == 1
    assert told.count("recurring.plan.inactivated") == (1 if action == "STOP" else 0)


async def test_tokens_are_tried_by_rank_within_one_attempt(shop: Shop) -> None:
    await shop.know("STOLEN_CARD", "SUCCEEDED")
    tokens = [{"payment_token_id": "pt-2", "rank": 2}, {"payment_token_id": "pt-1", "rank": 1}]
    plan = await shop.plan(payment_tokens=tokens)
    cycle = (await shop.at(plan, "2026-03-05T09:00:00Z"))["cycles"][0]
    assert [
        (one["attempt_number"], one["action_number"], one["payment_token_id"], one["status"])
        for one in cycle["attempt_details"]
    ] == [(1, 1, "pt-1", "FAILED"), (1, 2, "pt-2", "SUCCEEDED")]
    assert cycle["attempt_count"] == 1


async def test_an_immediate_payment_is_the_first_cycle_and_its_failure_ends_the_plan(shop: Shop) -> None:
    await shop.know("SUCCEEDED", "DO_NOT_HONOR")
    paid = await shop.at(await shop.plan(immediate_payment=True), START)
    assert [(one["type"], one["status"]) for one in paid["cycles"]] == [
        ("IMMEDIATE", "SUCCEEDED"),
        ("SCHEDULED", "SCHEDULED"),
    ]
    assert paid["cycles"][1]["scheduled_timestamp"] == "2026-03-05T09:00:00.000Z"
    unpaid = await shop.at(await shop.plan(immediate_payment=True), START)
    assert unpaid["status"] == "INACTIVE"
    assert [one["status"] for one in unpaid["cycles"]] == ["FAILED"]


async def test_a_plan_without_a_method_waits_for_the_customer_by_either_contract(shop: Shop) -> None:
    await shop.know()
    legacy = {
        "reference_id": "plan-1",
        "customer_id": "cust-1",
        "recurring_action": "PAYMENT",
        "currency": "IDR",
        "amount": 100000,
        "schedule": {**CALENDAR, "reference_id": "plan-1", "failed_attempt_notifications": [1, 2]},
        "immediate_action_type": "FULL_AMOUNT",
        "notification_config": {"recurring_failed": ["WHATSAPP"]},
        "failed_cycle_action": "STOP",
        "metadata": None,
        "success_return_url": "https://shop.example/ok",
        "failure_return_url": "https://shop.example/no",
    }
    old = (await shop.ask("POST", "/plans", legacy, version=OLD)).json()
    new = (await shop.ask("POST", "/plans", shop.body(payment_tokens=[]))).json()
    assert old["recurring_action"] == "PAYMENT"
    assert "recurring_action" not in new
    for made in (old, new):
        assert made["status"] == "REQUIRES_ACTION"
        (action,) = made["actions"]
        assert (action["action"], action["method"]) == ("AUTH", "GET")
        assert (await shop.http.post(action["url"], data={"answer": "approve"})).is_success
        assert (await shop.at(made["id"], START))["status"] == "ACTIVE"
    assert await shop.book() == [(10_000_000, "succeeded")]


async def test_a_link_that_the_customer_declines_ends_the_plan(shop: Shop) -> None:
    await shop.know()
    made = (await shop.ask("POST", "/plans", shop.body(payment_tokens=[]))).json()
    await shop.http.post(made["actions"][0]["url"], data={"answer": "decline"})
    assert (await shop.at(made["id"], START))["status"] == "INACTIVE"
    assert await shop.told() == ["recurring.plan.inactivated"]


async def test_two_creations_of_one_reference_are_two_plans_and_both_collect(shop: Shop) -> None:
    await shop.know()
    first = await shop.ask("POST", "/plans", shop.body(), idempotency_key="k-1")
    second = await shop.ask("POST", "/plans", shop.body(), idempotency_key="k-1")
    assert first.json()["id"] != second.json()["id"]
    for one in (first, second):
        await shop.at(one.json()["id"], "2026-03-06T00:00:00Z")
    assert await shop.book() == [(10_000_000, "succeeded")] * 2


async def test_where_keys_are_kept_a_used_one_is_refused_and_makes_no_plan(shop: Shop) -> None:
    await shop.know()
    await shop.control("configure", {"xendit_keeps_plan_keys": True})
    assert (await shop.ask("POST", "/plans", shop.body(), idempotency_key="k-1")).status_code == 202
    again = await shop.ask("POST", "/plans", shop.body(), idempotency_key="k-1")
    assert (again.status_code, again.json()["error_code"]) == (409, "IDEMPOTENCY_ERROR")
    assert len((await shop.http.get("/_sandbox/plans")).json()["plans"]) == 1


async def test_a_forced_attempt_leaves_the_planned_instants_and_is_allowed_five_times(shop: Shop) -> None:
    await shop.know(*["INSUFFICIENT_FUNDS"] * 7)
    plan = await shop.plan()
    cycle = (await shop.at(plan, "2026-03-05T10:00:00Z"))["cycles"][0]
    for _ in range(5):
        answer = await shop.ask("POST", f"/plans/{plan}/cycles/{cycle['id']}/force_attempt", at="2026-03-06T00:00:00Z")
        assert (answer.json()["status"], answer.json()["scheduled_timestamp"]) == (
            "RETRYING",
            "2026-03-08T09:00:00.000Z",
        )
    answer = await shop.ask("POST", f"/plans/{plan}/cycles/{cycle['id']}/force_attempt", at="2026-03-06T00:00:00Z")
    assert (answer.status_code, answer.json()["error_code"]) == (403, "MAXIMUM_LIMIT_REACHED")
    assert len(await shop.book()) == 6
    assert (await shop.told()).count("recurring.cycle.force_attempt_failed") == 5


async def test_a_forced_attempt_that_pays_ends_the_retries_and_cannot_be_made_twice(shop: Shop) -> None:
    await shop.know("INSUFFICIENT_FUNDS", "SUCCEEDED")
    plan = await shop.plan()
    cycle = (await shop.at(plan, "2026-03-05T10:00:00Z"))["cycles"][0]
    path = f"/plans/{plan}/cycles/{cycle['id']}/force_attempt"
    assert (await shop.ask("POST", path)).json()["status"] == "SUCCEEDED"
    assert (await shop.ask("POST", path)).json()["error_code"] == "INELIGIBLE_CYCLE_REQUEST"
    await shop.at(plan, "2026-04-01T00:00:00Z")
    assert await shop.book() == [(10_000_000, "failed"), (10_000_000, "succeeded")]
