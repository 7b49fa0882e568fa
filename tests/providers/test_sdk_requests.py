"""Our adapters ask what the providers' own SDKs ask for the same job: method, path, query, headers, body. SPEC 20.

One server writes down every request. The adapter does its jobs, then the SDK is given the adapter's own fields as
named arguments: a field or a query that the SDK does not know is an error there, and the two lists have to be equal.
`tests/sandbox` shows that the SDKs understand the sandbox's answers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dodopayments
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dunning.domain.first_price import FirstPrice
from dunning.providers.base import ProviderUnavailable, RefundRequest
from dunning.providers.dodo import DodoProvider
from dunning.providers.omise import OmiseProvider
from dunning.sandbox.serving import serving
from tests.builders import subscription
from tests.providers.omise.plan_rig import request as plan_request
from tests.providers.omise.rig import agreement
from tests.providers.ordering import asking, mandate_request, order

omise = pytest.importorskip("omise", reason="the provider's SDK is not installed")
pytestmark = pytest.mark.server
FIRST = FirstPrice(
    key="at_1", amount=100_000, currency="IDR", description="Pro plan", planned_at=datetime(2026, 3, 5, tzinfo=UTC)
)
NOW = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)
HEADERS = ("authorization", "content-type", "omise-version")


@dataclass(frozen=True)
class Asked:
    """One request, without what every client says in its own way."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Desk:
    """A server that writes requests down and gives one answer by path."""

    answers: dict[str, Any]
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    async def take(self, request: Request) -> Response:
        body = await request.body()
        headers = {name: request.headers[name] for name in HEADERS if name in request.headers}
        if not body:
            headers.pop("content-type", None)
        query = dict(request.query_params)
        content = (json.loads(body) or None) if body else None
        self.asked.append(Asked(request.method, request.url.path, query, headers, content))
        known = [name for name in self.answers if request.url.path.startswith(name)]
        return JSONResponse(self.answers[max(known, key=len)] if known else {})

    def take_over(self) -> list[Asked]:
        """What was asked so far; the list begins anew."""
        found, self.asked = self.asked, []
        return found


@asynccontextmanager
async def desk(answers: dict[str, Any]) -> AsyncIterator[Desk]:
    found = Desk(answers)
    methods = ["GET", "POST", "PATCH", "DELETE"]
    async with serving(Starlette(routes=[Route("/{path:path}", found.take, methods=methods)])) as url:
        found.url = url
        yield found


# --- Dodo -----------------------------------------------------------------------------------------

PAYMENT = {
    "payment_id": "pay_1", "status": "succeeded", "total_amount": 100_000, "currency": "IDR",
    "subscription_id": "sub_1", "refunds": [{"refund_id": "rfd_1"}], "metadata": {},
}  # fmt: skip
REFUND = {"refund_id": "rfd_1", "payment_id": "pay_1", "status": "succeeded", "amount": 1, "currency": "IDR"}
DODO = {
    "/subscriptions": {"subscription_id": "sub_1", "status": "active", "product_id": "pdt_1", "payment_id": "pay_1",
                       "customer": {"customer_id": "cus_1"}},
    "/checkouts": {"session_id": "cks_1", "checkout_url": "https://example.com/pay", "payment_id": "pay_1"},
    "/payments": PAYMENT,
    "/payments?": {"items": []},
    "/refunds": REFUND,
    "/customers/": {"link": "https://example.com/portal"},
    "/webhooks": {"data": [{"id": "ep_1", "url": "https://example.com/hook"}], "done": True},
    "/webhooks/ep_1/secret": {"secret": "whsec_AAAA"},
}  # fmt: skip


async def ask_as_dodos_adapter(url: str) -> None:
    provider = DodoProvider(SecretStr("dodo_test_key"), is_test=True, base_url=url)
    await provider.create_mandate(mandate_request())
    options = {"country": "ID", "product_id": "pdt_1", "use_subscriptions_endpoint": True}
    older = subscription(id="ours-1", payment_methods=[], provider_options=options)
    await provider.create_mandate(mandate_request(older))
    for request in (mandate_request(), mandate_request(older)):
        await provider.create_mandate(request.but(first=FIRST))
    await provider.read_mandate("sub_1")
    await provider.read_mandate("cks_1")
    await provider.charge(order("sub_1"))
    await provider.find_payment(asking("sub_1", payment_id="pay_1"))
    await provider.find_payment(asking("sub_1", since=NOW))
    await provider.change_method("sub_1", "pm_2")
    await provider.change_method("sub_1", None)
    await provider.refund(RefundRequest(payment_id="pay_1", key="rf_1", amount=4_000, currency="IDR"))
    await provider.find_refund("pay_1", "rf_1")
    await provider.portal_link("sub_1", return_url="https://example.com/back")
    assert [one.url for one in await provider.endpoints()] == ["https://example.com/hook"]
    await provider.end_mandate("sub_1", reason="canceled")
    await provider.aclose()


