"""Xendit's failure codes, advices and API errors. Source of the codes: the contract sheet, A2 and A7; classes: ours."""

from __future__ import annotations

from dunning.domain.declines import DeclineClass, DeclineRow, DeclineTable

_H, _A, _S = DeclineClass.HARD, DeclineClass.ACTION, DeclineClass.SOFT
_T, _M = DeclineClass.TECHNICAL, DeclineClass.MERCHANT

FAILURE = "error_code"
"""The field that holds a failed payment's code, in our own words; Xendit calls it `failure_code`."""
NETWORK = "network_code"
ADVICE = "merchant_advice"
STATUS = "status"
API = "api_code"

_FAILURES: dict[str, DeclineClass] = {
    "INSUFFICIENT_BALANCE": _S,
    "PAYMENT_AMOUNT_LIMITS_EXCEEDED": _S,
    "PAYMENT_ATTEMPT_COUNTS_EXCEEDED": _S,
    "CARD_DECLINED": _S,
    "DECLINED_BY_ISSUER": _S,
    "DECLINED_BY_PROCESSOR": _S,
    "FAILURE_DETAILS_UNAVAILABLE": _S,
    "ISSUER_UNAVAILABLE": _T,
    "CHANNEL_UNAVAILABLE": _T,
    "PROCESSOR_ERROR": _T,
    "SERVER_ERROR": _T,
    "TIMEOUT_ERROR": _T,
    "PARTNER_TIMEOUT_ERROR": _T,
    "EXPIRED_CARD": _H,  # the method is dead: only another one helps
    "STOLEN_CARD": _H,
    "SUSPECTED_FRAUDULENT": _H,
    "INACTIVE_OR_UNAUTHORIZED_CARD": _H,  # unless the network code says otherwise: see NETWORK
    "INVALID_TOKEN": _A,
    "INVALID_ACCOUNT_DETAILS": _A,
    "ACCOUNT_ACCESS_BLOCKED": _A,
    "ACCOUNT_NOT_ACTIVATED": _A,
    "INVALID_CVV": _A,
    "AUTHENTICATION_FAILED": _A,
    "USER_DECLINED_PAYMENT": _A,
    "USER_DID_NOT_AUTHORIZE": _A,
    "USER_DEVICE_UNREACHABLE": _S,
    "EXPIRED_OTP": _A,
    "INVALID_OTP": _A,
    "OTP_ATTEMPT_COUNTS_EXCEEDED": _A,
    "PAYMENT_REQUEST_EXPIRED": _A,
    "CAPTURE_AMOUNT_EXCEEDED": _M,
    "INVALID_MERCHANT_SETTINGS": _M,
    "INVALID_MERCHANT_CREDENTIALS": _M,
}

_NETWORK_NAMES: dict[str, DeclineClass] = {
    "ISSUER_SUSPECT_FRAUD": _H,
    "INVALID_CARD": _H,
    "TRANSACTION_BLOCKED": _H,
    "PARTIAL_APPROVAL": _M,
}

_CYCLES: dict[str, DeclineClass] = {
    "API_VALIDATION_ERROR": _M,
    "CUSTOMER_NOT_FOUND_ERROR": _M,
    "MAX_AMOUNT_LIMIT_ERROR": _S,
    "FORBIDDEN": _M,
    "CHANNEL_NOT_ACTIVATED": _M,
    "DUPLICATE_ERROR": _M,
    "IDEMPOTENCY_ERROR": _M,
    "OTP_DELIVERY_ERROR": _T,
    "MAX_ACCOUNT_LINKING": _A,
    "INVALID_PAYMENT_METHOD": _A,
    "PARTNER_CHANNEL_ERROR": _T,
    "MAXIMUM_LIMIT_REACHED": _S,
}

_SDK: dict[str, DeclineClass] = {
    "AUTHENTICATION_REQUIRED": _A,
    "STRONG_CUSTOMER_AUTHENTICATION_REQUIRED": _A,
    "PROCESSOR_TEMPORARILY_UNAVAILABLE": _T,
    "PROCESSOR_TIMEOUT": _T,
    "REJECTED_BY_ACQUIRER": _S,
    "PROCESSOR_CONFIGURATION_ERROR": _M,
    "DENIED_PERSON_LIST_MATCHED": _H,
    "PAYMENT_METHOD_NOT_FOUND_ERROR": _A,
    "PAYMENT_STATUS_FAILED": _S,
    "AMOUNT_MISMATCHED": _M,
    "CURRENCY_MISMATCHED": _M,
    "CUSTOMER_PAYMENT_METHOD_MISMATCHED": _M,
    "COF_COMBINATION_NOT_ALLOWED_ERROR": _M,
    "FEATURE_NOT_ACTIVATED": _M,
    "UNAUTHORIZED": _M,
    "DUPLICATE_REFERENCE": _M,
}

_TOKENS: dict[str, DeclineClass] = {"ACCOUNT_ALREADY_LINKED": _A}
"""What a token alone may fail with; its other codes are those of payments."""

