"""What scripts' words are called at Xendit, what card networks advise, and amounts that decline. Sheet A7, A8."""

from __future__ import annotations

from dunning.domain.money import to_major

CODES = {
    "INSUFFICIENT_FUNDS": "INSUFFICIENT_BALANCE",
    "DO_NOT_HONOR": "DECLINED_BY_ISSUER",
    "LOST_CARD": "STOLEN_CARD",
    "PICKUP_CARD": "STOLEN_CARD",
    "FRAUDULENT": "SUSPECTED_FRAUDULENT",
    "AUTHENTICATION_FAILURE": "AUTHENTICATION_FAILED",
    "GENERIC_DECLINE": "CARD_DECLINED",
    "LIMIT_EXCEEDED": "PAYMENT_AMOUNT_LIMITS_EXCEEDED",
    "CARD_VELOCITY_EXCEEDED": "PAYMENT_ATTEMPT_COUNTS_EXCEEDED",
    "MANDATE_INVALID": "INVALID_TOKEN",
    "INVALID_ACCOUNT": "INVALID_ACCOUNT_DETAILS",
    "TRANSACTION_NOT_ALLOWED": "INACTIVE_OR_UNAUTHORIZED_CARD",
    "PROCESSING_ERROR": "PROCESSOR_ERROR",
    "NETWORK_TIMEOUT": "TIMEOUT_ERROR",
    "NETWORK_ERROR": "ISSUER_UNAVAILABLE",
    "TRY_AGAIN_LATER": "CHANNEL_UNAVAILABLE",
}
"""What words of scripts that were written for another provider are called here."""

_DO_NOT_RETRY = "03"
_ADVISED = {
    3_600: "24",
    86_400: "25",
    2 * 86_400: "26",
    72 * 3_600: "02",
    4 * 86_400: "27",
    6 * 86_400: "28",
    8 * 86_400: "29",
    10 * 86_400: "30",
}
_NETWORK = {
    "INSUFFICIENT_BALANCE": "51",
    "EXPIRED_CARD": "54",
    "STOLEN_CARD": "43",
    "SUSPECTED_FRAUDULENT": "59",
    "INVALID_CVV": "82",
    "ISSUER_UNAVAILABLE": "91",
    "INACTIVE_OR_UNAUTHORIZED_CARD": "57",
}
_AMOUNTS = {
    10051: "EXPIRED_CARD",
    10052: "SUSPECTED_FRAUDULENT",
    10053: "DECLINED_BY_PROCESSOR",
    10054: "INSUFFICIENT_BALANCE",
    10055: "STOLEN_CARD",
    10056: "INACTIVE_OR_UNAUTHORIZED_CARD",
    10057: "PROCESSOR_ERROR",
    10058: "INVALID_CVV",
    10059: "DECLINED_BY_ISSUER",
}
_AMOUNTS_VND = {
    405400: "EXPIRED_CARD",
    405900: "SUSPECTED_FRAUDULENT",
    405100: "INSUFFICIENT_BALANCE",
    400700: "STOLEN_CARD",
    405500: "INACTIVE_OR_UNAUTHORIZED_CARD",
    402500: "PROCESSOR_ERROR",
    403900: "INVALID_CVV",
    400300: "DECLINED_BY_ISSUER",
}


def failure_code(word: str) -> str:
    """A scripted decline as Xendit calls it; its own codes stay as they are."""
    return CODES.get(word, word)


def advice_code(word: str, wait_seconds: int | None) -> str | None:
    """The merchant advice that says what a script says, where there is one."""
    if word == "DO_NOT_HONOR":
        return _DO_NOT_RETRY
    return _ADVISED.get(wait_seconds) if wait_seconds is not None else None


def network_code(word: str | None) -> str:
    """The card network's own response code."""
    return "00" if word is None else _NETWORK.get(failure_code(word), "05")


def declined_amount(amount: int, currency: str) -> str | None:
    """How a card payment of this amount (minor units) is declined in test mode, if it is."""
    exact = to_major(amount, currency)
    amounts = _AMOUNTS_VND if currency == "VND" else _AMOUNTS
    return amounts.get(int(exact)) if exact == exact.to_integral_value() else None
