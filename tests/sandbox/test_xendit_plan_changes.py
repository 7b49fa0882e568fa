"""The sandbox as Xendit's plans: what may change and when, lists, dates, and what either contract refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

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
