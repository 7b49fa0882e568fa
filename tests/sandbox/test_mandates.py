"""Mandates, hosted pages, method updates and payments by link. Sheet D.4.1, D.4.2, D.4.5, D.5."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from .conftest import Receiver, Shop

pytestmark = pytest.mark.server

NEW = {
    "product_id": "pdt_1",
    "quantity": 1,
    "billing": {"country": "ID"},
    "customer": {"email": "a@example.com", "name": "A"},
    "payment_link": True,
    "metadata": {"subscription": "ours-1"},
    "on_demand": {"mandate_only": True, "product_currency": "IDR"},
}


def told(receiver: Receiver) -> list[tuple[str, str]]:
    found = [json.loads(one.body) for one in receiver.requests]
    return [(body["type"], body["data"]["status"]) for body in found]


async def create(shop: Shop, **changes: Any) -> dict[str, Any]:
    answer = await shop.client.post("/subscriptions", json={**NEW, **changes})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def status_of(shop: Shop, subscription_id: str) -> str:
    return str((await shop.client.get(f"/subscriptions/{subscription_id}")).json()["status"])


async def test_a_mandate_link_makes_the_subscription_active_and_charges_nothing(shop: Shop, receiver: Receiver) -> None:
    created = await create(shop)
    subscription_id = created["subscription_id"]
    assert await status_of(shop, subscription_id) == "pending"
    page = await shop.client.get(created["payment_link"])
    assert page.headers["content-type"].startswith("text/html")
    assert "<button" in page.text
    assert "ours-1" in page.text
    assert (await shop.client.post(created["payment_link"])).status_code == 200
    await shop.quiet()
    found = (await shop.client.get(f"/subscriptions/{subscription_id}")).json()
    assert (found["status"], found["has_payment_method"], found["currency"]) == ("active", True, "IDR")
    assert found["payment_method_id"].startswith("pm_")
    assert told(receiver) == [("subscription.active", "active")]
    assert await shop.book() == []
    assert (await shop.settled(subscription_id, amount=100_000))["currency"] == "IDR"


async def test_a_mandate_s_own_payment_names_its_subscription_and_is_no_charge(shop: Shop) -> None:
    created = await create(shop)
    before = await shop.payment(created["payment_id"])
    await shop.client.post(created["payment_link"])
    after = await shop.payment(created["payment_id"])
    assert (before["status"], after["status"]) == ("requires_payment_method", "succeeded")
    assert (after["total_amount"], after["subscription_id"]) == (0, created["subscription_id"])
    assert await shop.book() == []


async def test_a_link_works_once(shop: Shop, receiver: Receiver) -> None:
    created = await create(shop)
    await shop.client.post(created["payment_link"])
    again = await shop.client.post(created["payment_link"])
    assert again.status_code == 410
    await shop.quiet()
    assert len(receiver.requests) == 1


async def test_a_customer_who_declines_the_mandate_fails_the_subscription_for_good(
    shop: Shop, receiver: Receiver
) -> None:
    created = await create(shop)
    await shop.client.post(created["payment_link"], data={"answer": "decline"})
    await shop.quiet()
    assert await status_of(shop, created["subscription_id"]) == "failed"
    assert told(receiver) == [("subscription.failed", "failed")]
    assert (await shop.charge(created["subscription_id"])).json()["code"] == "SUBSCRIPTION_INACTIVE"


@pytest.mark.parametrize(("word", "ending"), [("SUCCEEDED", "active"), ("DO_NOT_HONOR", "failed")])
async def test_a_first_price_is_charged_on_the_link_and_decides_the_subscription(
    shop: Shop, receiver: Receiver, word: str, ending: str
) -> None:
    await shop.control("scripts", subscription="ours-1", script=[word])
    created = await create(
        shop,
        on_demand={"mandate_only": False, "product_price": 2500, "product_currency": "USD"},
        metadata={"subscription": "ours-1", "dunning_first_key": "k1"},
    )
    await shop.client.post(created["payment_link"])
    await shop.quiet()
    (row,) = await shop.book(subscription="ours-1")
    assert (row["key"], row["amount"], row["payment_id"]) == ("k1", 2500, created["payment_id"])
    assert await status_of(shop, created["subscription_id"]) == ending
    assert told(receiver)[-1] == (f"subscription.{ending}", ending)
    assert (await shop.payment(row["payment_id"]))["charge_type"] == "new"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"on_demand": {}}, "INVALID_REQUEST_BODY"),
        ({"on_demand": {"product_price": 100}}, "INVALID_REQUEST_BODY"),
        ({"billing": {}}, "INVALID_REQUEST_BODY"),
        ({"customer": {}}, "INVALID_REQUEST_BODY"),
        ({"quantity": 0}, "INVALID_REQUEST_BODY"),
        ({"product_id": ""}, "INVALID_REQUEST_BODY"),
        ({"on_demand": {"mandate_only": True, "product_currency": "ZZZ"}}, "UNSUPPORTED_CURRENCY"),
        ({"addons": [{"addon_id": "a"}]}, "ADDONS_NOT_ALLOWED_FOR_ON_DEMAND"),
        ({"discount_codes": ["X"]}, "DISCOUNT_NOT_AVAILABLE_FOR_ON_DEMAND"),
        ({"one_time_product_cart": [{}]}, "ONE_TIME_PRODUCTS_NOT_ALLOWED_FOR_ON_DEMAND"),
        ({"metadata": {str(n): n for n in range(51)}}, "MAXIMUM_KEYS_REACHED"),
    ],
)
async def test_a_bad_subscription_request_is_422_and_creates_nothing(
    shop: Shop, change: dict[str, Any], code: str
) -> None:
    answer = await shop.client.post("/subscriptions", json={**NEW, **change})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert (await shop.client.get("/subscriptions")).json()["items"] == []


async def test_a_checkout_s_subscription_is_found_through_its_payment_once_completed(shop: Shop) -> None:
    body = {
        "product_cart": [{"product_id": "pdt_1", "quantity": 1}],
        "customer": {"email": "a@example.com"},
        "subscription_data": {"on_demand": {"mandate_only": True}},
        "metadata": {"subscription": "ours-1"},
    }
    session = (await shop.client.post("/checkouts", json=body)).json()
    waiting = (await shop.client.get(f"/checkouts/{session['session_id']}")).json()
    assert (waiting["payment_id"], waiting["payment_status"]) == (None, None)
    assert (await shop.client.get("/subscriptions")).json()["items"] == []
    await shop.client.post(session["checkout_url"])
    done = (await shop.client.get(f"/checkouts/{session['session_id']}")).json()
    payment = await shop.payment(done["payment_id"])
    assert (done["payment_status"], payment["checkout_session_id"]) == ("succeeded", session["session_id"])
    assert await status_of(shop, payment["subscription_id"]) == "active"


async def test_a_checkout_without_mandate_only_is_refused(shop: Shop) -> None:
    body = {"product_cart": [{"product_id": "p", "quantity": 1}], "subscription_data": {"on_demand": {}}}
    assert (await shop.client.post("/checkouts", json=body)).status_code == 422
    assert (await shop.client.post("/checkouts", json={"product_cart": []})).status_code == 422


async def test_a_one_time_checkout_makes_a_payment_of_no_subscription(shop: Shop, receiver: Receiver) -> None:
    body = {"product_cart": [{"product_id": "p", "quantity": 2, "amount": 700}], "metadata": {"note": "x"}}
    session = (await shop.client.post("/checkouts", json=body)).json()
    await shop.client.post(session["checkout_url"])
    await shop.quiet()
    (row,) = await shop.book()
    assert (row["kind"], row["key"], row["amount"], row["subscription_id"]) == ("checkout", None, 1400, None)
    assert told(receiver) == [("payment.succeeded", "succeeded")]


@pytest.mark.parametrize(("story", "ending"), [("complete", "active"), ("fail", "failed"), ("never", "pending")])
@pytest.mark.parametrize("bound_first", [True, False])
async def test_a_script_says_what_becomes_of_a_mandate_without_a_person(
    shop: Shop, story: str, ending: str, bound_first: bool
) -> None:
    binding = {"subscription": "ours-1", "script": ["INSUFFICIENT_FUNDS"], "mandate": story, "delay": 0.01}
    if bound_first:
        await shop.control("scripts", **binding)
    created = await create(shop)
    if not bound_first:
        await shop.control("scripts", **binding)
    await shop.quiet()
    assert await status_of(shop, created["subscription_id"]) == ending
    if ending == "active":
        assert (await shop.settled(created["subscription_id"]))["error_code"] == "INSUFFICIENT_FUNDS"


async def test_it_is_not_quiet_while_a_scripted_checkout_is_to_be_completed(shop: Shop) -> None:
    await shop.control("scripts", subscription="ours-1", mandate="complete", delay=60)
    body = {
        "product_cart": [{"product_id": "p", "quantity": 1}],
        "subscription_data": {"on_demand": {"mandate_only": True}},
        "metadata": {"subscription": "ours-1"},
    }
    await shop.client.post("/checkouts", json=body)
    for name, is_quiet in (("ours-1", False), ("ours-2", True)):
        found = (await shop.client.get("/_sandbox/quiet", params={"subscription": name})).json()
        assert found["quiet"] is is_quiet


async def test_a_method_updated_on_hold_collects_the_debt_by_itself_without_our_metadata(
    shop: Shop, receiver: Receiver
) -> None:
    await shop.register(script=["INSUFFICIENT_FUNDS", "DO_NOT_HONOR"], on_hold_after_failure=True)
    await shop.settled(amount=2500, dunning_key="k1", obligation="cycle-1")
    assert await status_of(shop, "sub_1") == "on_hold"
    assert (await shop.charge(dunning_key="k2")).json()["code"] == "SUBSCRIPTION_INACTIVE"
    answer = await shop.client.post("/subscriptions/sub_1/update-payment-method", json={"type": "new"})
    receiver.requests.clear()
    await shop.client.post(answer.json()["payment_link"])
    await shop.quiet()
    assert told(receiver) == [
        ("subscription.update_payment_method", "on_hold"),
        ("payment.succeeded", "succeeded"),
        ("subscription.active", "active"),
    ]
    _, dues = await shop.book()
    assert (dues["kind"], dues["key"], dues["amount"], dues["metadata"]) == ("dues", None, 2500, {})
    assert (await shop.payment(dues["payment_id"]))["is_update_payment_method"] is True
    assert (await shop.settled(dunning_key="k3"))["error_code"] == "DO_NOT_HONOR", "dues use no word of the script"


async def test_dues_that_are_declined_leave_the_subscription_on_hold(shop: Shop) -> None:
    await shop.register(script=["INSUFFICIENT_FUNDS"], dues=["DO_NOT_HONOR"], on_hold_after_failure=True)
    await shop.settled(amount=2500)
    updated = await shop.control("subscriptions/ours-1/update-method")
    await shop.quiet()
    (dues,) = updated["payments"]
    assert (await shop.payment(dues["payment_id"]))["error_code"] == "DO_NOT_HONOR"
    assert await status_of(shop, "sub_1") == "on_hold"


async def test_an_existing_method_can_be_made_current_and_collects_on_hold(shop: Shop) -> None:
    await shop.register(
        customer_id="cus_1",
        script=["EXPIRED_CARD"],
        on_hold_after_failure=True,
        methods=[{"payment_method_id": "pm_backup", "last4": "1881"}],
    )
    url = "/subscriptions/sub_1/update-payment-method"
    listed = (await shop.client.get("/customers/cus_1/payment-methods")).json()["items"]
    assert [(one["payment_method_id"], one["card"]["last4_digits"]) for one in listed] == [
        ("pm_sandbox", "4242"),
        ("pm_backup", "1881"),
    ]
    refused = await shop.client.post(url, json={"type": "existing", "payment_method_id": "pm_strange"})
    assert (refused.status_code, refused.json()["code"]) == (422, "NO_ELIGIBLE_PAYMENT_METHODS")
    await shop.settled(amount=900)
    answer = await shop.client.post(url, json={"type": "existing", "payment_method_id": "pm_backup"})
    await shop.quiet()
    payment = await shop.payment(answer.json()["payment_id"])
    assert (payment["status"], payment["card_last_four"], payment["total_amount"]) == (
        "succeeded",
        "1881",
        900,
    )
    assert await status_of(shop, "sub_1") == "active"


async def test_a_method_updated_while_active_charges_nothing(shop: Shop, receiver: Receiver) -> None:
    await shop.register(script=["INSUFFICIENT_FUNDS", "DO_NOT_HONOR"])
    await shop.settled(amount=2500, dunning_key="k1")
    updated = await shop.control("subscriptions/ours-1/update-method", payment_method_id="pm_new", then=["SUCCEEDED"])
    await shop.quiet()
    assert (updated["payment_method_id"], updated["payments"]) == ("pm_new", [])
    assert told(receiver)[-1] == ("subscription.update_payment_method", "active")
    payment = await shop.settled(amount=2500, dunning_key="k2")
    assert (payment["status"], payment["payment_method_id"]) == ("succeeded", "pm_new")


async def test_a_payment_by_link_carries_nothing_of_ours(shop: Shop, receiver: Receiver) -> None:
    await shop.register(script=["INSUFFICIENT_FUNDS"], on_hold_after_failure=True)
    await shop.settled(amount=2500, dunning_key="k1")
    await shop.control("subscriptions/ours-1/pay-link")
    await shop.quiet()
    _, paid = await shop.book()
    assert (paid["kind"], paid["key"], paid["amount"], paid["status"]) == (
        "pay_link",
        None,
        2500,
        "succeeded",
    )
    assert (await shop.payment(paid["payment_id"]))["metadata"] == {}
    assert await status_of(shop, "sub_1") == "active"
    assert told(receiver)[-2:] == [("payment.succeeded", "succeeded"), ("subscription.active", "active")]
    nothing = await shop.client.post("/_sandbox/subscriptions/ours-1/pay-link", json={})
    assert nothing.status_code == 422, "nothing is owed any more"


async def test_the_customer_s_own_page_updates_the_method_and_pays_what_is_owed(shop: Shop) -> None:
    await shop.register(customer_id="cus_1", script=["INSUFFICIENT_FUNDS"])
    await shop.settled(amount=2500)
    link = (await shop.client.post("/customers/cus_1/customer-portal/session")).json()["link"]
    async with httpx.AsyncClient() as browser:
        assert "2500 USD" in (await browser.get(link)).text
        await browser.post(f"{link}/sub_1", data={"action": "pay"})
        form = (await browser.post(f"{link}/sub_1", data={"action": "update"})).text
        path = re.search(r"action='(/pay/[^']+)'", form)
        assert path is not None
        await browser.post(f"{shop.sandbox.url}{path[1]}", data={"answer": "approve"})
    assert [(row["kind"], row["status"]) for row in await shop.book()] == [
        ("charge", "failed"),
        ("pay_link", "succeeded"),
    ]
    assert (await shop.client.get("/subscriptions/sub_1")).json()["payment_method_id"] != "pm_sandbox"


async def test_hosted_pages_show_names_as_text(shop: Shop) -> None:
    created = await create(shop, customer={"email": "a@example.com", "name": "<script>alert(1)</script>"})
    page = (await shop.client.get(created["payment_link"])).text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


async def test_a_cancelled_subscription_says_so_and_stays_so(shop: Shop, receiver: Receiver) -> None:
    await shop.register()
    url = "/subscriptions/sub_1"
    answer = await shop.client.patch(url, json={"status": "cancelled", "cancel_reason": "cancelled_by_merchant"})
    assert (answer.json()["status"], answer.json()["cancelled_at"] is None) == ("cancelled", False)
    assert (await shop.client.patch(url, json={"status": "cancelled"})).status_code == 200
    assert (await shop.client.patch(url, json={"status": "active"})).json()["code"] == "SUBSCRIPTION_INACTIVE"
    await shop.quiet()
    assert told(receiver) == [("subscription.cancelled", "cancelled")]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"status": "paused", "metadata": {}}, "INVALID_REQUEST_BODY"),
        ({"status": "expired"}, "INVALID_REQUEST_BODY"),
        ({"status": "nonsense"}, "INVALID_REQUEST_BODY"),
        ({"pause": {}}, "INVALID_REQUEST_BODY"),
        ({"cancel_reason": "because"}, "INVALID_REQUEST_BODY"),
        ({"next_billing_date": "2020-01-01T00:00:00Z"}, "INVALID_REQUEST_PARAMETERS"),
        ({"next_billing_date": "tomorrow"}, "INVALID_REQUEST_PARAMETERS"),
    ],
)
async def test_a_change_that_the_provider_forbids_is_refused(shop: Shop, body: dict[str, Any], code: str) -> None:
    await shop.register()
    answer = await shop.client.patch("/subscriptions/sub_1", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert await status_of(shop, "sub_1") == "active"


async def test_paused_and_resumed_alone_are_accepted(shop: Shop) -> None:
    await shop.register()
    for status in ("paused", "active"):
        assert (await shop.client.patch("/subscriptions/sub_1", json={"status": status})).json()["status"] == status


async def test_the_provider_can_move_a_subscription_by_itself(shop: Shop, receiver: Receiver) -> None:
    await shop.register()
    await shop.control("subscriptions/ours-1/status", status="cancelled")
    await shop.quiet()
    assert told(receiver) == [("subscription.cancelled", "cancelled")]
    assert (await shop.charge()).json()["code"] == "SUBSCRIPTION_INACTIVE"
