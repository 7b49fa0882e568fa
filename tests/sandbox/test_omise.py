"""The sandbox as Omise: its forms and lists, its refusals, and books that hide nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from dunning.sandbox import SandboxServer

from .conftest import Shop

pytestmark = pytest.mark.server
CARD = {"name": "Nok", "number": "4242424242424242", "expiration_month": 12, "expiration_year": 2099}


@pytest.fixture
async def omise(sandbox: SandboxServer) -> AsyncIterator[httpx.AsyncClient]:
    auth = ("skey_test_key", "")
    async with httpx.AsyncClient(base_url=f"{sandbox.url}/omise", auth=auth, timeout=10) as client:
        yield client


async def customer(shop: Shop, *outcomes: str, **fields: Any) -> None:
    await shop.register("cust_1", provider="omise", payment_method_id="card_1", script=list(outcomes), **fields)


async def charge(omise: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    body = {"customer": "cust_1", "card": "card_1", "amount": 2_000, "currency": "thb", **fields}
    return await omise.post("/charges", json=body)


async def test_one_key_twice_is_two_charges_and_the_book_shows_both(shop: Shop, omise: httpx.AsyncClient) -> None:
    await customer(shop)
    for _ in range(2):
        await charge(omise, metadata={"dunning_key": "at_1"})
    assert [(row["key"], row["status"]) for row in await shop.book()] == [("at_1", "succeeded")] * 2


async def test_nothing_bars_a_second_charge_while_one_is_pending(shop: Shop, omise: httpx.AsyncClient) -> None:
    await customer(shop, "PENDING/2h/SUCCEEDED")
    first, second = (await charge(omise)).json(), (await charge(omise)).json()
    assert (first["status"], second["status"]) == ("pending", "successful")


async def test_a_decline_is_http_200_with_a_failure_code(shop: Shop, omise: httpx.AsyncClient) -> None:
    await customer(shop, "INSUFFICIENT_FUNDS", "DO_NOT_HONOR", "invalid_security_code")
    answers = [await charge(omise) for _ in range(3)]
    told = [(one.status_code, one.json()["status"], one.json()["failure_code"]) for one in answers]
    assert told == [
        (200, "failed", "insufficient_fund"),
        (200, "failed", "payment_rejected"),
        (200, "failed", "invalid_security_code"),
    ]
    advice = [one.json()["merchant_advice"] for one in answers]
    assert (advice[0], advice[2]) == (None, None)
    assert "Do not retry" in advice[1]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4111111111140011", "insufficient_fund"),
        ("4111111111130012", "stolen_or_lost_card"),
        ("4111111111120013", "failed_processing"),
        ("4111111111110014", "payment_rejected"),
        ("4242424242424242", None),
    ],
)
async def test_test_cards_are_declined_as_their_numbers_say(
    omise: httpx.AsyncClient, number: str, code: str | None
) -> None:
    """All of it as forms, as a terminal would send them."""
    card = {f"card[{name}]": str(value) for name, value in {**CARD, "number": number}.items()}
    token = (await omise.post("/tokens", data=card, auth=("pkey_test_shop", ""))).json()["id"]
    made = (await omise.post("/customers", data={"card": token, "metadata[plan]": "pro"})).json()
    assert (made["metadata"], made["default_card"]) == ({"plan": "pro"}, made["cards"]["data"][0]["id"])
    body = {"customer": made["id"], "amount": "2000", "currency": "THB"}
    assert (await omise.post("/charges", data=body)).json()["failure_code"] == code


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"customer": "cust_nobody"}, 404, "not_found"),
        ({"card": "card_nobody"}, 404, "not_found"),
        ({"customer": None}, 400, "bad_request"),
        ({"amount": 1_999}, 400, "invalid_charge"),
        ({"amount": "much"}, 400, "bad_request"),
        ({"amount": True}, 400, "bad_request"),
        ({"currency": "baht"}, 400, "invalid_charge"),
        ({"metadata": "x"}, 400, "bad_request"),
        ({"transaction_indicator": "XIT"}, 400, "bad_request"),
    ],
)
async def test_a_refusal_is_an_error_object_and_charges_nothing(
    shop: Shop, omise: httpx.AsyncClient, fields: dict[str, Any], status: int, code: str
) -> None:
    await customer(shop)
    answer = await charge(omise, **fields)
    assert (answer.status_code, answer.json()["object"], answer.json()["code"]) == (status, "error", code)
    assert {"location", "message"} <= answer.json().keys()
    assert await shop.book() == []


@pytest.mark.parametrize("auth", [None, ("skey_live", ""), ("pkey_test_key", ""), ("dodo_test_key", "")])
async def test_only_secret_test_keys_are_taken(sandbox: SandboxServer, auth: tuple[str, str] | None) -> None:
    async with httpx.AsyncClient(base_url=f"{sandbox.url}/omise", auth=auth) as client:
        answer = await client.get("/charges")
    assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failure")


async def test_unknown_paths_speak_its_form_too(omise: httpx.AsyncClient) -> None:
    answer = await omise.get("/nowhere")
    assert (answer.status_code, answer.json()["object"], answer.json()["code"]) == (404, "error", "not_found")


async def test_a_token_is_good_once(omise: httpx.AsyncClient) -> None:
    token = (await omise.post("/tokens", json={"card": CARD})).json()["id"]
    assert (await omise.post("/customers", json={"card": token})).status_code == 200
    again = await omise.post("/customers", json={"card": token})
    assert (again.status_code, again.json()["code"]) == (400, "used_token")
    assert (await omise.get(f"/tokens/{token}")).json()["used"] is True


class TestLists:
    async def test_a_page_is_cut_by_offset_and_limit_in_either_order(
        self, shop: Shop, omise: httpx.AsyncClient
    ) -> None:
        await customer(shop)
        made = [(await charge(omise, amount=2_000 + n)).json()["amount"] for n in range(5)]
        page = (await omise.get("/charges", params={"limit": 2, "offset": 1})).json()
        assert [one["amount"] for one in page["data"]] == made[1:3]
        assert {name: page[name] for name in ("object", "limit", "offset", "total", "order", "location")} == {
            "object": "list",
            "limit": 2,
            "offset": 1,
            "total": 5,
            "order": "chronological",
            "location": "/charges",
        }
        back = (await omise.get("/charges", params={"order": "reverse_chronological", "limit": 2})).json()
        assert [one["amount"] for one in back["data"]] == [made[4], made[3]]

    async def test_from_and_to_bound_what_is_listed(self, shop: Shop, omise: httpx.AsyncClient) -> None:
        await customer(shop)
        await charge(omise)
        later = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
        before = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
        for query, total in (({"from": later}, 0), ({"to": before}, 0), ({"from": before, "to": later}, 1)):
            assert (await omise.get("/charges", params=query)).json()["total"] == total

    @pytest.mark.parametrize("query", [{"limit": 101}, {"limit": 0}, {"offset": -1}, {"order": "x"}, {"from": "x"}])
    async def test_a_page_that_makes_no_sense_is_refused(
        self, omise: httpx.AsyncClient, query: dict[str, str | int]
    ) -> None:
        assert (await omise.get("/charges", params=query)).status_code == 400


class TestFaults:
    async def test_a_fault_may_name_the_subscription_that_a_charge_is_for(
        self, shop: Shop, omise: httpx.AsyncClient
    ) -> None:
        """The customer stands in the body of the request, not in its path."""
        await customer(shop)
        await shop.register("cust_2", provider="omise", payment_method_id="card_1", metadata={"subscription": "ours-2"})
        await shop.faults({"on": "charge", "kind": "429", "subscription": "ours-1"})
        other = await charge(omise, customer="cust_2")
        own = await charge(omise)
        assert (other.status_code, own.status_code) == (200, 429)
        assert (own.json()["object"], own.json()["code"]) == ("error", "too_many_requests")

    async def test_a_limit_refuses_in_its_own_form(self, shop: Shop, omise: httpx.AsyncClient) -> None:
        await shop.control("configure", rate_limit_per_second=1)
        answers = await asyncio.gather(*(omise.get("/charges") for _ in range(5)))
        refused = [one for one in answers if one.status_code == 429]
        assert refused
        assert all(one.json()["object"] == "error" and "x-ratelimit-limit" not in one.headers for one in refused)

    async def test_an_outage_in_a_script_refuses_and_writes_nothing_down(
        self, shop: Shop, omise: httpx.AsyncClient
    ) -> None:
        await customer(shop, "OUTAGE/1h", "SUCCEEDED")
        at = datetime(2026, 3, 5, 13, tzinfo=UTC)
        refused = await charge(omise, metadata={"business_at": at.isoformat()})
        paid = await charge(omise, metadata={"business_at": (at + timedelta(hours=1)).isoformat()})
        assert (refused.status_code, paid.status_code) == (429, 200)
        assert len(await shop.book()) == 1

    async def test_young_charges_may_be_left_out_of_lists(self, shop: Shop, omise: httpx.AsyncClient) -> None:
        await customer(shop)
        await charge(omise)
        await shop.faults({"on": "lookup", "kind": "lookup_lag"})
        assert [(await omise.get("/charges")).json()["total"] for _ in range(2)] == [0, 1]


async def test_a_charge_whose_outcome_comes_later_is_told_twice(shop: Shop, omise: httpx.AsyncClient) -> None:
    await customer(shop, "PENDING/2h/INSUFFICIENT_FUNDS", "SUCCEEDED")
    charge_id = (await charge(omise, metadata={"business_at": "2026-03-05T13:00:00Z"})).json()["id"]
    headers = {"x-dunning-business-at": "2026-03-05T15:00:00Z"}
    assert (await omise.get(f"/charges/{charge_id}", headers=headers)).json()["failure_code"] == "insufficient_fund"
    told = (await omise.get("/events")).json()["data"]
    assert [(one["key"], one["data"]["status"]) for one in told] == [
        ("charge.create", "pending"),
        ("charge.complete", "failed"),
    ]
    assert (await omise.get(f"/charges/{charge_id}/events")).json()["total"] == 2


async def test_a_charge_that_nobody_confirmed_can_expire_but_a_paid_one_cannot(
    shop: Shop, omise: httpx.AsyncClient
) -> None:
    await customer(shop, "PENDING/2h/SUCCEEDED", "SUCCEEDED")
    waiting, paid = (await charge(omise)).json()["id"], (await charge(omise)).json()["id"]
    assert (await omise.post(f"/charges/{waiting}/expire")).json()["status"] == "expired"
    assert (await omise.post(f"/charges/{paid}/expire")).json()["code"] == "failed_expire"


async def test_the_shared_control_api_works_on_its_customers(shop: Shop, omise: httpx.AsyncClient) -> None:
    await customer(shop, "INSUFFICIENT_FUNDS")
    failed = (await charge(omise)).json()["id"]
    await shop.control("subscriptions/ours-1/late-success", payment_id=failed)
    assert (await omise.get(f"/charges/{failed}")).json()["status"] == "successful"
    await shop.control("subscriptions/cust_1/update-method", payment_method_id="card_2")
    assert (await omise.get("/customers/cust_1")).json()["default_card"] == "card_2"
    await shop.control("subscriptions/cust_1/status", status="cancelled")
    assert (await omise.get("/customers/cust_1")).status_code == 404
    keys = [one["key"] for one in (await omise.get("/events")).json()["data"]]
    assert keys == ["charge.create", "charge.complete", "customer.update", "customer.destroy"]


async def test_a_default_card_that_is_removed_gives_way_to_the_oldest_one_left(
    shop: Shop, omise: httpx.AsyncClient
) -> None:
    await customer(shop, methods=[{"payment_method_id": "card_2"}])
    assert (await omise.delete("/customers/cust_1/cards/card_1")).json()["deleted"] is True
    assert (await omise.get("/customers/cust_1")).json()["default_card"] == "card_2"
    await omise.delete("/customers/cust_1/cards/card_2")
    assert (await charge(omise, card=None)).json()["code"] == "missing_card"
