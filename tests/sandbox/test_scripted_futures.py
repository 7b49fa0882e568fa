"""Outages, lost answers, undecided payments: scripts that live on business time. SPEC 16, 17."""

from __future__ import annotations

import httpx
import pytest

from .conftest import Shop

pytestmark = pytest.mark.server


async def test_an_outage_refuses_until_its_length_has_passed_in_business_time(shop: Shop) -> None:
    await shop.register(script=["OUTAGE/36h", "INSUFFICIENT_FUNDS"])
    refused = [
        await shop.charge(dunning_key="a", business_at=at)
        for at in ("2026-03-05T13:10:00Z", "2026-03-05T14:10:00Z", "2026-03-07T01:09:59Z")
    ]
    assert [(one.status_code, one.json()["code"]) for one in refused] == [(429, "TOO_MANY_REQUESTS")] * 3
    assert await shop.book() == [], "a refused request is no charge"
    payment = await shop.settled(dunning_key="a", business_at="2026-03-07T01:10:00Z")
    assert payment["error_code"] == "INSUFFICIENT_FUNDS"
    assert (await shop.settled(dunning_key="b", business_at="2026-03-10T00:00:00Z"))["status"] == "succeeded"


async def test_outages_in_a_row_each_begin_with_their_own_first_refusal(shop: Shop) -> None:
    await shop.register(script=["OUTAGE/1h", "OUTAGE/1h", "SUCCEEDED"])
    statuses = [
        (await shop.charge(business_at=at)).status_code
        for at in (
            "2026-03-05T10:00:00Z",
            "2026-03-05T11:00:00Z",
            "2026-03-05T11:59:00Z",
            "2026-03-05T12:00:00Z",
        )
    ]
    assert statuses == [429, 429, 429, 200]


async def test_look_ups_work_during_an_outage_and_show_nothing(shop: Shop) -> None:
    await shop.register(script=["OUTAGE/36h"])
    await shop.charge(business_at="2026-03-05T13:10:00Z")
    assert await shop.listed(subscription_id="sub_1") == []


async def test_a_time_out_after_commit_charges_and_never_answers(shop: Shop) -> None:
    await shop.register(script=["TIMEOUT_COMMITTED", "DO_NOT_HONOR"])
    with pytest.raises(httpx.RemoteProtocolError):
        await shop.charge(dunning_key="a")
    await shop.quiet()
    (row,) = await shop.listed(subscription_id="sub_1")
    assert (row["status"], row["metadata"]["dunning_key"]) == ("succeeded", "a")


async def test_sending_again_after_a_time_out_charges_the_customer_twice(shop: Shop) -> None:
    await shop.register(script=["TIMEOUT_COMMITTED"])
    with pytest.raises(httpx.RemoteProtocolError):
        await shop.charge(dunning_key="a")
    assert (await shop.settled(dunning_key="a"))["status"] == "succeeded"
    assert [row["status"] for row in await shop.book()] == ["succeeded", "succeeded"]


async def test_a_caller_who_leaves_ends_the_wait_and_keeps_the_charge(shop: Shop) -> None:
    await shop.control("configure", hold_seconds=600)
    await shop.register(script=["TIMEOUT_COMMITTED"])
    async with httpx.AsyncClient(base_url=shop.sandbox.url, headers=shop.client.headers, timeout=0.2) as hasty:
        with pytest.raises(httpx.ReadTimeout):
            await hasty.post("/subscriptions/sub_1/charge", json={"product_price": 1000})
    await shop.quiet()
    assert [row["status"] for row in await shop.book()] == ["succeeded"]


