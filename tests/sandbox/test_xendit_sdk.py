"""Xendit's own SDK as a client: it understands the sandbox, and asks for the same things as our adapter. SPEC 20.

It reaches customers, refunds and the list of transactions; nothing official speaks the current payment requests.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dunning.domain.terms import Subscription
from dunning.providers.base import RefundRequest
from dunning.providers.xendit import XenditProvider
from dunning.providers.xendit_customers import customer_of
from dunning.sandbox import SandboxServer
from dunning.sandbox.book import Customer, machine_now
from dunning.sandbox.serving import serving
from dunning.sandbox.xendit_views import customer_view
from tests.builders import subscription_data
from tests.providers.ordering import asking, mandate_request, order

xendit = pytest.importorskip("xendit", reason="the provider's SDK is not installed")
pytestmark = pytest.mark.server
KEY = SecretStr("xnd_development_key")
HEADERS = ("authorization", "idempotency-key", "content-type")


def sdk_of(url: str) -> Any:
    """A client of the SDK's that leads to this server."""
    from xendit.apis import CustomerApi, RefundApi, TransactionApi

    config = xendit.Configuration(host=url)
    config.api_key = KEY.get_secret_value()
    client = xendit.ApiClient(configuration=config)
    return CustomerApi(client), RefundApi(client), TransactionApi(client)


@pytest.fixture
async def sandbox() -> AsyncIterator[SandboxServer]:
    async with SandboxServer.start() as server, httpx.AsyncClient(base_url=server.url) as http:
        body = {"provider": "xendit", "subscription_id": "pm_1", "payment_method_id": "pm_1", "currency": "IDR"}
        (await http.post("/_sandbox/subscriptions", json=body)).raise_for_status()
        yield server


async def test_customers_refunds_and_transactions_through_the_sdk(sandbox: SandboxServer) -> None:
    provider = XenditProvider(KEY, is_test=True, base_url=f"{sandbox.url}/xendit")
    answer = await provider.charge(order("pm_1", key="at_1"))
    assert answer.payment is not None
    paid = answer.payment.payment_id

    def story() -> None:
        from xendit.customer.model import CustomerRequest, IndividualDetail
        from xendit.refund.model import CreateRefund

        customers, refunds, transactions = sdk_of(f"{sandbox.url}/xendit")
        asked = CustomerRequest(
            reference_id="ayu", type="INDIVIDUAL", individual_detail=IndividualDetail(given_names="Ayu")
        )
        made = customers.create_customer(idempotency_key="k-1", customer_request=asked)
        assert made.id.startswith("cust-")
        assert customers.get_customer(made.id).reference_id == "ayu"
        assert [one.id for one in customers.get_customer_by_reference_id("ayu").data] == [made.id]
        row = transactions.get_all_transactions(reference_id="at_1").data[0]
        assert (row.reference_id, row.amount, row.currency.value) == ("at_1", 1000, "IDR")
        part = CreateRefund(payment_request_id=paid, amount=400.0, currency="IDR", reason="REQUESTED_BY_CUSTOMER")
        given = refunds.create_refund(idempotency_key="k-2", create_refund=part)
        assert (given.payment_request_id, given.amount) == (paid, 400)
        assert refunds.create_refund(idempotency_key="k-2", create_refund=part).id == given.id
        with pytest.raises(xendit.XenditSdkException) as caught:
            customers.create_customer(idempotency_key="k-3", customer_request=asked)
        assert caught.value.errorCode == "DUPLICATE_ERROR"

    await asyncio.to_thread(story)
    await provider.aclose()


async def test_our_adapter_asks_what_the_sdk_asks_for_the_same_job() -> None:
    seen: list[tuple[str, str, dict[str, str], dict[str, str], Any]] = []

    async def take(request: Request) -> Response:
        body = await request.body()
        headers = {name: request.headers[name] for name in HEADERS if name in request.headers}
        content = json.loads(body) if body else None
        seen.append((request.method, request.url.path, dict(request.query_params), headers, content))
        if request.url.path == "/transactions":
            return JSONResponse({"has_more": False, "data": [], "links": []})
        if request.url.path == "/customers":
            return JSONResponse(customer_view(Customer("cust-1"), "cust-1", machine_now()))
        refund = {"id": "rfd-1", "payment_request_id": "pr-1", "amount": 4, "currency": "IDR", "status": "SUCCEEDED"}
        return JSONResponse(refund)

    async with serving(Starlette(routes=[Route("/{path:path}", take, methods=["GET", "POST"])])) as url:
        provider = XenditProvider(KEY, is_test=True, base_url=url)
        given = Subscription.model_validate(
            subscription_data(id="ours-1", provider="xendit", payment_methods=[], provider_options={})
        )
        await provider.find_payment(asking("pm_1", key="at_1"))
        await provider.refund(RefundRequest(payment_id="pr-1", key="rf_1", amount=400, currency="IDR"))
        asked = mandate_request(given)
        await customer_of(provider._client, asked.account, asked.contacts)
        await provider.aclose()
        ours = list(seen)
        seen.clear()
        await asyncio.to_thread(_as_the_sdk, url, ours)
    assert len(ours) == len(seen) == 3
    for mine, theirs in zip(ours, seen, strict=True):
        assert mine[:2] == theirs[:2]
        assert mine[3] == theirs[3]
        assert mine[4] == theirs[4]
    assert ours[0][2]["reference_id"] == seen[0][2]["reference_id"]
    assert set(ours[0][2]) <= {"reference_id", "types", "created[gte]", "limit"}


def _as_the_sdk(url: str, ours: list[tuple[str, str, dict[str, str], dict[str, str], Any]]) -> None:
    """The same three jobs, with the keys that the adapter derived."""
    from xendit.customer.model import CustomerRequest, IndividualDetail
    from xendit.refund.model import CreateRefund

    customers, refunds, transactions = sdk_of(url)
    transactions.get_all_transactions(reference_id="at_1", limit=50.0)
    wanted = CreateRefund(
        payment_request_id="pr-1",
        reference_id="rf_1",
        amount=4.0,
        currency="IDR",
        reason="REQUESTED_BY_CUSTOMER",
        metadata={"dunning_key": "rf_1"},
    )
    refunds.create_refund(idempotency_key="rf_1", create_refund=wanted)
    asked = CustomerRequest(
        reference_id="cust-1",
        type="INDIVIDUAL",
        individual_detail=IndividualDetail(given_names="Ayu"),
        email="ayu@example.com",
        mobile_number="+6281234567890",
    )
    customers.create_customer(idempotency_key=ours[2][3]["idempotency-key"], customer_request=asked)
