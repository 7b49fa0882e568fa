"""Xendit's words in ours: the published samples, every status, and what must not pass for something else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from dunning.providers.base import MandateStatus, MessageKind, Payment, PaymentStatus, RefundStatus, WebhookRefused
from dunning.providers.xendit_messages import message_of, verify
from dunning.providers.xendit_wire import (
    WirePayment,
    WireRefund,
    WireSession,
    WireToken,
    mandate_of_session,
    mandate_of_token,
    payment_of,
    refund_of,
)

NOW = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)
KEY = "at_" + "0" * 40

FAILURE: dict[str, Any] = {
    "event": "payment.failure",
    "business_id": "6094fa76c2fd53701b8e079c",
    "created": "2021-12-02T14:52:21.566Z",
    "data": {
        "payment_id": "py-1fdaf346-dd2e-4b6c-b938-124c7167a822",
        "business_id": "6094fa76c2fd53701b8e079c",
        "status": "FAILED",
        "payment_request_id": "pr-1fdaf346-dd2e-4b6c-b938-124c7167a822",
        "request_amount": 10000,
        "customer_id": "cust-5ed61c4e-499f-49bd-9d90-f3f45028a7a3",
        "channel_code": "CARDS",
        "country": "TH",
        "currency": "THB",
        "reference_id": "example_reference_id",
        "description": "Payment description",
        "failure_code": "INSUFFICIENT_BALANCE",
        "channel_properties": {"failure_return_url": "https://xendit.co/failure"},
        "type": "SINGLE_PAYMENT",
        "created": "2021-12-02T14:52:21.566Z",
        "updated": "2021-12-02T14:52:21.566Z",
    },
}
"""The published sample of the sheet, A6."""

RETRYING: dict[str, Any] = {
    "event": "recurring.cycle.retrying",
    "created": "2026-04-10T16:25:00Z",
    "data": {"id": "recy_1", "status": "RETRYING", "attempt_count": 1, "forced_attempt_count": 0},
}


def wire(**changes: Any) -> WirePayment:
    fields = {"payment_request_id": "pr-1", "status": "SUCCEEDED", "request_amount": 1000, "currency": "IDR"}
    return WirePayment.model_validate({**fields, **changes})


def read(document: Any, headers: dict[str, str] | None = None) -> Any:
    return message_of({"webhook-id": "wh_1"} if headers is None else headers, json.dumps(document).encode(), NOW)


def test_the_published_sample_is_read() -> None:
    told = read(FAILURE)
    at = datetime(2021, 12, 2, 14, 52, 21, 566000, tzinfo=UTC)
    assert (told.kind, told.raw_type, told.occurred_at) == (MessageKind.PAYMENT, "payment.failure", at)
    assert (told.subscription, told.reference) == (None, "cust-5ed61c4e-499f-49bd-9d90-f3f45028a7a3")
    assert told.payment == Payment(
        payment_id="pr-1fdaf346-dd2e-4b6c-b938-124c7167a822",
        status=PaymentStatus.FAILED,
        amount=1_000_000,
        currency="THB",
        code="INSUFFICIENT_BALANCE",
        created_at=at,
        provider_reference="cust-5ed61c4e-499f-49bd-9d90-f3f45028a7a3",
    )


@pytest.mark.parametrize(
    ("status", "meant"),
    [
        ("SUCCEEDED", PaymentStatus.SUCCEEDED),
        ("FAILED", PaymentStatus.FAILED),
        ("EXPIRED", PaymentStatus.FAILED),
        ("CANCELED", PaymentStatus.FAILED),
        ("PENDING", PaymentStatus.PENDING),
        ("AUTHORIZED", PaymentStatus.PENDING),
        ("REQUIRES_ACTION", PaymentStatus.PENDING),
        ("ACCEPTING_PAYMENTS", PaymentStatus.PENDING),
        (None, PaymentStatus.PENDING),
        ("SOMETHING_NEW", PaymentStatus.PENDING),
    ],
)
def test_only_terminal_statuses_conclude_anything(status: str | None, meant: PaymentStatus) -> None:
    assert payment_of(wire(status=status), otherwise=NOW).status is meant


@pytest.mark.parametrize(
    ("given", "currency", "minor"),
    [
        (100000, "IDR", 10_000_000),
        (100000.0, "IDR", 10_000_000),
        ("1999.01", "THB", 199_901),
        (10000.01, "THB", 1_000_001),
        (0.29, "USD", 29),
        (1234567.89, "PHP", 123_456_789),
        (500, "JPY", 500),
        (250000, "VND", 250_000),
    ],
)
def test_amounts_come_in_major_units_and_keep_every_minor_one(given: object, currency: str, minor: int) -> None:
    found = payment_of(wire(request_amount=given, currency=currency), otherwise=NOW)
    assert (found.amount, found.currency) == (minor, currency)


@pytest.mark.parametrize(
    "changes",
    [
        {"request_amount": 10.5, "currency": "JPY"},
        {"request_amount": 1.001, "currency": "THB"},
        {"currency": "ZZZ"},
        {"payment_request_id": None},
    ],
)
def test_an_amount_that_its_currency_does_not_have_is_no_payment(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"id|decimals|currency"):
        payment_of(wire(**changes), otherwise=NOW)


@pytest.mark.parametrize("given", [True, None, [], "a lot"])
def test_what_is_no_number_is_no_amount(given: object) -> None:
    with pytest.raises(ValueError, match="request_amount"):
        wire(request_amount=given)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"metadata": {"dunning_key": "at_1"}}, "at_1"),
        ({"metadata": None, "reference_id": KEY}, KEY),
        ({"metadata": {"dunning_key": "at_1"}, "reference_id": KEY}, "at_1"),
        ({"metadata": {"dunning_key": 7}, "reference_id": "order-7"}, None),
        ({"reference_id": "example_reference_id"}, None),
        ({}, None),
    ],
)
def test_our_key_is_in_the_metadata_or_is_the_reference(changes: dict[str, Any], key: str | None) -> None:
    assert wire(**changes).key == key


@pytest.mark.parametrize(
    ("status", "kind", "meant"),
    [
        ("ACTIVE", MessageKind.MANDATE, MandateStatus.AUTHORIZED),
        ("FAILED", MessageKind.MANDATE, MandateStatus.FAILED),
        ("REQUIRES_ACTION", MessageKind.OTHER, MandateStatus.WAITING),
        ("PENDING", MessageKind.OTHER, MandateStatus.WAITING),
        ("EXPIRED", MessageKind.OTHER, MandateStatus.ENDED),
        ("CANCELED", MessageKind.OTHER, MandateStatus.ENDED),
        ("SOMETHING_NEW", MessageKind.OTHER, MandateStatus.WAITING),
    ],
)
def test_a_tokens_message_is_about_linking_and_its_later_end_ends_no_subscription(
    status: str, kind: MessageKind, meant: MandateStatus
) -> None:
    data = {"payment_token_id": "pt-1", "status": status, "metadata": {"subscription": "ours-1"}}
    told = read({"event": "payment_token.x", "data": data})
    assert (told.kind, told.mandate.status, told.reference, told.subscription) == (kind, meant, "pt-1", "ours-1")


@pytest.mark.parametrize(
    ("status", "token", "meant", "reference"),
    [
        ("ACTIVE", None, MandateStatus.WAITING, "ps-1"),
        ("COMPLETED", "pt-1", MandateStatus.AUTHORIZED, "pt-1"),
        ("COMPLETED", None, MandateStatus.WAITING, "ps-1"),
        ("EXPIRED", None, MandateStatus.FAILED, "ps-1"),
        ("CANCELED", None, MandateStatus.FAILED, "ps-1"),
    ],
)
def test_a_completed_page_is_the_token_that_it_saved(
    status: str, token: str | None, meant: MandateStatus, reference: str
) -> None:
    session = {"payment_session_id": "ps-1", "status": status, "payment_token_id": token}
    found = mandate_of_session(WireSession.model_validate(session))
    assert (found.status, found.reference, found.method_token) == (meant, reference, token)


def test_the_link_of_a_token_is_where_the_customer_is_redirected() -> None:
    actions = [
        {"type": "PRESENT_TO_CUSTOMER", "descriptor": "QR_STRING", "value": "x"},
        {"type": "REDIRECT_CUSTOMER", "descriptor": "WEB_URL", "value": "https://redirect"},
    ]
    token = WireToken.model_validate({"payment_token_id": "pt-1", "status": "REQUIRES_ACTION", "actions": actions})
    found = mandate_of_token(token)
    assert (found.status, found.link) == (MandateStatus.WAITING, "https://redirect")


@pytest.mark.parametrize(
    ("status", "meant"),
    [
        ("SUCCEEDED", RefundStatus.SUCCEEDED),
        ("FAILED", RefundStatus.FAILED),
        ("CANCELLED", RefundStatus.FAILED),
        ("PENDING", RefundStatus.PENDING),
        (None, RefundStatus.PENDING),
    ],
)
def test_a_refund_is_made_only_when_xendit_says_so(status: str | None, meant: RefundStatus) -> None:
    fields = {"id": "rfd-1", "amount": 25.5, "currency": "PHP", "status": status, "reference_id": "rf_1"}
    found = refund_of(WireRefund.model_validate(fields), otherwise=NOW)
    assert (found.status, found.amount, found.key) == (meant, 2550, "rf_1")


# --- messages ----------------------------------------------------------------------------------------


def test_a_message_without_an_id_is_known_by_its_fact_and_not_by_its_delivery() -> None:
    first = read(FAILURE, {})
    again = read({**FAILURE, "created": "2026-03-05T13:25:00Z"}, {})
    paid = read({**FAILURE, "event": "payment.capture", "data": {**FAILURE["data"], "status": "SUCCEEDED"}}, {})
    assert first.message_id == again.message_id
    assert paid.message_id != first.message_id


def test_attempts_of_a_cycle_are_different_facts() -> None:
    later = {**RETRYING, "data": {**RETRYING["data"], "attempt_count": 2}}
    assert read(RETRYING, {}).kind is MessageKind.OTHER
    assert read(RETRYING, {}).message_id != read(later, {}).message_id


@pytest.mark.parametrize("event", ["payment.capture", "payment.succeeded", "payment_request.expiry"])
def test_both_names_of_a_success_are_read_by_what_the_data_say(event: str) -> None:
    told = read({"event": event, "data": {**FAILURE["data"], "status": "SUCCEEDED"}})
    assert (told.kind, told.payment.status) == (MessageKind.PAYMENT, PaymentStatus.SUCCEEDED)


@pytest.mark.parametrize("data", [{"id": "rfd-1"}, {"data": {"id": "rfd-1"}}])
def test_a_refunds_message_is_only_recorded_nested_or_not(data: dict[str, Any]) -> None:
    assert read({"event": "refund.failed", "data": data}).kind is MessageKind.OTHER


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"x", b'{"event":"payment.capture","data":{}}', b'{"event":"payment_token.x","data":{"a":1}}'],
)
def test_a_message_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookRefused):
        message_of({"webhook-id": "wh_1"}, body, NOW)


def test_a_message_that_nothing_identifies_is_refused() -> None:
    with pytest.raises(WebhookRefused):
        read({"event": "something.new", "data": {}}, {})


@pytest.mark.parametrize("name", ["x-callback-token", "X-CALLBACK-TOKEN"])
def test_either_of_two_tokens_verifies_while_one_is_being_changed(name: str) -> None:
    assert verify({name: "new"}, secrets=["old", "new"])
    assert verify({name: "old"}, secrets=["old", "new"])


@pytest.mark.parametrize(
    ("headers", "secrets"),
    [
        ({}, ["token"]),
        ({"x-callback-token": ""}, [""]),
        ({"x-callback-token": "Token"}, ["token"]),
        ({"x-callback-token": "toke"}, ["token"]),
        ({"x-callback-token": "tökén"}, ["token"]),
        ({"x-callback-token": "token"}, []),
    ],
)
def test_another_token_or_none_is_refused(headers: dict[str, str], secrets: list[str]) -> None:
    with pytest.raises(WebhookRefused):
        verify(headers, secrets=secrets)
