"""Omise's failure codes and API errors. Source of the codes: the contract sheet, B8 and B9; of the classes: ours."""

from __future__ import annotations

from dunning.domain.declines import DeclineClass, DeclineRow, DeclineTable

_H, _A, _S = DeclineClass.HARD, DeclineClass.ACTION, DeclineClass.SOFT
_T, _M = DeclineClass.TECHNICAL, DeclineClass.MERCHANT

FAILURE = "error_code"
"""The field that holds a failed charge's code, in our own words; Omise calls it `failure_code`."""
ADVICE = "merchant_advice"
DO_NOT_RETRY = "do_not_retry"
STATUS = "status"
API = "api_code"
API_CARD = "api_code.card"
"""An API error about the card: Omise has one `not_found` for whatever is missing, and the remedies differ."""

_FAILURES: dict[str, DeclineClass] = {
    "insufficient_fund": _S,
    "insufficient_balance": _S,
    "payment_rejected": _S,  # an advice not to retry makes it HARD: see ADVICE
    "failed_processing": _S,
    "timeout": _T,
    "stolen_or_lost_card": _H,
    "failed_fraud_check": _H,
    "expired_card": _H,  # the method is dead: only another one helps
    "invalid_account_number": _H,  # the same
    "invalid_account": _A,
    "invalid_security_code": _A,
    "payment_cancelled": _A,
    "confirmed_amount_mismatch": _M,
    "failed_capture": _M,
    "failed_void": _M,
    "failed_reverse": _M,
    "failed_refund": _M,
    "expired_charge": _M,
}

_CAPS = {"payment_rejected": 2, "failed_processing": 3}
"""Neither says what is wrong, so the same answer again and again ends the ladder."""

_STATUSES: dict[str, DeclineClass] = {"expired": _A, "reversed": _M}
"""A charge that ended without a failure code: nobody confirmed it, or somebody of the merchant's took it back."""

_API: dict[str, DeclineClass] = {
    "authentication_failure": _M,
    "backend_error": _T,
    "bad_request": _M,
    "brand_not_supported": _H,  # another card may be of another brand
    "documents_locked": _M,
    "expired_charge": _M,
    "failed_capture": _M,
    "failed_expire": _M,
    "failed_fraud_check": _H,
    "failed_refund": _M,
    "failed_void": _M,
    "invalid_amount": _M,
    "invalid_bank_account": _M,
    "invalid_card": _A,
    "invalid_card_token": _A,
    "invalid_charge": _M,
    "invalid_filters": _M,
    "invalid_page": _M,
    "invalid_recipient": _M,
    "invalid_scope": _M,
    "missing_card": _A,
    "not_found": _M,  # the customer: no other card helps
    "used_token": _A,
}

_FAILURES_SHEET = "Omise, charge failure codes; sheet B8"
_ADVICE_PAGE = "Omise, merchant advice; sheet B8"
_STATUS_SHEET = "Omise, charge statuses; sheet B2.3, B4"
_ERRORS_PAGE = "Omise, API errors; sheet B9"

OMISE_DECLINES = DeclineTable(
    provider="omise",
    version="2026-11-21",
    rows=(
        *(
            DeclineRow(code=code, klass=klass, source=_FAILURES_SHEET, field=FAILURE, cap=_CAPS.get(code))
            for code, klass in _FAILURES.items()
        ),
        DeclineRow(code=DO_NOT_RETRY, klass=_H, source=_ADVICE_PAGE, field=ADVICE),
        *(DeclineRow(code=code, klass=klass, source=_STATUS_SHEET, field=STATUS) for code, klass in _STATUSES.items()),
        *(DeclineRow(code=code, klass=klass, source=_ERRORS_PAGE, field=API) for code, klass in _API.items()),
        DeclineRow(code="not_found", klass=_A, source=_ERRORS_PAGE, field=API_CARD),
    ),
)
