"""How the books look on the wire: Dodo's field names, and rows of the charge book."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from dunning.sandbox.book import Customer, Payment, PaymentMethod, Refund, Subscription

BRAND_ID = "bnd_sandbox"
_PERIOD = timedelta(days=30)


def wire_instant(instant: datetime | None) -> str | None:
    """RFC 3339 in UTC with microseconds, or null."""
    return None if instant is None else instant.isoformat(timespec="microseconds").replace("+00:00", "Z")


def customer_view(customer: Customer) -> dict[str, Any]:
    """The customer inside payments and subscriptions."""
    return {
        "customer_id": customer.customer_id,
        "email": customer.email,
        "name": customer.name,
        "phone_number": customer.phone_number,
        "metadata": {},
    }


def method_view(method: PaymentMethod) -> dict[str, Any]:
    """One entry of `GET /customers/{id}/payment-methods`."""
    return {
        "payment_method_id": method.payment_method_id,
        "payment_method": "card",
        "payment_method_type": "credit",
        "recurring_enabled": True,
        "last_used_at": wire_instant(method.last_used_at),
        "card": {
            "last4_digits": method.last4,
            "card_network": method.network,
            "card_type": "credit",
            "expiry_month": method.expiry_month,
            "expiry_year": method.expiry_year,
        },
    }


def subscription_view(one: Subscription) -> dict[str, Any]:
    """A subscription as the API and its webhooks show it."""
    return {
        "subscription_id": one.subscription_id,
        "brand_id": BRAND_ID,
        "status": one.status,
        "customer": customer_view(one.customer),
        "billing": one.billing,
        "metadata": dict(one.metadata),
        "currency": one.currency,
        "product_id": one.product_id,
        "quantity": one.quantity,
        "recurring_pre_tax_amount": one.price,
        "tax_inclusive": True,
        "on_demand": one.on_demand,
        "has_payment_method": one.payment_method_id is not None,
        "payment_method_id": one.payment_method_id,
        "created_at": wire_instant(one.created_at),
        "previous_billing_date": wire_instant(one.created_at),
        "next_billing_date": wire_instant(one.next_billing_date or one.created_at + _PERIOD),
        "payment_frequency_count": 1,
        "payment_frequency_interval": "Month",
        "subscription_period_count": 10,
        "subscription_period_interval": "Year",
        "trial_period_days": 0,
        "cancel_at_next_billing_date": one.cancel_at_next_billing_date,
        "cancelled_at": wire_instant(one.cancelled_at),
        "cancelled_by": {"actor_type": "api_key", "email": None} if one.cancelled_at else None,
        "paused_at": wire_instant(one.paused_at),
        "expires_at": wire_instant(one.expires_at),
        "addons": [],
        "meters": [],
        "discounts": [],
        "credit_entitlement_cart": [],
        "meter_credit_entitlement_cart": [],
    }


def payment_list_view(payment: Payment) -> dict[str, Any]:
    """A row of `GET /payments`: no decline code, which only the payment itself tells."""
    subscription = payment.subscription
    card = payment.customer.methods.get(payment.payment_method_id or "")
    return {
        "payment_id": payment.payment_id,
        "brand_id": BRAND_ID,
        "status": payment.status,
        "subscription_id": subscription.subscription_id if subscription else None,
        "subscription_ids": [subscription.subscription_id] if subscription else [],
        "is_multi_subscription": False,
        "charge_type": payment.charge_type,
        "includes_usage": False,
        "service_periods": [],
        "total_amount": payment.amount,
        "currency": payment.currency,
        "customer": customer_view(payment.customer),
        "metadata": dict(payment.metadata),
        "created_at": wire_instant(payment.created_at),
        "retry_attempt": 0,
        "payment_provider": "dodo",
        "payment_method": "card",
        "payment_method_type": "credit",
        "card_last_four": card.last4 if card else None,
        "card_network": card.network if card else None,
        "card_exp_month": card.expiry_month if card else None,
        "card_exp_year": card.expiry_year if card else None,
        "card_type": "credit",
        "checkout_session_id": payment.checkout_session_id,
        "digital_products_delivered": False,
        "has_license_key": False,
        "dispute_status": None,
        "refund_status": None,
        "invoice_id": None,
    }


def payment_view(payment: Payment, business_id: str, refunds: Sequence[Refund] = ()) -> dict[str, Any]:
    """A payment as `GET /payments/{id}` and webhooks show it.

    `retry_after_seconds` is no field of Dodo's: it carries a scripted advised wait and is absent otherwise.
    """
    view = payment_list_view(payment)
    del view["has_license_key"], view["dispute_status"]
    view |= {
        "business_id": business_id,
        "error_code": payment.error_code,
        "error_message": payment.error_message,
        "is_update_payment_method": payment.is_update_payment_method,
        "settlement_amount": payment.amount,
        "settlement_currency": payment.currency,
        "settlement_tax": 0,
        "tax": 0,
        "billing": payment.subscription.billing if payment.subscription else {"country": "US"},
        "payment_method_id": payment.payment_method_id,
        "payment_link": payment.payment_link,
        "updated_at": wire_instant(payment.updated_at),
        "product_cart": None,
        "refunds": [refund_list_view(one, business_id) for one in refunds],
        "disputes": [],
    }
    if payment.retry_after_seconds is not None:
        view["retry_after_seconds"] = payment.retry_after_seconds
    return view


def refund_list_view(one: Refund, business_id: str) -> dict[str, Any]:
    """A refund in a list, or inside a payment: no metadata."""
    return {
        "refund_id": one.refund_id,
        "payment_id": one.payment.payment_id,
        "business_id": business_id,
        "status": one.status,
        "amount": one.amount,
        "currency": one.payment.currency,
        "is_partial": one.amount < one.payment.amount,
        "reason": one.reason,
        "created_at": wire_instant(one.created_at),
    }


def refund_view(one: Refund, business_id: str) -> dict[str, Any]:
    """A refund as `GET /refunds/{id}` and webhooks show it."""
    return {
        **refund_list_view(one, business_id),
        "brand_id": BRAND_ID,
        "customer": customer_view(one.payment.customer),
        "metadata": dict(one.metadata),
    }


def dispute_view(payment: Payment, status: str, business_id: str) -> dict[str, Any]:
    """A dispute as its webhook shows it; the amount is a decimal string there."""
    return {
        "payload_type": "Dispute",
        "dispute_id": f"dsp_{payment.payment_id.removeprefix('pay_')}",
        "payment_id": payment.payment_id,
        "business_id": business_id,
        "amount": str(payment.amount),
        "currency": payment.currency,
        "dispute_stage": "dispute",
        "dispute_status": status,
        "created_at": wire_instant(payment.created_at),
    }


def charge_row(payment: Payment) -> dict[str, Any]:
    """One row of the charge book."""
    subscription = payment.subscription
    ours = payment.metadata.get("subscription") or (subscription.reference if subscription else None)
    return {
        "payment_id": payment.payment_id,
        "kind": payment.kind,
        "key": payment.key,
        "subscription": ours,
        "subscription_id": subscription.subscription_id if subscription else None,
        "customer_id": payment.customer.customer_id,
        "obligation": payment.metadata.get("obligation"),
        "amount": payment.amount,
        "currency": payment.currency,
        "status": payment.status,
        "error_code": payment.error_code,
        "payment_method_id": payment.payment_method_id,
        "planned_at": payment.metadata.get("planned_at"),
        "business_at": payment.metadata.get("business_at") or wire_instant(payment.business_at),
        "retry_attempt": payment.metadata.get("retry_attempt"),
        "created_at": wire_instant(payment.created_at),
        "metadata": dict(payment.metadata),
    }
