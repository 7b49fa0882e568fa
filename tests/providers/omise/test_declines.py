"""Each of Omise's codes has a class; an advice not to retry is stronger than a code that would allow it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dunning.domain.attempts import OutcomeKind
from dunning.domain.declines import DeclineClass, ReasonKey, classify
from dunning.providers.base import Payment
from dunning.providers.omise_declines import API, API_CARD, FAILURE, OMISE_DECLINES
from dunning.providers.omise_wire import WireCharge, payment_of
from dunning.providers.outcomes import outcome_of

NOW = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)
FIXTURES = Path(__file__).parents[2] / "fixtures"
FAILURE_CODES = (FIXTURES / "omise_failure_codes.txt").read_text().split()
API_CODES = (FIXTURES / "omise_api_codes.txt").read_text().split()


def paid(**changes: Any) -> Payment:
    fields = {"id": "chrg_1", "status": "successful", "amount": 10_000, "currency": "thb"}
    return payment_of(WireCharge.model_validate({**fields, **changes}), otherwise=NOW)


BY_CLASS = {
    DeclineClass.HARD: "stolen_or_lost_card failed_fraud_check expired_card invalid_account_number",
    DeclineClass.ACTION: "invalid_account invalid_security_code payment_cancelled",
    DeclineClass.SOFT: "insufficient_fund insufficient_balance payment_rejected failed_processing",
    DeclineClass.TECHNICAL: "timeout",
    DeclineClass.MERCHANT: (
        "confirmed_amount_mismatch failed_capture failed_void failed_reverse failed_refund expired_charge"
    ),
}


def test_every_failure_code_of_the_sheet_has_a_row_and_no_row_is_invented() -> None:
    rows = [row.code for row in OMISE_DECLINES.rows if row.field == FAILURE]
    assert len(FAILURE_CODES) == 18
    assert sorted(rows) == sorted(FAILURE_CODES)


def test_each_failure_code_has_the_class_that_was_decided_for_it() -> None:
    expected = {code: klass for klass, codes in BY_CLASS.items() for code in codes.split()}
    assert {code: classify(OMISE_DECLINES, FAILURE, code).klass for code in FAILURE_CODES} == expected


def test_every_api_code_of_the_sheet_has_a_row_and_no_row_is_invented() -> None:
    rows = [row.code for row in OMISE_DECLINES.rows if row.field == API]
    assert sorted(rows) == sorted(API_CODES)
    assert all(row.source for row in OMISE_DECLINES.rows)


def test_codes_that_say_nothing_end_the_ladder_after_a_few() -> None:
    caps = {code: cap for code in FAILURE_CODES if (cap := classify(OMISE_DECLINES, FAILURE, code).cap) is not None}
    assert caps == {"payment_rejected": 2, "failed_processing": 3}


def test_a_missing_card_is_the_customers_and_a_missing_customer_the_merchants() -> None:
    assert classify(OMISE_DECLINES, API_CARD, "not_found").klass is DeclineClass.ACTION
    assert classify(OMISE_DECLINES, API, "not_found").klass is DeclineClass.MERCHANT


REJECTED = {"status": "failed", "failure_code": "payment_rejected", "failure_message": "Issuer Declined"}


@pytest.mark.parametrize(
    ("fields", "kind", "klass", "raw"),
    [
        ({}, OutcomeKind.SUCCEEDED, None, None),
        ({"status": "pending", "authorize_uri": "https://3ds"}, OutcomeKind.PENDING, None, None),
        (REJECTED, OutcomeKind.DECLINED, DeclineClass.SOFT, "payment_rejected"),
        (
            {**REJECTED, "merchant_advice": "Declined. Do not retry transaction with same card."},
            OutcomeKind.DECLINED,
            DeclineClass.HARD,
            "do_not_retry",
        ),
        ({**REJECTED, "merchant_advice_code": "9101"}, OutcomeKind.DECLINED, DeclineClass.HARD, "do_not_retry"),
        ({**REJECTED, "merchant_advice": "Retry later"}, OutcomeKind.DECLINED, DeclineClass.SOFT, "payment_rejected"),
        (
            {"status": "failed", "failure_code": "brand_new", "merchant_advice": "DO NOT RETRY"},
            OutcomeKind.DECLINED,
            DeclineClass.HARD,
            "do_not_retry",
        ),
        (
            {"status": "failed", "failure_code": "expired_card", "merchant_advice": "Do not retry"},
            OutcomeKind.DECLINED,
            DeclineClass.HARD,
            "expired_card",
        ),
        ({"status": "failed", "failure_code": "brand_new"}, OutcomeKind.DECLINED, DeclineClass.SOFT, "brand_new"),
        ({"status": "failed"}, OutcomeKind.DECLINED, DeclineClass.SOFT, "UNKNOWN"),
        ({"status": "expired"}, OutcomeKind.DECLINED, DeclineClass.ACTION, "expired"),
        ({"status": "reversed"}, OutcomeKind.DECLINED, DeclineClass.MERCHANT, "reversed"),
    ],
)
def test_each_charge_is_one_outcome_with_class_and_raw_code(
    fields: dict[str, Any], kind: OutcomeKind, klass: DeclineClass | None, raw: str | None
) -> None:
    outcome = outcome_of(paid(**fields), OMISE_DECLINES, NOW)
    assert (outcome.kind, outcome.klass, outcome.raw_code) == (kind, klass, raw)
    assert (outcome.rule is not None) == (kind is OutcomeKind.DECLINED)


def test_an_advice_that_overrides_a_code_keeps_it_in_the_message() -> None:
    found = paid(**REJECTED, merchant_advice="Do not retry transaction with same card")
    assert found.message == "payment_rejected: Issuer Declined: Do not retry transaction with same card"


@pytest.mark.parametrize("code", ["stolen_or_lost_card", "failed_fraud_check"])
def test_customers_are_told_nothing_of_stolen_cards_and_fraud(code: str) -> None:
    outcome = outcome_of(paid(status="failed", failure_code=code), OMISE_DECLINES, NOW)
    assert outcome.reason_key == ReasonKey.DECLINED.value
