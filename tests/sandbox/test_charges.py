"""Charging by Dodo's contract: acceptance, outcome, refusals, no idempotency. Sheet D.3, D.4.3, D.8."""

from __future__ import annotations

import httpx
import pytest

from dunning.sandbox import SandboxServer

from .conftest import Shop

pytestmark = pytest.mark.server


async def test_a_charge_answers_only_its_payment_id_and_the_outcome_comes_later(shop: Shop) -> None:
    shop.sandbox.state.settings = shop.sandbox.state.settings.model_copy(update={"settle_seconds": 0.3})
    await shop.register(payment_method_id="pm_1")
    answer = await shop.charge(dunning_key="k1")
    assert answer.json().keys() == {"payment_id"}
    early = await shop.payment(answer.json()["payment_id"])
    assert (early["status"], early["error_code"]) == ("processing", None)
    await shop.quiet()
    late = await shop.payment(answer.json()["payment_id"])
    assert (late["status"], late["total_amount"], late["currency"]) == ("succeeded", 1000, "USD")
    assert (late["charge_type"], late["payment_method_id"], late["retry_attempt"]) == ("on_demand", "pm_1", 0)
    assert late["metadata"] == {"dunning_key": "k1"}


async def test_two_posts_with_one_key_make_two_charges_and_the_book_shows_both(shop: Shop) -> None:
    await shop.register()
    first = await shop.settled(dunning_key="same", obligation="cycle-1")
    second = await shop.settled(dunning_key="same", obligation="cycle-1")
    assert first["payment_id"] != second["payment_id"]
    rows = await shop.book(subscription="ours-1")
    assert [(row["key"], row["status"], row["amount"]) for row in rows] == [("same", "succeeded", 1000)] * 2
    assert {row["payment_id"] for row in rows} == {first["payment_id"], second["payment_id"]}


async def test_a_charge_is_refused_while_the_previous_one_is_not_settled(shop: Shop) -> None:
    await shop.register(script=["PENDING/2h/SUCCEEDED"])
    assert (await shop.charge(business_at="2026-03-05T13:10:00Z")).status_code == 200
    refused = await shop.charge(business_at="2026-03-05T14:10:00Z")
    assert (refused.status_code, refused.json()["code"]) == (409, "PREVIOUS_PAYMENT_PENDING")
    assert len(await shop.book()) == 1


async def test_scripted_outcomes_come_in_order_and_then_everything_succeeds(shop: Shop) -> None:
    await shop.register(script=["INSUFFICIENT_FUNDS", "LIMIT_EXCEEDED/wait=10d", "SUCCEEDED"])
    payments = [await shop.settled(dunning_key=f"k{number}") for number in range(4)]
    assert [one["error_code"] for one in payments] == ["INSUFFICIENT_FUNDS", "LIMIT_EXCEEDED", None, None]
    assert [one["status"] for one in payments] == ["failed", "failed", "succeeded", "succeeded"]
    assert [one.get("retry_after_seconds") for one in payments] == [None, 864_000, None, None]


async def test_a_key_sent_again_charges_again_but_uses_up_no_word_of_the_script(shop: Shop) -> None:
    await shop.register(script=["INSUFFICIENT_FUNDS", "DO_NOT_HONOR"])
    codes = [(await shop.settled(dunning_key=key))["error_code"] for key in ("a", "a", "b")]
    assert codes == ["INSUFFICIENT_FUNDS", "INSUFFICIENT_FUNDS", "DO_NOT_HONOR"]
    assert len(await shop.book()) == 3