_CAPS = {
    "CARD_DECLINED": 3,
    "DECLINED_BY_ISSUER": 3,
    "DECLINED_BY_PROCESSOR": 2,
    "FAILURE_DETAILS_UNAVAILABLE": 2,
    "USER_DEVICE_UNREACHABLE": 1,
    "REJECTED_BY_ACQUIRER": 2,
}
"""None of them says what is wrong, so the same answer again and again ends the ladder."""

WAITS = {"PAYMENT_AMOUNT_LIMITS_EXCEEDED": 86_400, "PAYMENT_ATTEMPT_COUNTS_EXCEEDED": 86_400}
"""Limits by the day: seconds before which a retry meets the same one."""

_ADVICE: dict[str, DeclineClass] = {
    "01": _A,  # the card was replaced: its new details are needed
    "02": _S,
    "03": _H,
    "04": _M,
    "08": _M,
    "21": _H,
    "22": _M,
    **dict.fromkeys(("24", "25", "26", "27", "28", "29", "30"), _S),
}
ADVISED_WAITS = {
    "02": 72 * 3600,
    "24": 3600,
    "25": 86_400,
    "26": 2 * 86_400,
    "27": 4 * 86_400,
    "28": 6 * 86_400,
    "29": 8 * 86_400,
    "30": 10 * 86_400,
}
"""Advices that name a time: seconds to stay away."""
SILENT_ADVICE = frozenset({"40", "41", "42", "99"})
"""Advices that ask for nothing: the failure code stands."""

_NETWORK: dict[str, DeclineClass] = {
    "92": _T,  # a temporary system error, although it comes as INACTIVE_OR_UNAUTHORIZED_CARD
    "94": _M,  # a duplicate, although it comes as DECLINED_BY_PROCESSOR: a person has to reconcile
}

_STATUSES: dict[str, DeclineClass] = {"EXPIRED": _A, "CANCELED": _M}
"""A payment that ended without a failure code: nobody confirmed it, or somebody of the merchant's took it back."""

_API: dict[str, DeclineClass] = {
    "INVALID_VALUE_ERROR": _M,
    "API_VALIDATION_ERROR": _M,
    "CARD_EXPIRED": _H,
    "INVALID_PAYMENT_DETAILS": _A,
    "PAYMENT_REQUEST_RATE_LIMITED": _T,
    "INVALID_TOKEN": _A,
    "INACTIVE_PAYMENT_REQUEST": _M,
    "BLOCKED_TOKEN": _A,
    "TEMPORARILY_UNAVAILABLE": _T,
    "SKIP_3DS_FORBIDDEN": _M,
    "INVALID_MERCHANT_SETTINGS": _M,
    "ACCOUNT_ACCESS_BLOCKED": _A,
    "ACCOUNT_ALREADY_LINKED": _A,
    "CHANNEL_UNAVAILABLE": _T,
    "ISSUER_UNAVAILABLE": _T,
    "DATA_NOT_FOUND": _A,  # the token is unknown: another one has to be linked
    "CUSTOMER_NOT_FOUND_ERROR": _M,
    "REQUEST_FORBIDDEN_ERROR": _M,
    "INVALID_API_KEY": _M,
    "DUPLICATE_ERROR": _M,
    "IDEMPOTENCY_ERROR": _M,
    "INVALID_PAYMENT_TOKEN_ID": _A,
    "INELIGIBLE_CYCLE_REQUEST": _M,
    "MAXIMUM_LIMIT_REACHED": _M,
    "UNPROCESSABLE_ENTITY_ERROR": _M,
    "UNSUPPORTED_AMOUNT": _M,  # ours: an amount that the currency has no unit for is not sent
    "MAXIMUM_KEYS_REACHED": _M,  # ours: more metadata than is taken
}

_SOURCES: tuple[tuple[dict[str, DeclineClass], str, str], ...] = (
    (_FAILURES, FAILURE, "Xendit, payment failure codes (2024-11-11); sheet A7"),
    (_NETWORK_NAMES, FAILURE, "Xendit, card network declines; sheet A7"),
    (_CYCLES, FAILURE, "Xendit, subscription payment failure codes; sheet A7"),
    (_SDK, FAILURE, "Xendit, xendit-python 7.0.0; sheet A7"),
    (_TOKENS, FAILURE, "Xendit, payment token failure codes; sheet A2.4"),
    (_ADVICE, ADVICE, "Xendit, merchant advice codes; sheet A7"),
    (_NETWORK, NETWORK, "Xendit, card network declines; sheet A7"),
    (_STATUSES, STATUS, "Xendit, payment statuses; sheet A2.4"),
    (_API, API, "Xendit, API errors; sheet A1, A2.2 to A2.4"),
)

XENDIT_DECLINES = DeclineTable(
    provider="xendit",
    version="2026-11-21",
    rows=tuple(
        DeclineRow(
            code=code, klass=klass, source=source, field=field, cap=_CAPS.get(code) if field == FAILURE else None
        )
        for codes, field, source in _SOURCES
        for code, klass in codes.items()
    ),
)
