"""Dodo's words in ours: the provider's own sample, every status, and what must not pass for something else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from dunning.domain.attempts import OutcomeKind
from dunning.domain.declines import DeclineClass
from dunning.providers.base import MandateStatus, MessageKind, Payment, PaymentStatus, WebhookRefused
from dunning.providers.dodo_declines import DODO_DECLINES
from dunning.providers.dodo_wire import KEY, WirePayment, message_of, payment_of
from dunning.providers.outcomes import outcome_of

NOW = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)

SAMPLE: dict[str, Any] = {
    "business_id": "bus_P3SXLcppjXgagmHS",
    "type": "payment.failed",
    "timestamp": "2025-08-04T05:36:41.609359Z",
    "data": {
        "payload_type": "Payment",
        "payment_id": "pay_2IjeQm4hqU6RA4Z4kwDee",
        "status": "failed",
        "error_code": "PROCESSING_ERROR",
        "error_message": "An error occurred while processing your card. Try again in a little bit.",
        "retry_attempt": 0,
        "subscription_id": None,
        "currency": "USD",
        "total_amount": 400,
        "payment_method": "card",
        "card_last_four": "0119",
        "card_network": "VISA",
        "payment_link": "https://test.checkout.dodopayments.com/cbq",
        "customer": {"customer_id": "cus_8VbC6JDZzPEqfB", "email": "test@acme.com", "name": "Test user"},
    },
}


def wire(**changes: Any) -> WirePayment:
    fields = {"payment_id": "pay_1", "status": "succeeded", "total_amount": 1000, "currency": "USD"}
    return WirePayment.model_validate({**fields, **changes})


def read(document: Any) -> Any:
    return message_of("msg_1", json.dumps(document).encode(), NOW)


def test_the_providers_sample_is_read() -> None:
    told = read(SAMPLE)
    at = datetime(2025, 8, 4, 5, 36, 41, 609359, tzinfo=UTC)
    assert (told.kind, told.raw_type, told.occurred_at) == (MessageKind.PAYMENT, "payment.failed", at)
    assert (told.subscription, told.reference) == (None, None)
    assert told.payment == Payment(
        payment_id="pay_2IjeQm4hqU6RA4Z4kwDee",
        status=PaymentStatus.FAILED,
        amount=400,
        currency="USD",
        code="PROCESSING_ERROR",
        message="An error occurred while processing your card. Try again in a little bit.",
        created_at=at,
    )


@pytest.mark.parametrize(
    ("status", "meant"),
    [
        ("succeeded", PaymentStatus.SUCCEEDED),
        ("failed", PaymentStatus.FAILED),
        ("cancelled", PaymentStatus.FAILED),
        ("processing", PaymentStatus.PENDING),
        ("requires_customer_action", PaymentStatus.PENDING),
        ("requires_merchant_action", PaymentStatus.PENDING),
        ("requires_payment_method", PaymentStatus.PENDING),
        ("requires_confirmation", PaymentStatus.PENDING),
        ("requires_capture", PaymentStatus.PENDING),
        ("partially_captured", PaymentStatus.PENDING),
        ("partially_captured_and_capturable", PaymentStatus.PENDING),
        (None, PaymentStatus.PENDING),
        ("something_new", PaymentStatus.PENDING),
    ],
)
def test_only_terminal_statuses_conclude_anything(status: str | None, meant: PaymentStatus) -> None:
    assert payment_of(wire(status=status), otherwise=NOW).status is meant


@pytest.mark.parametrize(
    ("status", "kind", "meant"),
    [
        ("pending", MessageKind.OTHER, MandateStatus.WAITING),
        ("active", MessageKind.MANDATE, MandateStatus.AUTHORIZED),
        ("past_due", MessageKind.OTHER, MandateStatus.AUTHORIZED),
        ("on_hold", MessageKind.OTHER, MandateStatus.AUTHORIZED),
        ("paused", MessageKind.OTHER, MandateStatus.AUTHORIZED),
        ("failed", MessageKind.MANDATE, MandateStatus.FAILED),
        ("cancelled", MessageKind.MANDATE, MandateStatus.ENDED),
        ("expired", MessageKind.MANDATE, MandateStatus.ENDED),
        ("something_new", MessageKind.OTHER, MandateStatus.WAITING),
    ],
)
@pytest.mark.parametrize("event", ["subscription.active", "subscription.updated"])
def test_a_subscription_is_what_its_status_says_whatever_the_event(
    event: str, status: str, kind: MessageKind, meant: MandateStatus
) -> None:
    told = read({"type": event, "data": {"subscription_id": "sub_1", "status": status}})
    assert (told.kind, told.mandate.status, told.reference) == (kind, meant, "sub_1")


def test_a_method_update_of_an_ended_subscription_tells_the_end() -> None:
    data = {"subscription_id": "sub_1", "status": "cancelled", "payment_method_id": "pm_2"}
    told = read({"type": "subscription.update_payment_method", "data": data})
    assert (told.kind, told.mandate.status) == (MessageKind.MANDATE, MandateStatus.ENDED)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"metadata": {KEY: "at_1"}}, "at_1"),
        ({"metadata": {KEY: "at_1"}, "charge_type": "on_demand"}, "at_1"),
        ({"metadata": {KEY: 7}}, None),
        ({"metadata": {KEY: ""}}, None),
        ({"metadata": {KEY: "at_1"}, "is_update_payment_method": True}, None),
    ],
)
def test_only_a_payment_that_we_sent_has_our_key(changes: dict[str, Any], key: str | None) -> None:
    assert wire(**changes).key == key


def test_a_price_is_equal_with_or_without_a_tax_on_top() -> None:
    taxed = wire(total_amount=1100, tax=100)
    assert taxed.costs(1000, "USD")
    assert taxed.costs(1100, "USD")
    assert not taxed.costs(1000, "EUR")
    assert not taxed.costs(900, "USD")


def test_dispute_statuses_tell_whether_it_is_open() -> None:
    open_ones = {
        status
        for status in ("opened", "expired", "accepted", "cancelled", "challenged", "won", "lost")
        if read(
            {"type": "dispute.x", "data": {"payment_id": "p", "dispute_status": f"dispute_{status}"}}
        ).dispute_is_open
    }
    assert open_ones == {"opened", "challenged"}


def test_an_instant_without_an_offset_is_utc_and_none_at_all_is_the_arrival() -> None:
    assert read({"type": "x", "timestamp": "2026-03-05T13:10:00"}).occurred_at == NOW
    assert read({"type": "x"}).occurred_at == NOW


@pytest.mark.parametrize(
    ("seconds", "wait"), [(3600, 3600), (0, 0), (-1, None), (10**12, None), ("soon", None), (1.5, None), (True, None)]
)
def test_an_odd_advised_wait_does_not_cost_the_payment(seconds: object, wait: int | None) -> None:
    told = read({"type": "payment.failed", "data": {**SAMPLE["data"], "retry_after_seconds": seconds}})
    assert told.payment.retry_after_seconds == wait


def test_a_payment_without_an_amount_is_refused() -> None:
    data = {name: value for name, value in SAMPLE["data"].items() if name != "total_amount"}
    with pytest.raises(WebhookRefused):
        read({"type": "payment.failed", "data": data})


@pytest.mark.parametrize(
    ("changes", "kind", "klass"),
    [
        ({}, OutcomeKind.SUCCEEDED, None),
        ({"status": "processing"}, OutcomeKind.PENDING, None),
        ({"status": "failed", "error_code": "STOLEN_CARD"}, OutcomeKind.DECLINED, DeclineClass.HARD),
        ({"status": "failed", "error_code": "insufficient_funds"}, OutcomeKind.DECLINED, DeclineClass.SOFT),
        ({"status": "failed", "error_code": "NEVER_HEARD_OF"}, OutcomeKind.DECLINED, DeclineClass.SOFT),
        ({"status": "failed"}, OutcomeKind.DECLINED, DeclineClass.SOFT),
        ({"status": "cancelled"}, OutcomeKind.DECLINED, DeclineClass.ACTION),
    ],
)
def test_each_payment_is_one_outcome_with_class_and_rule(
    changes: dict[str, Any], kind: OutcomeKind, klass: DeclineClass | None
) -> None:
    outcome = outcome_of(payment_of(wire(**changes), otherwise=NOW), DODO_DECLINES, NOW)
    assert (outcome.kind, outcome.klass, outcome.provider_payment_id) == (kind, klass, "pay_1")
    assert (outcome.rule is not None) == (kind is OutcomeKind.DECLINED)