async def test_an_undecided_payment_settles_when_a_look_up_tells_a_late_enough_business_time(
    shop: Shop,
) -> None:
    await shop.register(script=["PENDING/2h/SUCCEEDED"])
    answer = await shop.charge(dunning_key="a", business_at="2026-03-05T13:10:00Z")
    payment_id = answer.json()["payment_id"]
    await shop.quiet()

    async def status_at(instant: str) -> str:
        read = await shop.client.get(f"/payments/{payment_id}", headers={"x-dunning-business-at": instant})
        return str(read.json()["status"])

    assert (await shop.payment(payment_id))["status"] == "processing"
    assert await status_at("2026-03-05T15:09:59Z") == "processing"
    assert await status_at("2026-03-05T15:10:00Z") == "succeeded"


async def test_an_undecided_payment_also_settles_in_a_list_of_its_subscription(shop: Shop) -> None:
    await shop.register(script=["PENDING/2h/DO_NOT_HONOR"])
    await shop.charge(business_at="2026-03-05T13:10:00Z")
    headers = {"x-dunning-business-at": "2026-03-05T16:00:00Z"}
    answer = await shop.client.get("/payments", params={"subscription_id": "sub_1"}, headers=headers)
    assert [row["status"] for row in answer.json()["items"]] == ["failed"]
    (row,) = await shop.book()
    assert row["error_code"] == "DO_NOT_HONOR"


async def test_an_undecided_payment_settles_before_a_later_charge_of_the_same_subscription(
    shop: Shop,
) -> None:
    await shop.register(script=["PENDING/2h/INSUFFICIENT_FUNDS"])
    await shop.charge(dunning_key="a", business_at="2026-03-05T13:10:00Z")
    assert (await shop.settled(dunning_key="b", business_at="2026-03-05T15:10:00Z"))["status"] == "succeeded"
    assert [row["status"] for row in await shop.book()] == ["failed", "succeeded"]


async def test_another_subscription_s_clock_settles_nothing_here(shop: Shop) -> None:
    await shop.register("sub_1", script=["PENDING/2h/SUCCEEDED"])
    await shop.register("sub_2", metadata={"subscription": "ours-2"})
    await shop.charge("sub_1", business_at="2026-03-05T13:10:00Z")
    await shop.settled("sub_2", business_at="2027-01-01T00:00:00Z")
    await shop.control("advance", business_now="2027-01-01T00:00:00Z", subscription="ours-2")
    assert [row["status"] for row in await shop.book(subscription="sub_1")] == ["processing"]
    settled = await shop.control("advance", business_now="2027-01-01T00:00:00Z")
    assert len(settled["settled"]) == 1
    assert [row["status"] for row in await shop.book(subscription="sub_1")] == ["succeeded"]


async def test_a_late_success_turns_a_failed_payment_into_a_paid_one(shop: Shop) -> None:
    await shop.register(script=["INSUFFICIENT_FUNDS"])
    failed = await shop.settled(dunning_key="a")
    await shop.control("subscriptions/ours-1/late-success")
    await shop.quiet()
    now = await shop.payment(failed["payment_id"])
    assert (failed["status"], now["status"], now["error_code"]) == ("failed", "succeeded", None)
    again = await shop.client.post("/_sandbox/subscriptions/ours-1/late-success", json={"key": "a"})
    assert again.status_code == 404, "what is paid cannot be paid late"


async def test_a_script_that_cannot_be_read_is_refused_at_once(shop: Shop) -> None:
    body = {"subscription_id": "sub_9", "script": ["OUTAGE/soon"]}
    answer = await shop.client.post("/_sandbox/subscriptions", json=body)
    assert answer.status_code == 422
    assert "OUTAGE/soon" in answer.json()["message"]
    assert (await shop.client.get("/subscriptions/sub_9")).status_code == 404


async def test_reading_a_subscription_in_the_control_api_shows_what_is_left_of_its_script(shop: Shop) -> None:
    await shop.register(script="INSUFFICIENT_FUNDS,PENDING/2h/SUCCEEDED")
    await shop.settled()
    found = (await shop.client.get("/_sandbox/subscriptions/ours-1")).json()
    assert found["script"] == ["PENDING/2h/SUCCEEDED"]
