"""Dodo's decline codes and API errors. Source of the codes: the contract sheet, D.7 and D.8; of the classes: ours."""

from __future__ import annotations

from dunning.domain.declines import ALWAYS_HARD, DeclineClass, DeclineRow, DeclineTable

_H, _A, _S = DeclineClass.HARD, DeclineClass.ACTION, DeclineClass.SOFT
_T, _M = DeclineClass.TECHNICAL, DeclineClass.MERCHANT

_DECLINES: dict[str, DeclineClass] = {
    "AUTHENTICATION_FAILURE": _H,  # the guide forbids a retry (C1)
    "AUTHENTICATION_REQUIRED": _A,
    "AUTHENTICATION_TIMEOUT": _A,
    "CARD_DECLINED": _H,
    "CARD_NOT_ACTIVATED": _A,
    "CARD_VELOCITY_EXCEEDED": _S,
    "CUSTOMER_CANCELLED": _A,
    "DO_NOT_HONOR": _H,
    "EXPIRED_CARD": _H,  # the method is dead: only another one helps
    "FRAUDULENT": _H,
    "GENERIC_DECLINE": _S,
    "INCORRECT_CVC": _A,
    "INCORRECT_NUMBER": _A,
    "INSUFFICIENT_FUNDS": _S,
    "INVALID_ACCOUNT": _H,
    "INVALID_AMOUNT": _M,
    "INVALID_CARD_NUMBER": _A,
    "INVALID_CARD_OWNER": _A,
    "INVALID_CVC": _A,
    "INVALID_EXPIRY_YEAR": _A,
    "INVALID_PIN": _A,
    "INVALID_REQUEST": _M,
    "INVALID_UPI_ID": _A,
    "LIMIT_EXCEEDED": _S,
    "LIVE_MODE_TEST_CARD": _A,
    "LOST_CARD": _H,
    "MANDATE_INVALID": _A,
    "MANDATE_REQUIRED": _A,
    "MANDATE_REQUIRED_SYSTEM": _M,
    "NETWORK_ERROR": _T,
    "NETWORK_TIMEOUT": _T,
    "ORDER_CREATION_FAILED": _T,
    "PAYMENT_METHOD_PROVIDER_DECLINED": _H,
    "PAYMENT_METHOD_UNSUPPORTED": _H,  # the method is dead
    "PICKUP_CARD": _H,
    "PROCESSING_ERROR": _T,
    "PROVIDER_UNSUPPORTED": _H,  # the method is dead
    "REENTER_TRANSACTION": _S,
    "REVOCATION_OF_AUTHORIZATION": _H,
    "STOLEN_CARD": _H,
    "TRANSACTION_NOT_ALLOWED": _H,
    "TRANSACTION_NOT_APPROVED": _H,
    "TRY_AGAIN_LATER": _T,
    "UNKNOWN_ERROR": _T,
}

_CAPS = {"REENTER_TRANSACTION": 1}
"""One timed retry is reasonable; a second same answer ends the ladder."""

_FAILURES_PAGE = "Dodo, transaction failures (2026); sheet D.7"
_GUIDE = "Dodo, guide to on-demand subscriptions: never retried; sheet D.6"
_ERRORS_PAGE = "Dodo, error codes (2026); sheet D.8"

_API: dict[str, DeclineClass] = {
    "MERCHANT_NOT_LIVE": _M,
    "SUBSCRIPTION_INACTIVE": _A,
    "SUBSCRIPTION_EXPIRED": _A,
    "SUBSCRIPTION_NOT_ON_DEMAND": _M,
    "CHARGE_NOT_ALLOWED_FOR_SCHEDULED_CANCELLATION": _A,
    "SUBSCRIPTION_PAYMENT_RETRY_LIMIT_EXCEEDED": _A,
    "ON_DEMAND_USAGE_BASED_BILLING_NOT_SUPPORTED": _M,
    "ON_DEMAND_PLAN_CHANGE_NOT_SUPPORTED": _M,
    "ON_DEMAND_SUBSCRIPTIONS_NOT_ENABLED": _M,
    "UNSUPPORTED_CURRENCY": _M,
    "UNSUPPORTED_BILLING_CURRENCY": _M,
    "UNSUPPORTED_PAYMENT_CURRENCY": _M,
    "EXCHANGE_RATE_NOT_FOUND": _M,
    "TOTAL_PAYMENT_AMOUNT_BELOW_MINIMUM_AMOUNT": _M,
    "REQUEST_AMOUNT_BELOW_MINIMUM": _M,
    "NO_ELIGIBLE_PAYMENT_METHODS": _A,
    "BYOP_CONNECTOR_DISABLED": _M,
    "INSUFFICIENT_WALLET_FUNDS": _S,
    "INVALID_REQUEST_BODY": _M,
    "INVALID_REQUEST_PARAMETERS": _M,
    "INVALID_QUERY_PARAMS": _M,
    "MAXIMUM_KEYS_REACHED": _M,
    "INTEGER_CONVERSION_FAILURE": _M,
    "NOT_FOUND": _M,
}


def _source(code: str) -> str:
    return _GUIDE if code in ALWAYS_HARD else _FAILURES_PAGE


DODO_DECLINES = DeclineTable(
    provider="dodo",
    version="2026-11-21",
    rows=(
        *(
            DeclineRow(code=code, klass=klass, source=_source(code), cap=_CAPS.get(code))
            for code, klass in _DECLINES.items()
        ),
        *(DeclineRow(code=code, klass=klass, source=_ERRORS_PAGE, field="api_code") for code, klass in _API.items()),
    ),
)
