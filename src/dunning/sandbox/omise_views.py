"""How the books look in Omise's words. Sheet B2."""

from __future__ import annotations

from typing import Any

from dunning.sandbox.book import Payment, PaymentMethod, Subscription
from dunning.sandbox.omise_bodies import wire_instant
from dunning.sandbox.omise_cards import ADVICE, ADVICE_CODE, MESSAGES, failure_code
from dunning.sandbox.omise_schedule_book import OmiseSchedule

STATUSES = {"succeeded": "successful", "failed": "failed", "cancelled": "expired"}
_EMBEDDED = 20


def card_view(card: PaymentMethod, customer_id: str | None) -> dict[str, Any]:
    """A stored card."""
    path = f"/customers/{customer_id}/cards/{card.payment_method_id}" if customer_id else None
    return {
        "object": "card",
        "id": card.payment_method_id,
        "livemode": False,
        "location": path,
        "deleted": False,
        "brand": card.network,
        "last_digits": card.last4,
        "expiration_month": int(card.expiry_month),
        "expiration_year": int(card.expiry_year),
        "fingerprint": f"fp{card.last4}",
        "bank": "SANDBOX BANK",
        "country": "th",
        "financing": "credit",
        "name": "Sandbox Customer",
        "security_code_check": True,
        "created_at": wire_instant(card.created_at),
    }


def customer_view(one: Subscription) -> dict[str, Any]:
    """A customer with the first of their cards; one that was destroyed shows little."""
    head = {"object": "customer", "id": one.subscription_id, "livemode": False}
    if one.status == "cancelled":
        return {**head, "deleted": True}
    cards = list(one.customer.methods.values())
    location = f"/customers/{one.subscription_id}"
    return {
        **head,
        "location": location,
        "deleted": False,
        "default_card": one.payment_method_id,
        "email": one.customer.email,
        "description": one.description,
        "metadata": dict(one.metadata),
        "cards": {
            "object": "list",
            "data": [card_view(card, one.subscription_id) for card in cards[:_EMBEDDED]],
            "limit": _EMBEDDED,
            "offset": 0,
            "total": len(cards),
            "location": f"{location}/cards",
            "order": "chronological",
            "from": "1970-01-01T00:00:00Z",
            "to": wire_instant(one.created_at),
        },
        "created_at": wire_instant(one.created_at),
    }


def charge_view(payment: Payment, refunded: int) -> dict[str, Any]:
    """A charge. `retry_after_seconds` is no field of Omise's: it carries a scripted advised wait."""
    is_paid = payment.status == "succeeded"
    owner = payment.subscription
    card = payment.customer.methods.get(payment.payment_method_id or "")
    status = STATUSES.get(payment.status, "pending")
    view = {
        "object": "charge",
        "id": payment.payment_id,
        "livemode": False,
        "location": f"/charges/{payment.payment_id}",
        "amount": payment.amount,
        "currency": payment.currency.lower(),
        "description": payment.description,
        "status": status,
        "capture": True,
        "authorized": is_paid,
        "paid": is_paid,
        "paid_at": wire_instant(payment.updated_at) if is_paid else None,
        "captured_amount": payment.amount if is_paid else 0,
        "refunded_amount": refunded,
        "refundable": is_paid and refunded < payment.amount,
        "reversed": False,
        "voided": False,
        "expired": status == "expired",
        "authorize_uri": None,
        "return_uri": None,
        "customer": owner.subscription_id if owner else None,
        "card": card_view(card, owner.subscription_id if owner else None) if card else None,
        "schedule": payment.schedule_id,
        "transaction": f"trxn_test_{payment.payment_id[-19:]}" if is_paid else None,
        "metadata": dict(payment.metadata),
        "ip": None,
        "dispute": None,
        "created_at": wire_instant(payment.created_at),
        **_failure(payment),
    }
    if payment.retry_after_seconds is not None:
        view["retry_after_seconds"] = payment.retry_after_seconds
    return view


def _failure(payment: Payment) -> dict[str, Any]:
    word = payment.error_code
    code = failure_code(word) if word is not None else None
    is_advised = word == "DO_NOT_HONOR"
    return {
        "failure_code": code,
        "failure_message": None if code is None else MESSAGES.get(code, f"the charge failed: {code}"),
        "merchant_advice": ADVICE if is_advised else None,
        "merchant_advice_code": ADVICE_CODE if is_advised else None,
        "missing_3ds_fields": None,
    }


def schedule_view(one: OmiseSchedule) -> dict[str, Any]:
    """A schedule as the API and its events show it."""
    on = ", ".join(str(value) for value in one.on.values())
    days = [day.isoformat() for day in one.next_days()]
    return {
        "object": "schedule",
        "id": one.schedule_id,
        "livemode": False,
        "location": f"/schedules/{one.schedule_id}",
        "status": one.status,
        "active": one.runs,
        "deleted": one.status == "deleted",
        "every": one.every,
        "period": one.period,
        "on": dict(one.on),
        "in_words": f"Every {one.every} {one.period}(s)" + (f" on {on}" if on else ""),
        "start_on": one.start.isoformat(),
        "end_on": one.end.isoformat(),
        "charge": {
            "amount": one.amount,
            "currency": one.currency.lower(),
            "description": one.description,
            "customer": one.customer.subscription_id,
            "card": one.card.payment_method_id if one.card is not None else None,
            "default_card": one.card is None,
            "metadata": dict(one.metadata),
        },
        "occurrences": {"object": "list", "total": len(one.occurrences), "data": []},
        "next_occurrences_on": days,
        "created_at": wire_instant(one.created_at),
    }
