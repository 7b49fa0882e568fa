"""Omise's words in ours: published samples, every status, codes and advice, and golden requests."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from dunning.providers.base import (
    MandateStatus,
    MessageKind,
    Payment,
    PaymentStatus,
    RefundRequest,
    RefundStatus,
    WebhookRefused,
)
from dunning.providers.omise_messages import message_of
from dunning.providers.omise_requests import charge_body, customer_body, refund_body
from dunning.providers.omise_wire import (
    ENDED,
    KEY,
    WireCard,
    WireCharge,
    WireCustomer,
    WireRefund,
    mandate_of,
    payment_of,
    refund_of,
)
from tests.providers.omise.rig import agreement
from tests.providers.ordering import AT, mandate_request, order

NOW = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)

SAMPLE: dict[str, Any] = {
    "object": "event",
    "id": "evnt_test_5h2m123lxlx4z7yh9a2",
    "livemode": False,
    "location": "/events/evnt_test_5h2m123lxlx4z7yh9a2",
    "webhook_deliveries": [],
    "data": {
        "object": "charge",
        "id": "chrg_test_5h2m123abc456def",
        "amount": 100000,
        "currency": "thb",
        "description": "Test charge",
        "status": "successful",
        "authorized": True,
        "paid": True,
        "capture": True,
        "reversed": False,
        "voided": False,
        "expired": False,
        "transaction": "trxn_test_5h2m123abc456def",
        "failure_code": None,
        "failure_message": None,
        "card": {
            "object": "card",
            "id": "card_test_5h2m123abc456def",
            "brand": "Visa",
            "last_digits": "4242",
            "expiration_month": 12,
            "expiration_year": 2025,
        },
        "created_at": "2026-03-09T09:54:52.108Z",
    },
    "key": "charge.complete",
    "created_at": "2026-03-09T09:54:52.112Z",
}


def wire(**changes: Any) -> WireCharge:
    fields = {"id": "chrg_1", "status": "successful", "amount": 10_000, "currency": "thb"}
    return WireCharge.model_validate({**fields, **changes})


def paid(**changes: Any) -> Payment:
    return payment_of(wire(**changes), otherwise=NOW)


def read(document: Any, *, is_test: bool = True) -> Any:
    return message_of(json.dumps(document).encode(), NOW, is_test=is_test)


def event(key: str, **data: Any) -> dict[str, Any]:
    return {"object": "event", "id": "evnt_1", "key": key, "livemode": False, "data": data}


# --- messages --------------------------------------------------------------------------------------


def test_the_published_sample_is_read() -> None:
    told = read(SAMPLE)
    at = datetime(2026, 3, 9, 9, 54, 52, 112000, tzinfo=UTC)
    assert (told.kind, told.raw_type, told.occurred_at) == (MessageKind.PAYMENT, "charge.complete", at)
    assert told.message_id == "evnt_test_5h2m123lxlx4z7yh9a2"
    assert told.payment == Payment(
        payment_id="chrg_test_5h2m123abc456def",
        status=PaymentStatus.SUCCEEDED,
        amount=100_000,
        currency="THB",
        method_token="card_test_5h2m123abc456def",
        created_at=datetime(2026, 3, 9, 9, 54, 52, 108000, tzinfo=UTC),
    )


def test_older_versions_of_a_message_are_read_too() -> None:
    data = {"object": "charge", "id": "chrg_1", "amount": 1, "currency": "thb", "metadata": None}
    old = event("charge.create", **data, customer="cust_1", created="2026-03-05T20:10:00+07:00")
    told = read({**old, "created": "2026-03-05T20:10:01+07:00"})
    assert (told.payment.created_at, told.occurred_at) == (NOW, NOW.replace(second=1))
    assert (told.reference, told.payment.status) == ("cust_1", PaymentStatus.PENDING)


def test_whole_objects_in_place_of_ids_are_read() -> None:
    told = read(event("charge.create", **SAMPLE["data"], customer={"object": "customer", "id": "cust_1"}))
    assert (told.reference, told.payment.provider_reference) == ("cust_1", "cust_1")


def test_a_message_of_the_other_mode_is_refused() -> None:
    with pytest.raises(WebhookRefused):
        read({**SAMPLE, "livemode": True})
    with pytest.raises(WebhookRefused):
        read(SAMPLE, is_test=False)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no body"),
        (b"[]", "no object"),
        (b'{"key":"charge.create","data":{}}', "no id"),
        (b'{"id":"evnt 1","key":"x","data":{}}', "an id with a space"),
        (b'{"id":"evnt_1","key":"charge.create","data":{"object":"charge","id":"c","currency":"thb"}}', "no amount"),
        (b"[" * 100_000, "very deep"),
    ],
)
def test_what_cannot_be_read_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(WebhookRefused):
        message_of(body, NOW, is_test=True)


@pytest.mark.parametrize(
    ("key", "data", "kind", "status"),
    [
        ("customer.create", {"default_card": "card_1"}, MessageKind.MANDATE, MandateStatus.AUTHORIZED),
        ("customer.create", {}, MessageKind.OTHER, MandateStatus.WAITING),
        ("customer.update", {"default_card": "card_1"}, MessageKind.OTHER, MandateStatus.AUTHORIZED),
        ("customer.update.card", {"default_card": "card_1"}, MessageKind.OTHER, MandateStatus.AUTHORIZED),
        ("customer.destroy", {"deleted": True}, MessageKind.MANDATE, MandateStatus.ENDED),
    ],
)
def test_only_making_and_destroying_a_customer_tells_something(
    key: str, data: dict[str, Any], kind: MessageKind, status: MandateStatus
) -> None:
    told = read(event(key, object="customer", id="cust_1", **data))
    assert (told.kind, told.mandate.status, told.reference) == (kind, status, "cust_1")


@pytest.mark.parametrize("data", [{"object": "refund"}, {"object": "new"}, {}])
def test_other_events_are_taken_and_tell_nothing(data: dict[str, Any]) -> None:
    assert read(event("something.new", **data)).kind is MessageKind.OTHER


def test_dispute_statuses_tell_whether_it_is_open() -> None:
    told = {
        status: read(event("dispute.create", object="dispute", charge="chrg_1", status=status))
        for status in ("open", "pending", "won", "lost", "closed")
    }
    assert {status for status, one in told.items() if one.dispute_is_open} == {"open", "pending"}
    assert {one.payment.payment_id for one in told.values()} == {"chrg_1"}


# --- charges and customers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "meant"),
    [
        ("successful", PaymentStatus.SUCCEEDED),
        ("failed", PaymentStatus.FAILED),
        ("expired", PaymentStatus.FAILED),
        ("reversed", PaymentStatus.FAILED),
        ("pending", PaymentStatus.PENDING),
        (None, PaymentStatus.PENDING),
        ("something_new", PaymentStatus.PENDING),
    ],
)
def test_only_terminal_statuses_conclude_anything(status: str | None, meant: PaymentStatus) -> None:
    assert paid(status=status).status is meant


@pytest.mark.parametrize(("currency", "amount"), [("thb", 2_000), ("jpy", 100), ("sgd", 1_99), ("usd", 1)])
def test_amounts_are_the_same_minor_units_on_both_sides(currency: str, amount: int) -> None:
    """Satang and cents, and whole yen: nothing is ever multiplied."""
    found = paid(amount=amount, currency=currency)
    assert (found.amount, found.currency) == (amount, currency.upper())
    sent = charge_body(order("cust_1", amount=amount, currency=currency.upper()), "card_1")
    assert (sent["amount"], sent["currency"]) == (amount, currency)


@pytest.mark.parametrize("metadata", [None, {}, {KEY: 7}, {KEY: ""}, {KEY: None}])
def test_a_charge_that_we_did_not_send_has_no_key(metadata: dict[str, Any] | None) -> None:
    assert wire(metadata=metadata).key is None
    assert wire(metadata={KEY: "at_1"}).key == "at_1"


@pytest.mark.parametrize(
    ("seconds", "wait"), [(3600, 3600), (0, 0), (-1, None), (10**12, None), ("soon", None), (1.5, None), (True, None)]
)
def test_an_odd_advised_wait_does_not_cost_the_payment(seconds: object, wait: int | None) -> None:
    assert paid(status="failed", retry_after_seconds=seconds).retry_after_seconds == wait


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"default_card": "card_1"}, MandateStatus.AUTHORIZED),
        ({"default_card": {"object": "card", "id": "card_1"}}, MandateStatus.AUTHORIZED),
        ({}, MandateStatus.WAITING),
        ({"default_card": "card_1", "metadata": {ENDED: "inactive"}}, MandateStatus.ENDED),
        ({"default_card": "card_1", "metadata": {ENDED: ""}}, MandateStatus.AUTHORIZED),
        ({"deleted": True}, MandateStatus.ENDED),
    ],
)
def test_a_customer_with_a_default_card_may_be_charged_until_it_is_ended(
    fields: dict[str, Any], status: MandateStatus
) -> None:
    assert mandate_of(WireCustomer.model_validate({"id": "cust_1", **fields})).status is status


@pytest.mark.parametrize(
    ("at", "is_expired"),
    [("2026-02-28T23:59:59+00:00", False), ("2026-02-01T00:00:00+00:00", False), ("2026-03-01T00:00:00+00:00", True)],
)
def test_a_card_is_good_to_the_end_of_its_month(at: str, is_expired: bool) -> None:
    card = WireCard(id="card_1", expiration_month=2, expiration_year=2026)
    assert card.is_expired(datetime.fromisoformat(at)) is is_expired


@pytest.mark.parametrize(
    ("status", "meant"),
    [("closed", RefundStatus.SUCCEEDED), (None, RefundStatus.SUCCEEDED), ("pending", RefundStatus.PENDING),
     ("failed", RefundStatus.FAILED)],
)  # fmt: skip
def test_a_refund_whose_status_nobody_published_is_made(status: str | None, meant: RefundStatus) -> None:
    found = refund_of(WireRefund(id="rfnd_1", amount=1, currency="thb", charge="chrg_1", status=status), otherwise=NOW)
    assert (found.status, found.payment_id, found.currency) == (meant, "chrg_1", "THB")


# --- requests --------------------------------------------------------------------------------------


def test_the_golden_charge() -> None:
    sent = charge_body(order("cust_test_1", currency="THB", retry_attempt=2, obligation="3"), "card_test_1")
    assert sent == {
        "amount": 100_000,
        "currency": "thb",
        "customer": "cust_test_1",
        "card": "card_test_1",
        "description": "Pro plan",
        "transaction_indicator": "MIT",
        "recurring_reason": "subscription",
        "metadata": {
            "campaign": "spring",
            "dunning_key": "at_1",
            "retry_attempt": 2,
            "planned_at": "2026-03-05T13:10:00Z",
            "business_at": "2026-03-05T13:10:04Z",
            "subscription": "ours-1",
            "obligation": "3",
        },
    }


def test_attempts_differ_in_nothing_but_key_instants_and_number() -> None:
    first, third = (
        charge_body(order("cust_1", key=f"at_{n}", retry_attempt=n, planned_at=AT, business_at=AT), "card_1")
        for n in (0, 2)
    )
    for one in (first, third):
        for name in ("dunning_key", "retry_attempt", "planned_at", "business_at"):
            del one["metadata"][name]
    assert first == third


def test_the_golden_customer() -> None:
    sent = customer_body(mandate_request(agreement(card_token="tokn_test_1")), "tokn_test_1")
    assert sent == {
        "email": "ayu@example.com",
        "description": "cust-1: Pro plan",
        "card": "tokn_test_1",
        "metadata": {"subscription": "ours-1", "merchant_account": "demo", "dunning_token": "tokn_test_1"},
    }


def test_the_golden_refund() -> None:
    request = RefundRequest(payment_id="chrg_1", key="rf_1", amount=500, currency="THB", metadata={"why": "late"})
    assert refund_body(request) == {"amount": 500, "metadata": {"why": "late", "dunning_key": "rf_1"}}
