"""The sandbox as Xendit's plans: both contracts, the state machines, its dates, and that it hides no double charge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dunning.sandbox import SandboxServer

pytestmark = pytest.mark.server
NEW, OLD = "2026-01-01", "2022-10-01"
START = "2026-03-01T09:00:00+00:00"
CALENDAR: dict[str, Any] = {
    "interval": "MONTH",
    "interval_count": 1,
    "anchor_date": "2026-03-05T16:00:00+07:00",
    "retry_interval": "DAY",
    "retry_interval_count": 3,
    "total_retry": 2,
}
ONE = [{"payment_token_id": "pt-1", "rank": 1}]


class Shop:
    """A merchant's backend that speaks to Xendit's plans, and the control API beside it."""

    def __init__(self, sandbox: SandboxServer, http: httpx.AsyncClient) -> None:
        self.sandbox = sandbox
        self.http = http

    async def control(self, path: str, body: Any) -> dict[str, Any]:
        answer = await self.http.post(f"/_sandbox/{path}", json=body)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def know(self, *outcomes: str) -> None:
        """A customer with two tokens, and the outcomes of what the plan tries."""
        methods = [{"payment_method_id": "pt-2"}, {"payment_method_id": "pt-1"}]
        body = {"provider": "xendit", "subscription_id": "pt-1", "customer_id": "cust-1", "payment_method_id": "pt-1"}
        await self.control("subscriptions", {**body, "methods": methods, "currency": "IDR"})
        await self.control("scripts", {"subscription": "ours", "script": list(outcomes)})

    async def ask(
        self, method: str, path: str, body: Any = None, *, at: str | None = START, version: str = NEW, **headers: str
    ) -> httpx.Response:
        sent = {"api-version": version, **{name.replace("_", "-"): one for name, one in headers.items()}}
        if at is not None:
            sent["x-dunning-business-at"] = at
        url, auth = f"/xendit/recurring{path}", ("xnd_development_k", "")
        return await self.http.request(method, url, json=body, headers=sent, auth=auth)

    def body(self, **changes: Any) -> dict[str, Any]:
        made = {
            "reference_id": "plan-1",
            "customer_id": "cust-1",
            "currency": "IDR",
            "amount": 100000,
            "payment_tokens": ONE,
            "schedule": CALENDAR,
            "failed_cycle_action": "STOP",
            "metadata": {"subscription": "ours"},
        }
        return {name: value for name, value in {**made, **changes}.items() if value is not None}

    async def plan(self, **changes: Any) -> str:
        answer = await self.ask("POST", "/plans", self.body(**changes))
        assert answer.status_code == 202, answer.text
        found: str = answer.json()["id"]
        return found

    async def at(self, plan: str, instant: str) -> dict[str, Any]:
        """The plan and its cycles as they stand at an instant."""
        answer = await self.ask("GET", f"/plans/{plan}", at=instant)
        cycles = (await self.ask("GET", f"/plans/{plan}/cycles", at=instant)).json()["data"]
        return {**answer.json(), "cycles": sorted(cycles, key=lambda one: one["cycle_number"])}

    async def book(self) -> list[tuple[int, str]]:
        rows = (await self.http.get("/_sandbox/charges")).json()["charges"]
        return [(row["amount"], row["status"]) for row in rows]

    async def told(self) -> list[str]:
        rows = (await self.http.get("/_sandbox/webhooks")).json()["webhooks"]
        return [row["type"] for row in rows if row["type"].startswith("recurring.")]


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


async def test_a_scheduled_cycle_can_change_until_its_day_begins_and_be_canceled(shop: Shop) -> None:
    await shop.know()
    plan = await shop.plan()
    path = f"/plans/{plan}/cycles/{(await shop.at(plan, START))['cycles'][0]['id']}"
    changed = await shop.ask("PATCH", path, {"amount": 150000, "scheduled_timestamp": "2026-03-07T09:00:00Z"})
    assert (changed.json()["amount"], changed.json()["scheduled_timestamp"]) == (150000, "2026-03-07T09:00:00.000Z")
    late = await shop.ask("PATCH", path, {"amount": 1}, at="2026-03-07T00:00:00Z")
    assert (late.status_code, late.json()["error_code"]) == (403, "INELIGIBLE_CYCLE_REQUEST")
    assert (await shop.ask("POST", f"{path}/cancel", at="2026-03-07T08:00:00Z")).json()["status"] == "CANCELLED"
    cycles = (await shop.at(plan, "2026-04-04T00:00:00Z"))["cycles"]
    assert [(one["status"], one["scheduled_timestamp"]) for one in cycles] == [
        ("CANCELLED", "2026-03-07T09:00:00.000Z"),
        ("SCHEDULED", "2026-04-05T09:00:00.000Z"),
    ]
    assert await shop.book() == []


async def test_a_change_of_the_plan_spares_the_scheduled_cycle_unless_it_is_asked_for(shop: Shop) -> None:
    await shop.know()
    plan = await shop.plan()
    await shop.ask("PATCH", f"/plans/{plan}", {"amount": 120000})
    assert (await shop.at(plan, START))["cycles"][0]["amount"] == 100000
    await shop.ask("PATCH", f"/plans/{plan}", {"amount": 130000}, update_scheduled_cycle="true")
    assert (await shop.at(plan, START))["cycles"][0]["amount"] == 130000


async def test_deactivation_cancels_what_is_scheduled_and_is_for_good(shop: Shop) -> None:
    await shop.know()
    plan = await shop.plan()
    assert (await shop.ask("POST", f"/plans/{plan}/deactivate")).json()["status"] == "INACTIVE"
    assert (await shop.ask("POST", f"/plans/{plan}/deactivate")).status_code == 403
    assert (await shop.ask("PATCH", f"/plans/{plan}", {"amount": 1})).status_code == 422
    found = await shop.at(plan, "2027-01-01T00:00:00Z")
    assert [one["status"] for one in found["cycles"]] == ["CANCELLED"]
    assert await shop.book() == []


async def test_a_plan_ends_after_its_last_cycle(shop: Shop) -> None:
    await shop.know()
    plan = await shop.plan(schedule={**CALENDAR, "total_recurrence": 2})
    found = await shop.at(plan, "2027-01-01T00:00:00Z")
    assert (found["status"], [one["status"] for one in found["cycles"]]) == ("INACTIVE", ["SUCCEEDED"] * 2)


async def test_cycles_are_listed_by_pages_newest_first(shop: Shop) -> None:
    await shop.know()
    plan = await shop.plan(schedule={**CALENDAR, "interval": "DAY"})
    await shop.at(plan, "2026-03-16T00:00:00Z")
    path = f"/plans/{plan}/cycles"
    first = (await shop.ask("GET", f"{path}?limit=5")).json()
    assert ([one["cycle_number"] for one in first["data"]], first["has_more"]) == ([12, 11, 10, 9, 8], True)
    rest = (await shop.ask("GET", f"{path}?limit=100&after_id={first['data'][-1]['id']}")).json()
    assert ([one["cycle_number"] for one in rest["data"]], rest["has_more"]) == ([7, 6, 5, 4, 3, 2, 1], False)
    assert (await shop.ask("GET", f"{path}?limit=101")).status_code == 400


async def test_a_simulated_amount_decides_how_a_scheduled_cycle_ends(shop: Shop) -> None:
    await shop.know()
    plan = await shop.plan()
    path = f"/plans/{plan}/cycles/{(await shop.at(plan, START))['cycles'][0]['id']}/simulate"
    answer = (await shop.ask("POST", path, {"amount": 21103})).json()
    assert (answer["status"], answer["attempt_details"][0]["failure_code"]) == ("RETRYING", "ACCOUNT_ACCESS_BLOCKED")
    assert (await shop.ask("POST", path, {"amount": 13579})).status_code == 403


async def test_a_payment_link_pays_the_cycle_and_ends_its_retries(shop: Shop) -> None:
    await shop.know("INSUFFICIENT_FUNDS")
    plan = await shop.plan(payment_link_for_failed_attempt=True)
    cycle = (await shop.at(plan, "2026-03-05T10:00:00Z"))["cycles"][0]
    link = cycle["attempt_details"][-1]["payment_session"]["payment_link_url"]
    await shop.http.post(link, data={"answer": "approve"})
    cycle = (await shop.at(plan, "2026-03-20T00:00:00Z"))["cycles"][0]
    assert (cycle["status"], cycle["attempt_details"][-1]["type"]) == ("SUCCEEDED", "PAYMENT_LINK")
    assert await shop.book() == [(10_000_000, "failed"), (10_000_000, "succeeded")]


async def test_a_charge_may_run_later_than_planned(shop: Shop) -> None:
    await shop.know()
    await shop.control("configure", {"xendit_plan_delay_seconds": 80_000})
    plan = await shop.plan()
    assert (await shop.at(plan, "2026-03-06T07:13:19Z"))["cycles"][0]["status"] == "SCHEDULED"
    paid = (await shop.at(plan, "2026-03-06T07:13:20Z"))["cycles"][0]
    assert (paid["status"], paid["attempt_details"][0]["created"]) == ("SUCCEEDED", "2026-03-06T07:13:20.000Z")


async def test_a_pending_payment_keeps_its_cycle_pending_until_its_instant(shop: Shop) -> None:
    await shop.know("PENDING/2h/INSUFFICIENT_FUNDS")
    plan = await shop.plan()
    assert (await shop.at(plan, "2026-03-05T10:59:59Z"))["cycles"][0]["status"] == "PENDING"
    assert (await shop.at(plan, "2026-03-05T11:00:00Z"))["cycles"][0]["status"] == "RETRYING"


async def test_the_customers_notices_of_xendit_follow_the_attempts_asked_for(shop: Shop) -> None:
    await shop.know(*["INSUFFICIENT_FUNDS"] * 3)
    calendar = {**CALENDAR, "failed_attempt_notifications": [1, 3]}
    plan = await shop.plan(schedule=calendar, notification_channels=["WHATSAPP"])
    await shop.at(plan, "2026-04-01T00:00:00Z")
    told = (await shop.http.get(f"/_sandbox/plans/{plan}")).json()["notices"]
    assert [(one["occasion"], one["attempt"]) for one in told if one["occasion"] == "failed"] == [
        ("failed", 1),
        ("failed", 3),
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schedule": {**CALENDAR, "anchor_date": "2026-03-29T09:00:00Z"}}, "28"),
        ({"schedule": {**CALENDAR, "anchor_date": "tomorrow"}}, "anchor_date"),
        ({"schedule": {**CALENDAR, "interval_count": 366}}, "interval_count"),
        ({"schedule": {**CALENDAR, "total_retry": 11}}, "total_retry"),
        ({"schedule": {**CALENDAR, "total_retry": None}}, "go together"),
        ({"metadata": {f"k{n}": "v" for n in range(21)}}, "20"),
        ({"metadata": {"k": "v" * 81}}, "80"),
        ({"payment_methods": []}, "not allowed"),
        ({"locale": "english"}, "locale"),
        ({"notification_channels": ["SMS"]}, "notification_channels"),
        ({"amount": 100000.5}, "whole"),
        (
            {
                "items": [
                    {
                        "type": "DIGITAL_SERVICE",
                        "reference_id": "p",
                        "name": "p",
                        "net_unit_amount": 1,
                        "quantity": 1,
                        "category": "c",
                    }
                ]
            },
            "total of the items",
        ),
    ],
)
async def test_what_the_current_contract_does_not_take_is_refused_with_its_rule(
    shop: Shop, changes: dict[str, Any], words: str
) -> None:
    await shop.know()
    answer = await shop.ask("POST", "/plans", shop.body(**changes))
    assert (answer.status_code, answer.json()["error_code"]) == (400, "API_VALIDATION_ERROR")
    assert words in answer.json()["message"]


async def test_a_request_names_its_contract_and_what_it_is_about_exists(shop: Shop) -> None:
    await shop.know()
    assert (await shop.ask("POST", "/plans", shop.body(), version="")).status_code == 400
    assert (await shop.ask("POST", "/plans", shop.body(customer_id="cust-x"))).json()[
        "error_code"
    ] == "CUSTOMER_NOT_FOUND_ERROR"
    strange = [{"payment_token_id": "pt-x", "rank": 1}]
    refused = await shop.ask("POST", "/plans", shop.body(payment_tokens=strange))
    assert refused.json()["error_code"] == "INVALID_PAYMENT_TOKEN_ID"
    assert (await shop.ask("GET", "/plans/repl_x")).json()["error_code"] == "DATA_NOT_FOUND"
    assert (await shop.http.post("/xendit/recurring", json={}, auth=("xnd_development_k", ""))).status_code == 404


async def test_a_legacy_anchor_after_the_28th_moves_to_the_first_and_yearly_is_unknown_there(shop: Shop) -> None:
    made = await shop.ask(
        "POST", "/schedules", {**CALENDAR, "reference_id": "s", "anchor_date": "2026-01-31T09:00:00Z"}, version=OLD
    )
    assert made.json()["id"].startswith("resc-")
    await shop.know()
    body = {
        **shop.body(payment_tokens=None, schedule=None),
        "recurring_action": "PAYMENT",
        "schedule_id": made.json()["id"],
    }
    body["payment_methods"] = [{"payment_method_id": "pt-1", "rank": 1}]
    plan = (await shop.ask("POST", "/plans", body, version=OLD)).json()
    cycles = (await shop.ask("GET", f"/plans/{plan['id']}/cycles", version=OLD)).json()["data"]
    assert cycles[-1]["scheduled_timestamp"] == "2026-03-01T09:00:00.000Z"
    yearly = {**CALENDAR, "reference_id": "s", "interval": "YEAR"}
    assert (await shop.ask("POST", "/schedules", yearly, version=OLD)).status_code == 400