async def test_metadata_left_out_means_the_subscription_s_own(shop: Shop) -> None:
    await shop.register(metadata={"subscription": "ours-1", "plan": "gold"})
    answer = await shop.client.post("/subscriptions/sub_1/charge", json={"product_price": 900})
    assert (await shop.payment(answer.json()["payment_id"]))["metadata"] == {
        "subscription": "ours-1",
        "plan": "gold",
    }


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "INVALID_REQUEST_BODY"),
        ({"product_price": "1000"}, 422, "INVALID_REQUEST_BODY"),
        ({"product_price": 10.5}, 422, "INVALID_REQUEST_BODY"),
        ({"product_price": -1}, 422, "INVALID_REQUEST_BODY"),
        ({"product_price": 2**31}, 422, "INVALID_REQUEST_BODY"),
        ({"product_price": 49}, 422, "TOTAL_PAYMENT_AMOUNT_BELOW_MINIMUM_AMOUNT"),
        ({"product_price": 1000, "product_currency": "XXX"}, 422, "UNSUPPORTED_CURRENCY"),
        ({"product_price": 1000, "metadata": {str(n): n for n in range(51)}}, 422, "MAXIMUM_KEYS_REACHED"),
        ({"product_price": 1000, "metadata": {"nested": {}}}, 422, "INVALID_REQUEST_BODY"),
    ],
)
async def test_a_bad_charge_request_is_refused_and_charges_nothing(
    shop: Shop, body: dict[str, object], status: int, code: str
) -> None:
    await shop.register(script=["DO_NOT_HONOR"])
    answer = await shop.client.post("/subscriptions/sub_1/charge", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json().keys() == {"code", "message"}
    assert await shop.book() == []
    assert (await shop.settled())["error_code"] == "DO_NOT_HONOR", "a refused request uses up no word"


async def test_a_body_that_is_not_json_is_refused(shop: Shop) -> None:
    await shop.register()
    answer = await shop.client.post("/subscriptions/sub_1/charge", content=b"{")
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_REQUEST_BODY")


@pytest.mark.parametrize("status", ["pending", "on_hold", "paused", "cancelled", "failed", "past_due"])
async def test_only_an_active_subscription_can_be_charged(shop: Shop, status: str) -> None:
    await shop.register(status=status)
    answer = await shop.charge()
    assert (answer.status_code, answer.json()["code"]) == (409, "SUBSCRIPTION_INACTIVE")
    assert await shop.book() == []


async def test_the_other_preconditions_of_a_charge_have_codes_of_their_own(shop: Shop) -> None:
    await shop.register("sub_expired", status="expired")
    await shop.register("sub_plain", on_demand=False)
    await shop.register("sub_leaving")
    await shop.client.patch("/subscriptions/sub_leaving", json={"cancel_at_next_billing_date": True})
    codes = [(await shop.charge(name)).json()["code"] for name in ("sub_expired", "sub_plain", "sub_leaving", "no")]
    assert codes == [
        "SUBSCRIPTION_EXPIRED",
        "SUBSCRIPTION_NOT_ON_DEMAND",
        "CHARGE_NOT_ALLOWED_FOR_SCHEDULED_CANCELLATION",
        "NOT_FOUND",
    ]


@pytest.mark.parametrize(
    "key", [None, "Bearer dodo_live_key", "Bearer nonsense", "dodo_test_key", "Basic dodo_test_key"]
)
async def test_only_test_keys_are_accepted(sandbox: SandboxServer, shop: Shop, key: str | None) -> None:
    await shop.register()
    headers = {} if key is None else {"authorization": key}
    async with httpx.AsyncClient(base_url=sandbox.url, headers=headers) as stranger:
        charge = await stranger.post("/subscriptions/sub_1/charge", json={"product_price": 1000})
        listing = await stranger.get("/payments")
    assert [charge.status_code, listing.status_code] == [401, 401]
    assert charge.json()["code"] == "UNAUTHORIZED"
    assert await shop.book() == []


async def test_a_read_only_key_may_read_but_not_charge(sandbox: SandboxServer, shop: Shop) -> None:
    await shop.register()
    async with httpx.AsyncClient(
        base_url=sandbox.url, headers={"authorization": "Bearer dodo_test_readonly_1"}
    ) as reader:
        assert (await reader.get("/subscriptions/sub_1")).status_code == 200
        refused = await reader.post("/subscriptions/sub_1/charge", json={"product_price": 1000})
    assert (refused.status_code, refused.json()["code"]) == (403, "UNAUTHORIZED")
    assert await shop.book() == []


async def test_an_amount_over_the_mandate_is_declined_without_using_the_script(shop: Shop) -> None:
    await shop.register(mandate_limit=5000, script=["DO_NOT_HONOR"])
    assert (await shop.settled(amount=5001, dunning_key="a"))["error_code"] == "MANDATE_INVALID"
    assert (await shop.settled(amount=5000, dunning_key="b"))["error_code"] == "DO_NOT_HONOR"


async def test_every_answer_carries_the_rate_limit_headers(shop: Shop) -> None:
    await shop.register()
    for answer in (await shop.charge(), await shop.client.get("/payments"), await shop.charge("nobody")):
        assert answer.headers["x-ratelimit-limit"] == "40"
        assert 0 <= int(answer.headers["x-ratelimit-remaining"]) < 40
        assert answer.headers["x-ratelimit-reset"] == "1"


async def test_over_the_rate_limit_nothing_is_charged(shop: Shop) -> None:
    await shop.register()
    await shop.control("configure", rate_limit_per_second=1)
    answers = [await shop.charge(dunning_key=f"k{number}") for number in range(8)]
    refused = [one for one in answers if one.status_code == 429]
    assert refused, "eight requests cannot all fall into seconds of their own"
    assert refused[0].json()["code"] == "TOO_MANY_REQUESTS"
    assert len(await shop.book()) == sum(one.status_code == 200 for one in answers)


async def test_the_charge_book_tells_what_the_metadata_said(shop: Shop) -> None:
    await shop.register()
    await shop.settled(
        amount=700,
        dunning_key="k1",
        subscription="ours-1",
        obligation="cycle-1",
        retry_attempt=2,
        planned_at="2026-03-08T13:10:00Z",
        business_at="2026-03-08T13:10:02Z",
    )
    (row,) = await shop.book(subscription="sub_1")
    wanted = (
        "key",
        "subscription",
        "subscription_id",
        "obligation",
        "amount",
        "retry_attempt",
        "planned_at",
        "business_at",
    )
    assert [row[name] for name in wanted] == [
        "k1",
        "ours-1",
        "sub_1",
        "cycle-1",
        700,
        2,
        "2026-03-08T13:10:00Z",
        "2026-03-08T13:10:02Z",
    ]
    assert await shop.book(subscription="somebody-else") == []
