"""The sandbox as Xendit: its forms, what it refuses, its lists, and that it hides no double charge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dunning.sandbox import SandboxServer

pytestmark = pytest.mark.server
VERSION = {"api-version": "2024-11-11"}


class Shop:
    """A merchant's backend that speaks to Xendit, and the control API beside it."""

    def __init__(self, sandbox: SandboxServer, http: httpx.AsyncClient) -> None:
        self.sandbox = sandbox
        self.http = http

    async def control(self, path: str, body: Any) -> dict[str, Any]:
        answer = await self.http.post(f"/_sandbox/{path}", json=body)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def agree(self, *outcomes: str, network: str = "visa", token: str = "pt-1") -> None:
        methods = [{"payment_method_id": token, "network": network}]
        body = {"provider": "xendit", "subscription_id": token, "payment_method_id": token, "methods": methods}
        await self.control("subscriptions", {**body, "currency": "IDR", "script": list(outcomes)})

    async def post(self, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(
            f"/xendit{path}", json=body, headers={**VERSION, **named}, auth=("xnd_development_k", "")
        )

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.http.get(f"/xendit{path}", params=query, headers=VERSION, auth=("xnd_development_k", ""))

    async def charge(self, reference: str = "r-1", **changes: Any) -> httpx.Response:
        body = {
            "reference_id": reference,
            "type": "PAY",
            "payment_token_id": "pt-1",
            "country": "ID",
            "currency": "IDR",
            "request_amount": 1000,
            **changes,
        }
        return await self.post("/v3/payment_requests", body)

    async def book(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.http.get("/_sandbox/charges")).json()["charges"]
        return rows


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with (
        SandboxServer.start(hold_seconds=0.05) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, timeout=10) as http,
    ):
        yield Shop(sandbox, http)


async def test_a_recurring_card_payment_tells_how_often_and_until_when(shop: Shop) -> None:
    await shop.agree("SUCCEEDED")
    told = {"recurring_expiry": "2099-12-31", "recurring_frequency": 28}
    bare = await shop.charge("r-1", channel_properties={"card_on_file_type": "RECURRING"})
    assert (bare.status_code, bare.json()["error_code"]) == (400, "API_VALIDATION_ERROR")
    whole = {"card_on_file_type": "RECURRING", "recurring_configuration": told}
    assert (await shop.charge("r-1", channel_properties=whole)).status_code == 201
    assert len(await shop.book()) == 1


async def test_a_payment_is_made_in_the_answer_and_shows_the_published_fields(shop: Shop) -> None:
    await shop.agree("SUCCEEDED")
    answer = await shop.charge(description="Pro plan", metadata={"plan": "pro"})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["status"], made["request_amount"], made["currency"], made["channel_code"]) == (
        "SUCCEEDED",
        1000,
        "IDR",
        "CARDS",
    )
    assert (made["reference_id"], made["payment_token_id"], made["metadata"]) == ("r-1", "pt-1", {"plan": "pro"})
    assert (made["payment_request_id"][:3], made["latest_payment_id"][:3]) == ("pr-", "py-")
    assert (await shop.get(f"/v3/payment_requests/{made['payment_request_id']}")).json() == made
    payment = (await shop.get(f"/v3/payments/{made['latest_payment_id']}")).json()
    assert (payment["status"], payment["captures"][0]["capture_amount"]) == ("SUCCEEDED", 1000)
    assert payment["payment_request_id"] == made["payment_request_id"]
    (row,) = await shop.book()
    assert (row["amount"], row["currency"]) == (100_000, "IDR")


@pytest.mark.parametrize(
    ("word", "code", "told"),
    [
        ("INSUFFICIENT_FUNDS", "INSUFFICIENT_BALANCE", {"network_response_code": "51"}),
        ("INSUFFICIENT_BALANCE/wait=6d", "INSUFFICIENT_BALANCE", {"merchant_advice_code": "28"}),
        ("DO_NOT_HONOR", "DECLINED_BY_ISSUER", {"merchant_advice_code": "03"}),
        ("STOLEN_CARD", "STOLEN_CARD", {"network_response_code": "43"}),
        ("ISSUER_UNAVAILABLE", "ISSUER_UNAVAILABLE", {"network_response_code": "91"}),
    ],
)
async def test_a_decline_is_an_answer_too_and_only_the_payment_tells_the_advice(
    shop: Shop, word: str, code: str, told: dict[str, str]
) -> None:
    await shop.agree(word)
    made = (await shop.charge()).json()
    assert (made["status"], made["failure_code"]) == ("FAILED", code)
    assert "payment_details" not in made
    payment = (await shop.get(f"/v3/payments/{made['latest_payment_id']}")).json()
    assert told.items() <= payment["payment_details"]["authorization_data"].items()


