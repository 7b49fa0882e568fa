"""How the books look in Xendit's words: major units, upper-case statuses. Sheet A2."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dunning.domain.money import to_major
from dunning.sandbox.book import Customer, Payment, PaymentMethod, Subscription
from dunning.sandbox.xendit_words import advice_code, failure_code, network_code

STATUSES = {"succeeded": "SUCCEEDED", "failed": "FAILED", "cancelled": "CANCELED"}
BUSINESS_ID = "5f27a14a9bf05c73dd040bc8"
_FEES = ("xendit_fee", "value_added_tax", "xendit_withholding_tax", "third_party_withholding_tax")
CARD_NETWORKS = frozenset({"visa", "mastercard", "jcb", "amex"})


def wire_instant(instant: datetime | None) -> str | None:
    """Milliseconds in UTC, or null."""
    return None if instant is None else instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def major(amount: int, currency: str) -> int | float:
    """Minor units as a JSON number in major ones."""
    exact = to_major(amount, currency)
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def channel_of(method: PaymentMethod) -> str:
    """Cards are one channel, whatever their network; everything else is its own."""
    return "CARDS" if method.network.lower() in CARD_NETWORKS else method.network.upper()


def payment_id_of(payment: Payment) -> str:
    """A payment request of this sandbox is paid, or not, by one payment."""
    return f"py-{payment.payment_id.removeprefix('pr-')}"


def customer_view(one: Customer, reference: str | None, created_at: datetime) -> dict[str, Any]:
    """A customer."""
    return {
        "id": one.customer_id,
        "reference_id": reference,
        "type": "INDIVIDUAL",
        "individual_detail": {"given_names": one.name, "surname": None},
        "email": one.email,
        "mobile_number": one.phone_number,
        "phone_number": None,
        "business_detail": None,
        "description": None,
        "addresses": [],
        "identity_accounts": [],
        "kyc_documents": [],
        "metadata": None,
        "created": wire_instant(created_at),
        "updated": wire_instant(created_at),
    }


def token_view(
    method: PaymentMethod, owner: Subscription, *, status: str, country: str, link: str | None = None
) -> dict[str, Any]:
    """A payment token."""
    action = {"type": "REDIRECT_CUSTOMER", "descriptor": "WEB_URL", "value": link}
    channel = channel_of(method)
    card = {"masked_card_number": f"XXXXXXXXXXXX{method.last4}", "network": method.network.upper()}
    card |= {"expiry_month": method.expiry_month, "expiry_year": method.expiry_year}
    return {
        "business_id": BUSINESS_ID,
        "reference_id": owner.subscription_id,
        "payment_token_id": method.payment_method_id,
        "customer_id": owner.customer.customer_id,
        "country": country,
        "currency": owner.currency,
        "channel_code": channel,
        "channel_properties": {"card_details": card} if channel == "CARDS" else {},
        "actions": [action] if status == "REQUIRES_ACTION" and link else [],
        "status": status,
        "failure_code": "AUTHENTICATION_FAILED" if status == "FAILED" else None,
        "description": owner.description,
        "metadata": dict(owner.metadata),
        "created": wire_instant(method.created_at),
        "updated": wire_instant(method.created_at),
    }


def _common(payment: Payment, reference: str, country: str) -> dict[str, Any]:
    method = payment.customer.methods.get(payment.payment_method_id or "")
    return {
        "business_id": BUSINESS_ID,
        "reference_id": reference,
        "payment_request_id": payment.payment_id,
        "payment_token_id": payment.payment_method_id,
        "customer_id": payment.customer.customer_id,
        "type": "PAY",
        "country": country,
        "currency": payment.currency,
        "request_amount": major(payment.amount, payment.currency),
        "capture_method": "AUTOMATIC",
        "channel_code": channel_of(method) if method else "CARDS",
        "channel_properties": {},
        "status": STATUSES.get(payment.status, "PENDING"),
        "failure_code": None if payment.error_code is None else failure_code(payment.error_code),
        "metadata": dict(payment.metadata) or None,
        "created": wire_instant(payment.created_at),
        "updated": wire_instant(payment.updated_at or payment.created_at),
    }


def request_view(payment: Payment, reference: str, country: str) -> dict[str, Any]:
    """A payment request: it says that a payment failed, and not what the card network advised."""
    return {
        **_common(payment, reference, country),
        "latest_payment_id": payment_id_of(payment),
        "actions": [],
        "description": payment.description,
    }


def payment_view(payment: Payment, reference: str, country: str) -> dict[str, Any]:
    """A payment, alone or in a message. `retry_after_seconds` is no field of Xendit's: it carries a scripted advised
    wait for which the card networks have no code.
    """
    word, wait = payment.error_code, payment.retry_after_seconds
    told: dict[str, Any] = {"network_response_code": network_code(word), "authorization_code": "A1B2C3"}
    advice = None if word is None else advice_code(word, wait)
    if advice is not None:
        told["merchant_advice_code"] = advice
    captures = []
    if payment.status == "succeeded":
        amount = major(payment.amount, payment.currency)
        capture_id = f"cap-{payment.payment_id.removeprefix('pr-')}"
        at = wire_instant(payment.updated_at)
        captures = [{"capture_id": capture_id, "capture_amount": amount, "capture_timestamp": at}]
    view = {
        **_common(payment, reference, country),
        "payment_id": payment_id_of(payment),
        "captures": captures,
        "payment_details": {"authorization_data": told},
    }
    if wait is not None and advice is None:
        view["retry_after_seconds"] = wait
    return view


def transaction_view(payment: Payment, reference: str) -> dict[str, Any]:
    """A row of the list of transactions."""
    is_paid = payment.status == "succeeded"
    amount = major(payment.amount, payment.currency)
    return {
        "id": f"txn_{payment.payment_id.removeprefix('pr-')}",
        "product_id": payment_id_of(payment),
        "type": "PAYMENT",
        "status": "SUCCESS" if is_paid else "FAILED",
        "channel_category": "CARDS",
        "channel_code": "CARDS",
        "reference_id": reference,
        "account_identifier": None,
        "currency": payment.currency,
        "amount": amount,
        "net_amount": amount,
        "net_amount_currency": payment.currency,
        "cashflow": "MONEY_IN",
        "settlement_status": "PENDING" if is_paid else None,
        "estimated_settlement_time": None,
        "business_id": BUSINESS_ID,
        "fee": {**dict.fromkeys(_FEES, 0), "status": "NOT_APPLICABLE"},
        "created": wire_instant(payment.created_at),
        "updated": wire_instant(payment.updated_at or payment.created_at),
        "product_data": {"payment_request_id": payment.payment_id},
    }