async def ask_as_dodos_sdk(url: str, ours: list[Asked]) -> None:
    """The same jobs in the same order, each by the SDK's own method."""
    sdk: Any = dodopayments.AsyncDodoPayments(bearer_token="dodo_test_key", base_url=url, max_retries=0)
    jobs = {
        ("POST", "checkouts"): lambda named: sdk.checkout_sessions.create(**named),
        ("GET", "checkouts", "*"): lambda named, own: sdk.checkout_sessions.retrieve(own),
        ("POST", "subscriptions"): lambda named: sdk.subscriptions.create(**named),
        ("GET", "subscriptions", "*"): lambda named, own: sdk.subscriptions.retrieve(own),
        ("POST", "subscriptions", "*", "charge"): lambda named, own: sdk.subscriptions.charge(own, **named),
        ("POST", "subscriptions", "*", "update-payment-method"): lambda named, own: (
            sdk.subscriptions.update_payment_method(own, payment_method=named)
        ),
        ("PATCH", "subscriptions", "*"): lambda named, own: sdk.subscriptions.update(own, **named),
        ("GET", "payments"): lambda named: sdk.payments.list(**named),
        ("GET", "payments", "*"): lambda named, own: sdk.payments.retrieve(own),
        ("POST", "refunds"): lambda named: sdk.refunds.create(**named),
        ("GET", "refunds", "*"): lambda named, own: sdk.refunds.retrieve(own),
        ("GET", "webhooks"): lambda named: sdk.webhooks.list(**named),
        ("GET", "webhooks", "*", "secret"): lambda named, own: sdk.webhooks.retrieve_secret(own),
        ("POST", "customers", "*", "customer-portal", "session"): lambda named, own: (
            sdk.customers.customer_portal.create(own, **named)
        ),
    }
    for one in ours:
        parts = one.path.strip("/").split("/")
        job: Any = jobs[one.method, parts[0], *("*" if place == 0 else part for place, part in enumerate(parts[1:]))]
        await job({**one.query, **(one.body or {})}, *parts[1:2])
    await sdk.close()


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
async def test_dodos_adapter_asks_what_its_sdk_asks() -> None:
    async with desk(DODO) as there:
        await ask_as_dodos_adapter(there.url)
        ours = there.take_over()
        await ask_as_dodos_sdk(there.url, ours)
        theirs = there.take_over()
    assert [one.path for one in ours] == [one.path for one in theirs]
    assert ours == theirs
    jobs = {(one.method, one.path.strip("/").split("/")[0]) for one in ours}
    assert jobs >= {("POST", "checkouts"), ("POST", "subscriptions"), ("POST", "refunds"), ("GET", "payments")}


# --- Omise ----------------------------------------------------------------------------------------

CARD = {"object": "card", "id": "card_1", "expiration_month": 12, "expiration_year": 2099}
LISTED = {"object": "list", "data": [], "limit": 20, "offset": 0, "total": 0}
CHARGE = {"object": "charge", "id": "chrg_1", "status": "successful", "amount": 1, "currency": "thb", "metadata": {}}
OMISE = {
    "/customers": {"object": "customer", "id": "cust_1", "default_card": "card_1", "metadata": {},
                   "cards": {"object": "list", "data": [CARD]}},
    "/customers/cust_1/cards/card_1": CARD,
    "/charges": LISTED,
    "/charges/chrg_1": CHARGE,
    "/charges/chrg_1/refunds": {"object": "refund", "id": "rfnd_1", "amount": 1, "currency": "thb", "metadata": {}},
    "/charges/chrg_2/refunds": LISTED,
    "/customers/cust_1/cards": LISTED,
    "/customers/cust_1/schedules": LISTED,
    "/schedules": {"object": "schedule", "id": "schd_1", "status": "running",
                   "charge": {"amount": 1, "currency": "thb", "customer": "cust_1", "card": "card_1"}},
    "/schedules/schd_1/occurrences": LISTED,
    "/events": LISTED,
}  # fmt: skip


async def ask_as_omises_adapter(url: str) -> None:
    provider = OmiseProvider(SecretStr("skey_test_key"), is_test=True, base_url=url)
    await provider.create_mandate(mandate_request(agreement(card_token="tokn_test_1")))
    await provider.read_mandate("cust_1")
    await provider.charge(order("cust_1", currency="THB", method_token="card_1"))
    await provider.find_payment(asking("cust_1", currency="THB", payment_id="chrg_1"))
    await provider.refund(RefundRequest(payment_id="chrg_1", key="rf_1", amount=400, currency="THB"))
    await provider.find_payment(asking("cust_1", currency="THB", since=NOW))
    await provider.find_refund("chrg_2", "rf_1")
    await provider.messages_since(NOW)
    await provider.change_method("cust_1", "card_2")
    with suppress(ProviderUnavailable):  # this desk shows no new card
        await provider.change_method("cust_1", "tokn_test_2")
    await ask_for_schedules(provider)
    await provider.end_mandate("cust_1", reason="canceled")
    await provider.aclose()


