"""Every code of Xendit's has its class, and the card network's advice decides where it says something."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dunning.domain.attempts import OutcomeKind
from dunning.domain.declines import ALWAYS_HARD, DeclineClass, ReasonKey, classify
from dunning.providers.outcomes import outcome_of
from dunning.providers.xendit_declines import ADVICE, FAILURE, NETWORK, XENDIT_DECLINES
from dunning.providers.xendit_wire import WirePayment, payment_of

NOW = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)
FIXTURES = Path(__file__).parents[2] / "fixtures"
PAYMENT_CODES = (FIXTURES / "xendit_failure_codes.txt").read_text().split()
OTHER_CODES = (FIXTURES / "xendit_other_codes.txt").read_text().split()
HOUR, DAY = 3_600, 86_400

BY_CLASS = {
    DeclineClass.HARD: "EXPIRED_CARD STOLEN_CARD SUSPECTED_FRAUDULENT INACTIVE_OR_UNAUTHORIZED_CARD",
    DeclineClass.ACTION: (
        "INVALID_TOKEN INVALID_ACCOUNT_DETAILS ACCOUNT_ACCESS_BLOCKED ACCOUNT_NOT_ACTIVATED INVALID_CVV "
        "AUTHENTICATION_FAILED USER_DECLINED_PAYMENT USER_DID_NOT_AUTHORIZE EXPIRED_OTP INVALID_OTP "
        "OTP_ATTEMPT_COUNTS_EXCEEDED PAYMENT_REQUEST_EXPIRED"
    ),
    DeclineClass.SOFT: (
        "INSUFFICIENT_BALANCE PAYMENT_AMOUNT_LIMITS_EXCEEDED PAYMENT_ATTEMPT_COUNTS_EXCEEDED CARD_DECLINED "
        "DECLINED_BY_ISSUER DECLINED_BY_PROCESSOR FAILURE_DETAILS_UNAVAILABLE USER_DEVICE_UNREACHABLE"
    ),
    DeclineClass.TECHNICAL: (
        "ISSUER_UNAVAILABLE CHANNEL_UNAVAILABLE PROCESSOR_ERROR SERVER_ERROR TIMEOUT_ERROR PARTNER_TIMEOUT_ERROR"
    ),
    DeclineClass.MERCHANT: "CAPTURE_AMOUNT_EXCEEDED INVALID_MERCHANT_SETTINGS INVALID_MERCHANT_CREDENTIALS",
}
ADVICES = {
    DeclineClass.ACTION: "01",
    DeclineClass.SOFT: "02 24 25 26 27 28 29 30",
    DeclineClass.HARD: "03 21",
    DeclineClass.MERCHANT: "04 08 22",
}


def declined(code: str | None, **told: Any) -> WirePayment:
    fields: dict[str, Any] = {
        "payment_request_id": "pr-1",
        "status": "FAILED",
        "request_amount": 1000,
        "currency": "IDR",
        "failure_code": code,
        "payment_details": {"authorization_data": told},
    }
    return WirePayment.model_validate(fields)


def test_every_code_of_the_sheet_has_a_row_and_no_row_is_invented() -> None:
    rows = [row.code for row in XENDIT_DECLINES.rows if row.field == FAILURE]
    assert (len(PAYMENT_CODES), len(OTHER_CODES)) == (33, 33)
    assert sorted(rows) == sorted([*PAYMENT_CODES, *OTHER_CODES])
    assert all(row.source for row in XENDIT_DECLINES.rows)


def test_each_payment_code_has_the_class_that_was_decided_for_it() -> None:
    expected = {code: klass for klass, codes in BY_CLASS.items() for code in codes.split()}
    assert {code: classify(XENDIT_DECLINES, FAILURE, code).klass for code in PAYMENT_CODES} == expected


def test_each_advice_has_the_class_that_was_decided_for_it_and_no_other_has_any() -> None:
    expected = {code: klass for klass, codes in ADVICES.items() for code in codes.split()}
    assert {row.code: row.klass for row in XENDIT_DECLINES.rows if row.field == ADVICE} == expected


def test_codes_that_say_nothing_end_the_ladder_after_a_few() -> None:
    caps = {row.code: row.cap for row in XENDIT_DECLINES.rows if row.cap is not None}
    assert caps == {
        "CARD_DECLINED": 3,
        "DECLINED_BY_ISSUER": 3,
        "DECLINED_BY_PROCESSOR": 2,
        "FAILURE_DETAILS_UNAVAILABLE": 2,
        "USER_DEVICE_UNREACHABLE": 1,
        "REJECTED_BY_ACQUIRER": 2,
    }


@pytest.mark.parametrize("code", sorted(ALWAYS_HARD))
def test_what_is_never_retried_anywhere_is_never_retried_here(code: str) -> None:
    told = outcome_of(payment_of(declined(code, merchant_advice_code="24"), otherwise=NOW), XENDIT_DECLINES, NOW)
    assert (told.klass, told.raw_code) == (DeclineClass.HARD, code)


@pytest.mark.parametrize(
    ("code", "told", "klass", "raw", "wait"),
    [
        ("INSUFFICIENT_BALANCE", {}, DeclineClass.SOFT, "INSUFFICIENT_BALANCE", None),
        ("INSUFFICIENT_BALANCE", {"merchant_advice_code": "24"}, DeclineClass.SOFT, "INSUFFICIENT_BALANCE", HOUR),
        ("INSUFFICIENT_BALANCE", {"merchant_advice_code": 2}, DeclineClass.SOFT, "INSUFFICIENT_BALANCE", 3 * DAY),
        ("INSUFFICIENT_BALANCE", {"merchant_advice_code": "30"}, DeclineClass.SOFT, "INSUFFICIENT_BALANCE", 10 * DAY),
        ("INSUFFICIENT_BALANCE", {"merchant_advice_code": "3"}, DeclineClass.HARD, "03", None),
        ("DECLINED_BY_ISSUER", {"merchant_advice_code": 21}, DeclineClass.HARD, "21", None),
        ("CARD_DECLINED", {"merchant_advice_code": "01"}, DeclineClass.ACTION, "01", None),
        ("CARD_DECLINED", {"merchant_advice_code": "04"}, DeclineClass.MERCHANT, "04", None),
        ("CARD_DECLINED", {"merchant_advice_code": "40"}, DeclineClass.SOFT, "CARD_DECLINED", None),
        ("CARD_DECLINED", {"merchant_advice_code": "99"}, DeclineClass.SOFT, "CARD_DECLINED", None),
        ("CARD_DECLINED", {"merchant_advice_code": "77"}, DeclineClass.SOFT, "CARD_DECLINED", None),
        ("INVALID_CVV", {"merchant_advice_code": "25"}, DeclineClass.SOFT, "25", DAY),
        ("EXPIRED_CARD", {"merchant_advice_code": "24"}, DeclineClass.HARD, "EXPIRED_CARD", HOUR),
        ("PAYMENT_AMOUNT_LIMITS_EXCEEDED", {}, DeclineClass.SOFT, "PAYMENT_AMOUNT_LIMITS_EXCEEDED", DAY),
        ("PAYMENT_AMOUNT_LIMITS_EXCEEDED", {"merchant_advice_code": "26"}, DeclineClass.SOFT, None, 2 * DAY),
        ("CAPTURE_AMOUNT_EXCEEDED ", {}, DeclineClass.MERCHANT, "CAPTURE_AMOUNT_EXCEEDED", None),
        ("INACTIVE_OR_UNAUTHORIZED_CARD", {"network_response_code": "92"}, DeclineClass.TECHNICAL, "92", None),
        ("INACTIVE_OR_UNAUTHORIZED_CARD", {"card_network_response_code": 92}, DeclineClass.TECHNICAL, "92", None),
        ("INACTIVE_OR_UNAUTHORIZED_CARD", {"network_response_code": "57"}, DeclineClass.HARD, None, None),
        ("DECLINED_BY_PROCESSOR", {"network_response_code": "94"}, DeclineClass.MERCHANT, "94", None),
        ("DECLINED_BY_ISSUER", {"network_response_code": "94"}, DeclineClass.SOFT, None, None),
        (
            "INACTIVE_OR_UNAUTHORIZED_CARD",
            {"network_response_code": "92", "merchant_advice_code": "03"},
            DeclineClass.HARD,
            None,
            None,
        ),
        ("NEVER_HEARD_OF", {}, DeclineClass.SOFT, "NEVER_HEARD_OF", None),
        (None, {}, DeclineClass.SOFT, "UNKNOWN", None),
    ],
)
def test_advice_comes_before_the_network_and_that_before_the_code(
    code: str | None, told: dict[str, Any], klass: DeclineClass, raw: str | None, wait: int | None
) -> None:
    outcome = outcome_of(payment_of(declined(code, **told), otherwise=NOW), XENDIT_DECLINES, NOW)
    assert outcome.kind is OutcomeKind.DECLINED
    assert (outcome.klass, outcome.retry_after_seconds) == (klass, wait)
    assert outcome.raw_code == (raw or code)


def test_what_overrides_a_code_keeps_it_in_the_message_and_names_its_rule() -> None:
    found = payment_of(declined("CARD_DECLINED", merchant_advice_code="3"), otherwise=NOW)
    assert found.message == "CARD_DECLINED, merchant advice 03"
    rule = classify(XENDIT_DECLINES, found.code_field, found.code)
    assert (found.code_field, rule.rule_id) == (ADVICE, "xendit@2026-11-21.03")
    network = payment_of(declined("DECLINED_BY_PROCESSOR", network_response_code="94"), otherwise=NOW)
    assert (network.code_field, network.message) == (NETWORK, "DECLINED_BY_PROCESSOR, network code 94")


@pytest.mark.parametrize(("status", "klass"), [("EXPIRED", DeclineClass.ACTION), ("CANCELED", DeclineClass.MERCHANT)])
def test_a_payment_that_ended_without_a_code_is_read_by_its_status(status: str, klass: DeclineClass) -> None:
    ended = declined(None).model_copy(update={"status": status})
    outcome = outcome_of(payment_of(ended, otherwise=NOW), XENDIT_DECLINES, NOW)
    assert (outcome.klass, outcome.raw_code) == (klass, status)


@pytest.mark.parametrize("code", ["STOLEN_CARD", "SUSPECTED_FRAUDULENT", "ISSUER_SUSPECT_FRAUD"])
def test_customers_are_told_nothing_of_stolen_cards_and_fraud(code: str) -> None:
    outcome = outcome_of(payment_of(declined(code), otherwise=NOW), XENDIT_DECLINES, NOW)
    assert outcome.reason_key == ReasonKey.DECLINED.value


def test_a_shopper_is_not_told_that_it_was_the_security_code() -> None:
    outcome = outcome_of(payment_of(declined("INVALID_CVV"), otherwise=NOW), XENDIT_DECLINES, NOW)
    assert outcome.reason_key == ReasonKey.GENERIC.value
