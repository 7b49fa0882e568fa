"""Classes of declines are data; six codes are never softened; customers learn nothing that endangers them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dunning.domain.declines import (
    ALWAYS_HARD,
    CONCEALED,
    DeclineClass,
    DeclineRow,
    DeclineTable,
    ReasonKey,
    classify,
    customer_reason,
)
from dunning.providers.dodo_declines import DODO_DECLINES

CODES = (Path(__file__).parent.parent / "fixtures" / "dodo_decline_codes.txt").read_text().split()
NEVER = ["STOLEN_CARD", "LOST_CARD", "PICKUP_CARD", "FRAUDULENT", "DO_NOT_HONOR", "AUTHENTICATION_FAILURE"]

BY_CLASS = {
    DeclineClass.SOFT: "CARD_VELOCITY_EXCEEDED GENERIC_DECLINE INSUFFICIENT_FUNDS LIMIT_EXCEEDED REENTER_TRANSACTION",
    DeclineClass.TECHNICAL: (
        "NETWORK_ERROR NETWORK_TIMEOUT ORDER_CREATION_FAILED PROCESSING_ERROR TRY_AGAIN_LATER UNKNOWN_ERROR"
    ),
    DeclineClass.MERCHANT: "INVALID_AMOUNT INVALID_REQUEST MANDATE_REQUIRED_SYSTEM",
    DeclineClass.HARD: (
        "AUTHENTICATION_FAILURE CARD_DECLINED DO_NOT_HONOR EXPIRED_CARD FRAUDULENT INVALID_ACCOUNT LOST_CARD "
        "PAYMENT_METHOD_PROVIDER_DECLINED PAYMENT_METHOD_UNSUPPORTED PICKUP_CARD PROVIDER_UNSUPPORTED "
        "REVOCATION_OF_AUTHORIZATION STOLEN_CARD TRANSACTION_NOT_ALLOWED TRANSACTION_NOT_APPROVED"
    ),
    DeclineClass.ACTION: (
        "AUTHENTICATION_REQUIRED AUTHENTICATION_TIMEOUT CARD_NOT_ACTIVATED CUSTOMER_CANCELLED INCORRECT_CVC "
        "INCORRECT_NUMBER INVALID_CARD_NUMBER INVALID_CARD_OWNER INVALID_CVC INVALID_EXPIRY_YEAR INVALID_PIN "
        "INVALID_UPI_ID LIVE_MODE_TEST_CARD MANDATE_INVALID MANDATE_REQUIRED"
    ),
}


def test_every_code_that_dodo_lists_has_a_row_and_no_row_is_invented():
    rows = [row.code for row in DODO_DECLINES.rows if row.field == "error_code"]
    assert len(CODES) == 44
    assert sorted(rows) == sorted(CODES)


def test_each_code_has_the_class_that_was_decided_for_it():
    expected = {code: klass for klass, codes in BY_CLASS.items() for code in codes.split()}
    assert len(expected) == 44
    assert {code: classify(DODO_DECLINES, "error_code", code).klass for code in CODES} == expected


def test_every_row_names_its_source():
    assert all(row.source for row in DODO_DECLINES.rows)


@pytest.mark.parametrize("code", NEVER)
def test_the_six_are_hard_at_every_provider_whatever_its_table_says(code):
    soft = DeclineTable(
        provider="x", version="1", rows=(DeclineRow(code=code, klass=DeclineClass.SOFT, source="a page"),)
    )
    found = classify(soft, "error_code", code)
    assert (found.klass, found.rule_id, found.is_unknown) == (DeclineClass.HARD, f"universal.{code}", False)
    assert code in ALWAYS_HARD
    assert len(ALWAYS_HARD) == 6


@pytest.mark.parametrize("code", NEVER)
def test_the_six_are_hard_in_any_field_and_any_case(code):
    assert classify(DODO_DECLINES, "some_other_field", f" {code.lower()} ").klass is DeclineClass.HARD


def test_codes_are_compared_without_regard_to_case():
    lower = classify(DODO_DECLINES, "error_code", "insufficient_funds")
    assert lower == classify(DODO_DECLINES, "error_code", "INSUFFICIENT_FUNDS")
    assert lower.rule_id == f"dodo@{DODO_DECLINES.version}.INSUFFICIENT_FUNDS"


@pytest.mark.parametrize("code", ["ISSUER_UNAVAILABLE", "", None, "  "])
def test_an_unknown_or_missing_code_is_soft_and_flagged(code):
    found = classify(DODO_DECLINES, "error_code", code)
    assert (found.klass, found.is_unknown) == (DeclineClass.SOFT, True)
    assert found.rule_id.endswith(".unknown")


def test_a_code_counts_only_in_its_own_field():
    assert classify(DODO_DECLINES, "api_code", "MERCHANT_NOT_LIVE").klass is DeclineClass.MERCHANT
    assert classify(DODO_DECLINES, "error_code", "MERCHANT_NOT_LIVE").is_unknown


def test_a_soft_code_may_carry_a_cap():
    assert classify(DODO_DECLINES, "error_code", "REENTER_TRANSACTION").cap == 1
    assert classify(DODO_DECLINES, "error_code", "INSUFFICIENT_FUNDS").cap is None


def test_a_table_with_two_rows_for_one_code_is_refused():
    rows = [DeclineRow(code=c, klass=DeclineClass.SOFT, source="s") for c in ("A_CODE", "a_code")]
    with pytest.raises(ValidationError, match="one row"):
        DeclineTable(provider="x", version="1", rows=tuple(rows))


@pytest.mark.parametrize("code", sorted(CONCEALED))
@pytest.mark.parametrize("klass", list(DeclineClass))
def test_stolen_lost_pick_up_and_fraud_read_like_any_other_refusal(code, klass):
    told = customer_reason(klass, code)
    assert told is customer_reason(DeclineClass.HARD, "DO_NOT_HONOR") is ReasonKey.DECLINED
    assert told is customer_reason(DeclineClass.HARD, "CARD_DECLINED")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("INSUFFICIENT_FUNDS", ReasonKey.INSUFFICIENT_FUNDS),
        ("EXPIRED_CARD", ReasonKey.EXPIRED),
        ("AUTHENTICATION_REQUIRED", ReasonKey.AUTHENTICATION),
        ("INCORRECT_CVC", ReasonKey.DETAILS),
        ("MANDATE_INVALID", ReasonKey.MANDATE),
        ("GENERIC_DECLINE", ReasonKey.GENERIC),
    ],
)
def test_other_reasons_may_be_told_in_words(code, reason):
    assert customer_reason(classify(DODO_DECLINES, "error_code", code).klass, code) is reason


@given(st.text(max_size=40), st.sampled_from(DeclineClass))
def test_no_raw_code_ever_reaches_a_customer(code, klass):
    assert customer_reason(klass, code) in set(ReasonKey)
