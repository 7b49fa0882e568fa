"""What we send to Dodo, built from our own words. Amounts are minor units on both sides. Sheet D.4."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dunning.domain.options import DodoOptions
from dunning.domain.terms import Address
from dunning.providers.base import ChargeRequest, MandateRequest, ProviderRefused, RefundRequest
from dunning.providers.dodo_wire import FIRST_KEY, KEY, SUBSCRIPTION


def charge_body(request: ChargeRequest) -> dict[str, Any]:
    """`POST /subscriptions/{id}/charge`.

    Our own pairs win over the merchant's of the same name: the look-up depends on them. Attempts differ in
    nothing but key, instants and `retry_attempt` (SPEC 7).
    """
    ours = {
        KEY: request.key,
        "retry_attempt": request.retry_attempt,
        "planned_at": _wire(request.planned_at),
        "business_at": _wire(request.business_at),
        SUBSCRIPTION: request.subscription,
        "obligation": request.obligation,
    }
    return {
        "product_price": request.amount,
        "product_currency": request.currency,
        "product_description": request.description,
        **_given(adaptive_currency_fees_inclusive=request.fees_inclusive),
        "metadata": {**_plain(request.metadata), **ours},
    }


def checkout_body(request: MandateRequest) -> dict[str, Any]:
    """`POST /checkouts`: a hosted page on which the customer authorises on-demand charging."""
    options = options_of(request)
    return {
        "product_cart": [{"product_id": _product(request, options), "quantity": 1}],
        "customer": _customer(request, options),
        "billing_address": _address(request, options),
        "billing_currency": request.terms.currency,
        "metadata": _metadata(request),
        "subscription_data": {"on_demand": _on_demand(request, options)},
        **_given(return_url=options.return_url),
    }


def subscription_body(request: MandateRequest) -> dict[str, Any]:
    """`POST /subscriptions`: the older path, for accounts that ask for it."""
    options = options_of(request)
    return {
        "product_id": _product(request, options),
        "quantity": 1,
        "customer": _customer(request, options),
        "billing": _address(request, options),
        "billing_currency": request.terms.currency,
        "payment_link": True,
        "metadata": _metadata(request),
        "on_demand": _on_demand(request, options),
        **_given(return_url=options.return_url),
    }


def refund_body(request: RefundRequest, product_id: str | None) -> dict[str, Any]:
    """`POST /refunds`. Without `product_id` all of the payment; else a part, in the currency that was paid in."""
    body: dict[str, Any] = {
        "payment_id": request.payment_id,
        "metadata": {**_plain(request.metadata), KEY: request.key},
    }
    if product_id is None:
        return body
    return {**body, "items": [{"item_id": product_id, "amount": request.amount}], "currency": request.currency}


def options_of(request: MandateRequest) -> DodoOptions:
    """Dodo's options of these terms; raises `ProviderRefused` when they are another provider's."""
    options = request.terms.dodo_options
    if options is None:
        raise ProviderRefused("OPTIONS", f"these terms are for {request.terms.provider.value}")
    return options


def _on_demand(request: MandateRequest, options: DodoOptions) -> dict[str, Any]:
    """`mandate_only` has no default at Dodo: leaving it out is refused. A first price is ours, never the product's."""
    first = request.first
    if first is None:
        return {"mandate_only": True, **_fees(options)}
    price = {
        "product_price": first.amount,
        "product_currency": first.currency,
        "product_description": first.description,
    }
    return {"mandate_only": False, **price, **_fees(options)}


def _fees(options: DodoOptions) -> dict[str, Any]:
    return _given(adaptive_currency_fees_inclusive=options.adaptive_currency_fees_inclusive)


def _customer(request: MandateRequest, options: DodoOptions) -> dict[str, Any]:
    if options.customer_id is not None:
        return {"customer_id": options.customer_id}
    contacts = request.contacts
    if not contacts.email:
        raise ProviderRefused("CUSTOMER_EMAIL", "Dodo needs the customer's e-mail address for a mandate")
    return {"email": contacts.email, **_given(name=contacts.name, phone_number=contacts.phone)}


def _address(request: MandateRequest, options: DodoOptions) -> dict[str, Any]:
    """Only the country is in the terms; the rest is personal and comes with the contacts."""
    address = request.contacts.address or Address(country=options.country)
    return address.model_dump(exclude_none=True)


def _metadata(request: MandateRequest) -> dict[str, Any]:
    """Dodo copies them to the payment that the page makes."""
    ours: dict[str, Any] = {SUBSCRIPTION: request.subscription, "merchant_account": request.account}
    first = request.first
    if first is not None:
        ours |= {
            FIRST_KEY: first.key,
            "retry_attempt": first.retry_attempt,
            "planned_at": _wire(first.planned_at),
            "obligation": first.obligation,
        }
    return {**_plain(request.terms.metadata), **ours}


def _product(request: MandateRequest, options: DodoOptions) -> str:
    """The product that stands for the agreement there: an on-demand subscription has exactly one."""
    return options.product_id or request.terms.base_item.product_id


def _plain(metadata: Mapping[str, str | int | bool]) -> dict[str, str | int | bool]:
    """The merchant's pairs without the names that are ours: none of them may pass for an attempt's key."""
    return {name: value for name, value in metadata.items() if name not in (KEY, FIRST_KEY)}


def _given(**values: object) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _wire(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