async def ask_for_schedules(provider: OmiseProvider) -> None:
    asked = plan_request("cust_1", method_tokens=("card_1",))
    made = await provider.create_plan(asked)
    await provider.find_plans(asked, since=NOW)
    await provider.read_plan(made.plan_id, business_at=NOW)
    await provider.end_plan(made.plan_id, business_at=NOW, reason="canceled")


Job = Callable[[dict[str, Any], list[str]], Any]
JOBS: dict[tuple[str, ...], Job] = {
    ("POST", "customers"): lambda named, ids: omise.Customer.create(**named),
    ("GET", "customers", "*"): lambda named, ids: omise.Customer.retrieve(*ids),
    ("PATCH", "customers", "*"): lambda named, ids: _known(omise.Customer, *ids).update(**named),
    ("GET", "customers", "*", "cards", "*"): lambda named, ids: omise.Card.retrieve(*ids),
    ("POST", "charges"): lambda named, ids: omise.Charge.create(**named),
    ("GET", "charges", "*"): lambda named, ids: omise.Charge.retrieve(*ids),
    ("POST", "charges", "*", "refunds"): lambda named, ids: _known(omise.Charge, *ids).refund(**named),
    ("POST", "schedules"): lambda named, ids: omise.Schedule.create(**named),
    ("GET", "schedules", "*"): lambda named, ids: omise.Schedule.retrieve(*ids),
    ("DELETE", "schedules", "*"): lambda named, ids: _known(omise.Schedule, *ids).destroy(),
    ("GET", "schedules", "*", "occurrences"): lambda named, ids: _known(omise.Schedule, *ids).occurrence(),
}
LISTS: dict[tuple[str, ...], Callable[[list[str]], Any]] = {
    ("customers", "*", "cards"): lambda ids: _known(omise.Customer, *ids).list_cards(),
    ("customers", "*", "schedules"): lambda ids: _known(omise.Customer, *ids).list_schedules(),
    ("charges",): lambda ids: omise.Charge.list(),
    ("charges", "*", "refunds"): lambda ids: _known(omise.Charge, *ids).list_refunds(),
    ("events",): lambda ids: omise.Event.list(),
}
"""Lists as the SDK pages them. Their limits travel in a body, where the adapter's are a query."""


def ask_as_omises_sdk(ours: list[Asked]) -> None:
    """The same jobs in the same order."""
    for one in ours:
        parts = one.path.strip("/").split("/")
        form, ids = tuple("*" if n % 2 else part for n, part in enumerate(parts)), parts[1::2]
        if form not in LISTS or one.method != "GET":
            JOBS[one.method, *form](one.body or {}, ids)
            continue
        listed = LISTS[form](ids)
        listed.fromDate, listed.toDate = one.query.get("from"), one.query.get("to")
        listed.offset(limit=one.query["limit"], offset=one.query["offset"], order=one.query.get("order"))


def _is_read_again(one: Asked, before: Asked | None) -> bool:
    return one.method == "GET" and before is not None and before.path == f"{one.path}/refunds"


def _wanted(one: Asked) -> dict[str, Any]:
    """What a request asks for, wherever it says so; this SDK asks for all occurrences at once."""
    if one.path.endswith("/occurrences"):
        return {}
    given = {name: str(value) for name, value in one.query.items()}
    said = (one.body or {}).items()
    return given | {name: str(value) if one.method == "GET" else value for name, value in said if value is not None}


def _known(kind: Any, own: str) -> Any:
    """An object of the SDK's that was not read first: reading would be a request of its own."""
    names = {omise.Customer: "customers", omise.Charge: "charges", omise.Schedule: "schedules"}
    return kind.from_data({"object": kind.__name__.lower(), "id": own, "location": f"/{names[kind]}/{own}"})


async def test_omises_adapter_asks_what_its_sdk_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(OMISE) as there:
        await ask_as_omises_adapter(there.url)
        ours = there.take_over()
        version = next(one.headers["omise-version"] for one in ours)
        monkeypatch.setattr(omise, "api_main", f"{there.url}/")
        monkeypatch.setattr(omise, "api_secret", "skey_test_key")
        monkeypatch.setattr(omise, "api_version", version)
        await asyncio.to_thread(ask_as_omises_sdk, ours)
        # After a refund this SDK reads the charge again by itself.
        asked = there.take_over()
        theirs = [
            one for one, before in zip(asked, [None, *asked[:-1]], strict=True) if not _is_read_again(one, before)
        ]
    assert [(one.method, one.path) for one in ours] == [(one.method, one.path) for one in theirs]
    assert [_wanted(one) for one in ours] == [_wanted(one) for one in theirs]
    assert [one.headers["authorization"] for one in ours] == [one.headers["authorization"] for one in theirs]
    assert {one.headers["omise-version"] for one in theirs} == {version}
    assert {one.path.split("/")[-1] for one in ours} >= {"cards", "schedules", "occurrences", "events", "refunds"}
