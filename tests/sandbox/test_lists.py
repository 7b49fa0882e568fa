"""Lists: filters, pages, and what a row tells. Sheet D.4.4, D.4.6."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from .conftest import Shop

pytestmark = pytest.mark.server


async def test_payments_are_filtered_by_each_field_and_by_all_together(shop: Shop) -> None:
    await shop.register("sub_1", customer_id="cus_1", script=["DO_NOT_HONOR"])
    await shop.register("sub_2", customer_id="cus_2", currency="IDR", metadata={"subscription": "ours-2"})
    failed = (await shop.settled("sub_1"))["payment_id"]
    paid = (await shop.settled("sub_1", dunning_key="k2"))["payment_id"]
    other = (await shop.settled("sub_2"))["payment_id"]

    async def found(**query: str) -> list[str]:
        return [row["payment_id"] for row in await shop.listed(**query)]

    assert await found() == [other, paid, failed], "the newest comes first"
    assert await found(subscription_id="sub_1") == [paid, failed]
    assert await found(customer_id="cus_2") == [other]
    assert await found(status="failed") == [failed]
    assert await found(currency="IDR") == [other]
    assert await found(product_id="pdt_sandbox", status="succeeded", subscription_id="sub_1") == [paid]
    assert await found(subscription_id="sub_1", currency="IDR") == []
    assert await found(subscription_id="nobody") == []
    assert await found(brand_id="bnd_other") == []


async def test_payments_are_filtered_by_the_instant_of_their_making_both_ends_counting(shop: Shop) -> None:
    await shop.register()
    payment = await shop.settled()
    made = datetime.fromisoformat(payment["created_at"])
    assert made.utcoffset() == timedelta(0)

    async def found(**query: datetime) -> int:
        return len(await shop.listed(**{name: value.isoformat() for name, value in query.items()}))

    moment = timedelta(microseconds=1)
    assert await found(created_at_gte=made) == 1
    assert await found(created_at_gte=made + moment) == 0
    assert await found(created_at_lte=made) == 1
    assert await found(created_at_lte=made - moment) == 0
    assert await found(created_at_gte=made - moment, created_at_lte=made + moment) == 1


async def test_pages_count_from_zero_and_hold_ten_unless_asked(shop: Shop) -> None:
    await shop.register()
    await shop.control("configure", settle_seconds=0)
    made = [(await shop.charge(dunning_key=f"k{number}")).json()["payment_id"] for number in range(12)]
    newest_first = made[::-1]

    async def page(**query: int) -> list[str]:
        return [row["payment_id"] for row in await shop.listed(subscription_id="sub_1", **query)]

    assert await page() == newest_first[:10]
    assert await page(page_number=1) == newest_first[10:]
    assert await page(page_number=2, page_size=5) == newest_first[10:]
    assert await page(page_size=100) == newest_first
    assert await page(page_number=9) == []


@pytest.mark.parametrize(
    "query",
    [
        {"page_size": "101"},
        {"page_size": "0"},
        {"page_number": "-1"},
        {"created_at_gte": "2026-03-05T13:10:00"},
    ],
)
async def test_a_bad_query_is_refused(shop: Shop, query: dict[str, str]) -> None:
    answer = await shop.client.get("/payments", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_QUERY_PARAMS")


async def test_a_row_tells_status_and_metadata_but_the_decline_only_in_the_payment_itself(shop: Shop) -> None:
    await shop.register(script=["DO_NOT_HONOR"])
    payment = await shop.settled(dunning_key="k1")
    (row,) = await shop.listed(subscription_id="sub_1")
    assert (row["status"], row["metadata"], "error_code" in row) == ("failed", {"dunning_key": "k1"}, False)
    assert payment["error_code"] == "DO_NOT_HONOR"


async def test_subscriptions_are_listed_by_status_and_customer(shop: Shop) -> None:
    await shop.register("sub_1", customer_id="cus_1")
    await shop.register("sub_2", customer_id="cus_1", status="on_hold", metadata={"subscription": "ours-2"})
    await shop.register("sub_3", customer_id="cus_2", metadata={"subscription": "ours-3"})

    async def found(**query: str) -> list[str]:
        items = (await shop.client.get("/subscriptions", params=query)).json()["items"]
        return [one["subscription_id"] for one in items]

    assert await found() == ["sub_3", "sub_2", "sub_1"]
    assert await found(customer_id="cus_1", status="active") == ["sub_1"]
    assert await found(status="cancelled") == []


@pytest.mark.parametrize(
    "path", ["/payments/no", "/subscriptions/no", "/customers/no/payment-methods", "/checkouts/no", "/no"]
)
async def test_what_does_not_exist_is_not_found(shop: Shop, path: str) -> None:
    answer = await shop.client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


async def test_a_method_that_a_route_does_not_have_is_refused_in_the_provider_s_form(shop: Shop) -> None:
    answer = await shop.client.delete("/payments")
    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