async def test_for_cards_a_reference_is_unique_and_elsewhere_a_repeat_charges_twice(shop: Shop) -> None:
    await shop.agree()
    assert [(await shop.charge()).status_code for _ in range(2)] == [201, 409]
    await shop.agree(network="dana", token="pt-2")
    assert [(await shop.charge("r-2", payment_token_id="pt-2")).status_code for _ in range(2)] == [201, 201]
    assert [row["payment_method_id"] for row in await shop.book()] == ["pt-1", "pt-2", "pt-2"]


@pytest.mark.parametrize(
    "changes",
    [
        {"reference_id": ""},
        {"type": "PAY_AND_SAVE"},
        {"country": "US"},
        {"currency": "KWD"},
        {"request_amount": "1000"},
        {"request_amount": 10.5},
        {"request_amount": -1},
        {"payment_token_id": None},
        {"metadata": {"k": 1}},
        {"metadata": {"k": "x" * 501}},
        {"metadata": {f"k{n}": "" for n in range(51)}},
        {"description": "x" * 1001},
        {"channel_code": "OVO"},
    ],
)
async def test_a_request_that_breaks_the_contract_is_refused_in_its_form(shop: Shop, changes: dict[str, Any]) -> None:
    await shop.agree()
    answer = await shop.charge(**changes)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "API_VALIDATION_ERROR"
    assert set(answer.json()) == {"error_code", "message"}
    assert await shop.book() == []


async def test_unknown_things_wrong_keys_and_a_missing_version_are_refused(shop: Shop) -> None:
    await shop.agree()
    assert (await shop.charge(payment_token_id="pt-x")).json()["error_code"] == "DATA_NOT_FOUND"
    assert (await shop.get("/v3/payments/py-x")).status_code == 404
    path = "/xendit/v3/payment_tokens/pt-1"
    live = await shop.http.get(path, headers=VERSION, auth=("xnd_production_k", ""))
    assert (live.status_code, live.json()["error_code"]) == (401, "INVALID_API_KEY")
    reader = ("xnd_development_readonly", "")
    denied = await shop.http.post(f"{path}/cancel", headers=VERSION, auth=reader)
    assert (denied.status_code, denied.json()["error_code"]) == (403, "REQUEST_FORBIDDEN_ERROR")
    unversioned = await shop.http.get(path, auth=("xnd_development_k", ""))
    assert (unversioned.status_code, unversioned.json()["error_code"]) == (400, "API_VALIDATION_ERROR")


