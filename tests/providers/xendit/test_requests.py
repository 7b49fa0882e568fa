"""What we send to Xendit, whole: method, path, the headers that matter and the body, against the sheet's contract."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dunning.providers.base import AnswerKind, ProviderRefused, RefundRequest
from dunning.providers.xendit import XenditProvider
from dunning.providers.xendit_requests import country_of, major
from dunning.sandbox.serving import serving
from tests.providers.ordering import asking, mandate_request, order
from tests.providers.xendit.rig import KEY, agreement

pytestmark = pytest.mark.server

KEY_OF_ATTEMPT = "at_" + "a" * 40
CARD = {"payment_token_id": "pt-1", "status": "ACTIVE", "country": "ID", "channel_code": "CARDS"}
WALLET = {"payment_token_id": "pt-1", "status": "ACTIVE", "country": "PH", "channel_code": "GCASH"}
PAID = {"payment_request_id": "pr-1", "status": "SUCCEEDED", "request_amount": 1000, "currency": "IDR"}
AUTHORIZATION = "Basic " + base64.b64encode(b"xnd_development_key:").decode()


@dataclass
class Recorder:
    """A Xendit that gives prepared answers and keeps what it was asked."""

    answers: Mapping[str, Any]
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        body = await request.body()
        self.asked.append((request.method, request.url.path, json.loads(body) if body else None))
        self.headers.append(dict(request.headers))
        answer = self.answers.get(f"{request.method} {request.url.path}", {})
        status, content = answer if isinstance(answer, tuple) else (200, answer)
        return JSONResponse(content, status_code=status)


@contextlib.asynccontextmanager
async def recording(**answers: Any) -> AsyncIterator[tuple[XenditProvider, Recorder]]:
    recorder = Recorder({name.replace("__", " /").replace("_at_", "/"): one for name, one in answers.items()})
    async with serving(Starlette(routes=[Route("/{path:path}", recorder.take, methods=["GET", "POST"])])) as url:
        provider = XenditProvider(KEY, is_test=True, base_url=url)
        yield provider, recorder
        await provider.aclose()


def answers(**more: Any) -> dict[str, Any]:
    return {"GET__v3_at_payment_tokens_at_pt-1": CARD, "POST__v3_at_payment_requests": (201, PAID), **more}


CHARGE = {
    "reference_id": KEY_OF_ATTEMPT,
    "type": "PAY",
    "payment_token_id": "pt-1",
    "country": "ID",
    "currency": "IDR",
    "request_amount": 1000,
    "capture_method": "AUTOMATIC",
    "channel_code": "CARDS",
    "channel_properties": {"skip_three_ds": True, "card_on_file_type": "MERCHANT_UNSCHEDULED"},
    "description": "Pro plan",
    "metadata": {
        "campaign": "spring",
        "dunning_key": KEY_OF_ATTEMPT,
        "retry_attempt": "0",
        "planned_at": "2026-03-05T13:10:00Z",
        "business_at": "2026-03-05T13:10:04Z",
        "subscription": "ours-1",
        "obligation": "1",
    },
}


async def test_a_charge_of_a_card_is_this_request_and_no_other() -> None:
    async with recording(**answers()) as (provider, xendit):
        answer = await provider.charge(order("pt-1", key=KEY_OF_ATTEMPT, method_token="pt-1"))
    assert answer.kind is AnswerKind.PAYMENT
    assert xendit.asked == [("GET", "/v3/payment_tokens/pt-1", None), ("POST", "/v3/payment_requests", CHARGE)]
    sent = xendit.headers[1]
    assert (sent["authorization"], sent["api-version"]) == (AUTHORIZATION, "2024-11-11")
    assert sent["content-type"] == "application/json"
    assert "idempotency-key" not in sent


async def test_a_cycle_of_a_card_is_recurring_with_its_period_on_every_attempt() -> None:
    async with recording(**answers()) as (provider, xendit):
        for attempt in (0, 1):
            asked = order("pt-1", key=f"at_{attempt}", method_token="pt-1", recurs_every_days=28, retry_attempt=attempt)
            await provider.charge(asked)
    said = [body["channel_properties"] for method, _, body in xendit.asked if method == "POST"]
    recurring = {"recurring_expiry": "2099-12-31", "recurring_frequency": 28}
    wanted = {"skip_three_ds": True, "card_on_file_type": "RECURRING", "recurring_configuration": recurring}
    assert said == [wanted, wanted]


async def test_what_is_not_a_card_carries_nothing_of_cards() -> None:
    async with recording(**answers(**{"GET__v3_at_payment_tokens_at_pt-1": WALLET})) as (provider, xendit):
        await provider.charge(order("pt-1", key=KEY_OF_ATTEMPT, method_token="pt-1", currency="PHP", amount=2550))
    body = xendit.asked[1][2]
    assert (body["country"], body["currency"], body["channel_code"], body["request_amount"]) == (
        "PH",
        "PHP",
        "GCASH",
        25.5,
    )
    assert "channel_properties" not in body


async def test_attempts_differ_in_key_instants_and_number_alone() -> None:
    async with recording(**answers()) as (provider, xendit):
        first = order("pt-1", key="at_1", method_token="pt-1")
        later = {"planned_at": first.planned_at + timedelta(days=3), "retry_attempt": 1}
        await provider.charge(first)
        await provider.charge(first.but(key="at_2", business_at=first.business_at + timedelta(days=3), **later))
    one, two = xendit.asked[1][2], xendit.asked[3][2]
    own = ("dunning_key", "retry_attempt", "planned_at", "business_at")
    for body in (one, two):
        del body["reference_id"]
        for name in own:
            del body["metadata"][name]
    assert one == two


@pytest.mark.parametrize(
    ("amount", "currency", "sent"),
    [
        (10_000_000, "IDR", 100_000),
        (1_999_01, "THB", 1999.01),
        (29, "USD", 0.29),
        (500, "JPY", 500),
        (250_000, "VND", 250_000),
        (123_456_789, "PHP", 1_234_567.89),
        (1_000, "SGD", 10),
    ],
)
def test_amounts_go_out_in_major_units(amount: int, currency: str, sent: float) -> None:
    found = major(amount, currency)
    assert (found, json.dumps(found)) == (sent, json.dumps(sent))


@pytest.mark.parametrize(("amount", "currency"), [(100_050, "IDR"), (100, "ZZZ")])
async def test_an_amount_that_cannot_be_said_is_not_sent(amount: int, currency: str) -> None:
    async with recording(**answers()) as (provider, xendit):
        answer = await provider.charge(order("pt-1", method_token="pt-1", amount=amount, currency=currency))
    assert (answer.kind, answer.code) == (AnswerKind.REFUSED, "UNSUPPORTED_AMOUNT")
    assert [one[0] for one in xendit.asked] == ["GET"]


async def test_more_metadata_than_xendit_takes_is_not_sent() -> None:
    many = {f"k{number}": number for number in range(45)}
    async with recording(**answers()) as (provider, xendit):
        answer = await provider.charge(order("pt-1", method_token="pt-1", metadata=many))
    assert (answer.kind, answer.code) == (AnswerKind.REFUSED, "MAXIMUM_KEYS_REACHED")
    assert [one[0] for one in xendit.asked] == ["GET"]


async def test_a_token_that_is_not_active_is_not_charged() -> None:
    token = {**CARD, "status": "EXPIRED"}
    async with recording(**answers(**{"GET__v3_at_payment_tokens_at_pt-1": token})) as (provider, xendit):
        answer = await provider.charge(order("pt-1", method_token="pt-1"))
    assert (answer.kind, answer.code) == (AnswerKind.REFUSED, "INVALID_TOKEN")
    assert [one[0] for one in xendit.asked] == ["GET"]


@pytest.mark.parametrize("currency", ["USD", "JPY", "EUR"])
def test_a_currency_of_many_countries_tells_none(currency: str) -> None:
    with pytest.raises(ProviderRefused, match="country"):
        country_of(None, currency)


CUSTOMER = {
    "reference_id": "cust-1",
    "type": "INDIVIDUAL",
    "individual_detail": {"given_names": "Ayu"},
    "email": "ayu@example.com",
    "mobile_number": "+6281234567890",
}
SESSION = {"payment_session_id": "ps-1", "status": "ACTIVE", "payment_link_url": "https://pay"}


async def test_a_mandate_is_a_customer_and_a_page_that_saves_a_method() -> None:
    options = {"success_return_url": "https://shop.example/ok", "failure_return_url": "https://shop.example/no"}
    made = {"POST__customers": {"id": "cust-x"}, "POST__sessions": (201, SESSION)}
    async with recording(**made) as (provider, xendit):
        began = datetime.now(UTC)
        found = await provider.create_mandate(mandate_request(agreement(**options)))
    assert (found.reference, found.link) == ("ps-1", "https://pay")
    assert xendit.asked[0] == ("POST", "/customers", CUSTOMER)
    assert xendit.headers[0]["api-version"] == "2020-10-31"
    assert 1 <= len(xendit.headers[0]["idempotency-key"]) <= 100
    method, path, body = xendit.asked[1]
    assert (method, path) == ("POST", "/sessions")
    reference, expires = body.pop("reference_id"), datetime.fromisoformat(body.pop("expires_at"))
    assert 1 <= len(reference) <= 64
    assert timedelta(days=7) - timedelta(minutes=1) < expires - began <= timedelta(days=7, minutes=1)
    assert body == {
        "session_type": "SAVE",
        "mode": "PAYMENT_LINK",
        "amount": 0,
        "currency": "IDR",
        "country": "ID",
        "customer_id": "cust-x",
        "locale": "en",
        "description": "Pro plan",
        "metadata": {"subscription": "ours-1", "merchant_account": "demo"},
        "success_return_url": "https://shop.example/ok",
        "cancel_return_url": "https://shop.example/no",
    }


async def test_the_same_request_has_the_same_keys_and_another_try_of_the_link_another_reference() -> None:
    made = {"POST__customers": {"id": "cust-x"}, "POST__sessions": (201, SESSION)}
    async with recording(**made) as (provider, xendit):
        request = mandate_request(agreement())
        await provider.create_mandate(request)
        await provider.create_mandate(request)
        await provider.create_mandate(request.but(business_at=request.business_at + timedelta(minutes=5)))
    keys = [xendit.headers[at]["idempotency-key"] for at in (0, 2, 4)]
    assert len(set(keys)) == 1
    references = [xendit.asked[at][2]["reference_id"] for at in (1, 3, 5)]
    assert references[0] == references[1] != references[2]


async def test_a_customer_who_exists_already_is_found_by_our_id() -> None:
    made = {
        "POST__customers": (409, {"error_code": "DUPLICATE_ERROR", "message": "exists"}),
        "GET__customers": {"data": [{"id": "cust-known"}], "has_more": False},
        "POST__sessions": (201, SESSION),
    }
    async with recording(**made) as (provider, xendit):
        await provider.create_mandate(mandate_request(agreement()))
    assert [one[:2] for one in xendit.asked] == [
        ("POST", "/customers"),
        ("GET", "/customers"),
        ("POST", "/sessions"),
    ]
    assert xendit.asked[2][2]["customer_id"] == "cust-known"


async def test_an_adopted_customer_and_one_channel_are_linked_directly() -> None:
    action = {"type": "REDIRECT_CUSTOMER", "descriptor": "WEB_URL", "value": "https://ovo"}
    token = {"payment_token_id": "pt-9", "status": "REQUIRES_ACTION", "actions": [action]}
    async with recording(POST__v3_at_payment_tokens=(201, token)) as (provider, xendit):
        found = await provider.create_mandate(mandate_request(agreement(customer_id="cust-a", channel_code="OVO")))
    assert (found.reference, found.link) == ("pt-9", "https://ovo")
    ((method, path, body),) = xendit.asked
    assert (method, path, len(body.pop("reference_id"))) == ("POST", "/v3/payment_tokens", 48)
    assert body == {
        "country": "ID",
        "currency": "IDR",
        "channel_code": "OVO",
        "channel_properties": {},
        "customer_id": "cust-a",
        "description": "Pro plan",
        "metadata": {"subscription": "ours-1", "merchant_account": "demo"},
    }


async def test_a_refund_names_its_payment_its_part_and_its_key() -> None:
    made = {"id": "rfd-1", "amount": 12.5, "currency": "THB", "status": "SUCCEEDED", "reference_id": "rf_1"}
    asked = RefundRequest(payment_id="pr-1", key="rf_1", amount=1250, currency="THB", metadata={"why": "late"})
    async with recording(POST__refunds=made) as (provider, xendit):
        answer = await provider.refund(asked)
    assert answer.refund is not None
    assert (answer.refund.refund_id, answer.refund.amount, answer.refund.key) == ("rfd-1", 1250, "rf_1")
    assert xendit.headers[0]["idempotency-key"] == "rf_1"
    assert xendit.asked == [
        (
            "POST",
            "/refunds",
            {
                "payment_request_id": "pr-1",
                "reference_id": "rf_1",
                "reason": "REQUESTED_BY_CUSTOMER",
                "currency": "THB",
                "amount": 12.5,
                "metadata": {"why": "late", "dunning_key": "rf_1"},
            },
        )
    ]


async def test_a_look_up_asks_for_our_reference_since_shortly_before_it_was_sent() -> None:
    seen: list[dict[str, str]] = []

    async def take(request: Request) -> Response:
        seen.append(dict(request.query_params))
        return JSONResponse({"data": [], "has_more": False})

    async with serving(Starlette(routes=[Route("/transactions", take)])) as url:
        provider = XenditProvider(KEY, is_test=True, base_url=url)
        await provider.find_payment(asking("pt-1", key="at_1", since=datetime(2026, 3, 5, 13, 10, tzinfo=UTC)))
        await provider.aclose()
    assert seen == [{"reference_id": "at_1", "types": "PAYMENT", "created[gte]": "2026-03-05T13:05:00Z", "limit": "50"}]
