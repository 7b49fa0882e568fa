"""What we send to Omise, built from our own words. Amounts are minor units on both sides. Sheet B1, B2."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dunning.domain.options import OmiseOptions
from dunning.providers.base import ChargeRequest, MandateRequest, ProviderRefused, RefundRequest
from dunning.providers.omise_wire import ACCOUNT, ENDED, KEY, SUBSCRIPTION, TOKEN

MERCHANT_INITIATED = "MIT"
REASON = "subscription"
"""The same on every attempt: nothing is varied to look different to risk systems (SPEC 7)."""


def charge_body(request: ChargeRequest, card: str) -> dict[str, Any]:
    """`POST /charges`, with the customer absent.

    Our own pairs win over the merchant's of the same name: the look-up depends on them.
    """
    ours = {
        KEY: request.key,
        "retry_attempt": request.retry_attempt,
        "planned_at": wire_instant(request.planned_at),
        "business_at": wire_instant(request.business_at),
        SUBSCRIPTION: request.subscription,
        "obligation": request.obligation,
    }
    return {
        "amount": request.amount,
        "currency": request.currency.lower(),
        "customer": request.reference,
        "card": card,
        "description": request.description,
        "transaction_indicator": MERCHANT_INITIATED,
        "recurring_reason": REASON,
        "metadata": {**plain(request.metadata), **ours},
    }


def customer_body(request: MandateRequest, token: str) -> dict[str, Any]:
    """`POST /customers`: a customer of this subscription alone, with the card that the token stands for."""
    body: dict[str, Any] = {
        "description": f"{request.terms.customer.id}: {request.terms.description}",
        "card": token,
        "metadata": {
            **plain(request.terms.metadata),
            SUBSCRIPTION: request.subscription,
            ACCOUNT: request.account,
            TOKEN: token,
        },
    }
    if request.contacts.email:
        body["email"] = request.contacts.email
    return body


def refund_body(request: RefundRequest) -> dict[str, Any]:
    """`POST /charges/{id}/refunds`."""
    return {"amount": request.amount, "metadata": {**plain(request.metadata), KEY: request.key}}


def options_of(request: MandateRequest) -> OmiseOptions:
    """Omise's options of these terms; raises `ProviderRefused` when they are another provider's."""
    options = request.terms.provider_options
    if not isinstance(options, OmiseOptions):
        raise ProviderRefused("OPTIONS", f"these terms are for {request.terms.provider.value}")
    return options


def plain(metadata: Mapping[str, str | int | bool]) -> dict[str, str | int | bool]:
    """The merchant's pairs without names that are ours: none of them may pass for an attempt's key."""
    return {name: value for name, value in metadata.items() if name not in (KEY, TOKEN, ENDED)}


def wire_instant(instant: datetime) -> str:
    """ISO 8601 in UTC."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