async def test_every_answer_tells_the_rate_and_a_limit_refuses_with_nothing_done(shop: Shop) -> None:
    await shop.agree()
    first, second = await shop.charge("r-1"), await shop.charge("r-2")
    for answer, left in ((first, "59"), (second, "58")):
        assert (answer.headers["rate-limit-limit"], answer.headers["rate-limit-remaining"]) == ("60", left)
        assert 0 < float(answer.headers["rate-limit-reset"]) <= 60
    await shop.control("faults", [{"kind": "429", "on": "charge"}])
    refused = await shop.charge("r-3")
    assert (refused.status_code, refused.json()["error_code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert float(refused.headers["rate-limit-reset"]) > 0
    assert len(await shop.book()) == 2


async def test_the_list_of_transactions_is_paged_newest_first_and_leaves_out_what_is_undecided(shop: Shop) -> None:
    await shop.agree("SUCCEEDED", "STOLEN_CARD", "PENDING/2h/SUCCEEDED")
    for number in range(3):
        await shop.charge(f"r-{number}")
    page = (await shop.get("/transactions", limit=1)).json()
    assert (page["has_more"], [row["reference_id"] for row in page["data"]]) == (True, ["r-1"])
    rest = (await shop.get("/transactions", limit=1, after_id=page["data"][0]["id"])).json()
    assert (rest["has_more"], [row["reference_id"] for row in rest["data"]]) == (False, ["r-0"])
    assert [row["status"] for row in (*page["data"], *rest["data"])] == ["FAILED", "SUCCESS"]
    only = (await shop.get("/transactions", reference_id="r-0")).json()["data"]
    assert [row["product_data"]["payment_request_id"] for row in only] == [(await shop.book())[0]["payment_id"]]
    assert (await shop.get("/transactions", reference_id="r-2")).json()["data"] == []
    later = {"created[gte]": "2999-01-01T00:00:00Z"}
    assert (await shop.get("/transactions", **later)).json()["data"] == []
    assert (await shop.get("/transactions", limit=51)).status_code == 400


async def test_a_lagging_list_leaves_young_payments_out(shop: Shop) -> None:
    await shop.agree()
    await shop.charge()
    await shop.control("faults", [{"kind": "lookup_lag", "on": "lookup"}])
    assert (await shop.get("/transactions", reference_id="r-1")).json()["data"] == []
    assert len((await shop.get("/transactions", reference_id="r-1")).json()["data"]) == 1


async def test_faults_written_for_one_subscription_fall_on_its_charges_alone(shop: Shop) -> None:
    await shop.agree()
    await shop.agree(token="pt-2")
    await shop.control("faults", [{"kind": "http_500", "on": "charge", "subscription": "pt-2"}])
    assert (await shop.charge("r-1")).status_code == 201
    failed = await shop.charge("r-2", payment_token_id="pt-2")
    assert (failed.status_code, failed.json()["error_code"]) == (500, "SERVER_ERROR")


CUSTOMER = {"reference_id": "ayu", "type": "INDIVIDUAL", "individual_detail": {"given_names": "Ayu"}}


async def test_customers_are_unique_by_reference_and_a_key_gives_the_first_answer(shop: Shop) -> None:
    first = (await shop.post("/customers", CUSTOMER, idempotency_key="k-1")).json()
    again = (await shop.post("/customers", CUSTOMER, idempotency_key="k-1")).json()
    assert (again, first["id"][:5]) == (first, "cust-")
    other = await shop.post("/customers", {**CUSTOMER, "email": "a@b.c"}, idempotency_key="k-1")
    assert (other.status_code, other.json()["error_code"]) == (409, "IDEMPOTENCY_ERROR")
    taken = await shop.post("/customers", CUSTOMER)
    assert (taken.status_code, taken.json()["error_code"]) == (409, "DUPLICATE_ERROR")
    listed = (await shop.get("/customers", reference_id="ayu")).json()
    assert ([row["id"] for row in listed["data"]], listed["has_more"]) == ([first["id"]], False)
    assert (await shop.get("/customers", reference_id="nobody")).json()["data"] == []


async def session(shop: Shop, **changes: Any) -> httpx.Response:
    customer = (await shop.post("/customers", CUSTOMER, idempotency_key="k-1")).json()["id"]
    body = {
        "reference_id": "s-1",
        "session_type": "SAVE",
        "mode": "PAYMENT_LINK",
        "amount": 0,
        "currency": "IDR",
        "country": "ID",
        "customer_id": customer,
        **changes,
    }
    return await shop.post("/sessions", body)


async def test_a_session_waits_for_its_customer_and_then_names_a_token_that_can_be_charged(shop: Shop) -> None:
    made = (await session(shop)).json()
    assert (made["status"], made["payment_token_id"], len(made["payment_session_id"])) == ("ACTIVE", None, 27)
    assert made["payment_link_url"].startswith(f"{shop.sandbox.url}/pay/")
    await shop.http.post(made["payment_link_url"], data={"answer": "approve"})
    done = (await shop.get(f"/sessions/{made['payment_session_id']}")).json()
    assert done["status"] == "COMPLETED"
    token = (await shop.get(f"/v3/payment_tokens/{done['payment_token_id']}")).json()
    assert (token["status"], token["country"], token["channel_code"]) == ("ACTIVE", "ID", "CARDS")
    assert (await shop.charge(payment_token_id=token["payment_token_id"])).status_code == 201


@pytest.mark.parametrize("changes", [{"country": "HK"}, {"currency": "JPY"}, {"amount": 1}, {"session_type": "PAY"}])
async def test_a_session_that_xendit_does_not_know_is_refused(shop: Shop, changes: dict[str, Any]) -> None:
    assert (await session(shop, **changes)).json()["error_code"] == "API_VALIDATION_ERROR"


async def test_a_session_that_is_too_old_is_expired(shop: Shop) -> None:
    made = (await session(shop, expires_at="2020-01-01T00:00:00Z")).json()
    assert (await shop.get(f"/sessions/{made['payment_session_id']}")).json()["status"] == "EXPIRED"


async def test_a_token_is_cancelled_once_and_charges_no_more(shop: Shop) -> None:
    await shop.agree()
    cancelled = await shop.post("/v3/payment_tokens/pt-1/cancel", {})
    assert cancelled.json()["status"] == "CANCELED"
    again = await shop.post("/v3/payment_tokens/pt-1/cancel", {})
    assert again.json()["error_code"] == "INELIGIBLE_TRANSACTION_STATUS"
    assert (await shop.charge()).json()["error_code"] == "INVALID_TOKEN"


async def test_an_undecided_request_can_be_cancelled_and_a_decided_one_not(shop: Shop) -> None:
    await shop.agree("PENDING/2h/SUCCEEDED", "SUCCEEDED")
    waiting, paid = (await shop.charge("r-1")).json(), (await shop.charge("r-2")).json()
    assert waiting["status"] == "PENDING"
    ended = await shop.post(f"/v3/payment_requests/{waiting['payment_request_id']}/cancel", {})
    assert ended.json()["status"] == "CANCELED"
    refused = await shop.post(f"/v3/payment_requests/{paid['payment_request_id']}/cancel", {})
    assert refused.json()["error_code"] == "INACTIVE_PAYMENT_REQUEST"
