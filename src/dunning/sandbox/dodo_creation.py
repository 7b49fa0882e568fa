"""Dodo's routes that begin something: checkouts and subscriptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Depends, Request

from dunning.sandbox.book import Customer, MetadataValue, Subscription, machine_now, new_id
from dunning.sandbox.dodo_models import CheckoutRequest, CustomerRef, OnDemand, SubscriptionRequest
from dunning.sandbox.dodo_shared import link_url, require_key
from dunning.sandbox.errors import ApiError
from dunning.sandbox.here import Here
from dunning.sandbox.state import Sandbox
from dunning.sandbox.views import customer_view, wire_instant

DEFAULT_CURRENCY = "USD"
router = APIRouter(dependencies=[Depends(require_key)])


@router.post("/checkouts")
async def checkout(sandbox: Here, body: CheckoutRequest, request: Request) -> dict[str, Any]:
    """`POST /checkouts`."""
    customer = _customer(sandbox, body.customer)
    item = body.product_cart[0]
    if body.subscription_data is None:
        amount = sum((one.amount or 0) * one.quantity for one in body.product_cart)
        currency = body.billing_currency or DEFAULT_CURRENCY
        link = sandbox.mandates.open_payment(customer, amount, currency, body.return_url)
        link.metadata = dict(body.metadata)
    else:
        on_demand = body.subscription_data.on_demand
        _refuse_extras(on_demand, addons=item.addons, discounts=body.discount_codes, one_time=None)
        subscription = _new_subscription(customer, on_demand, item.product_id, item.quantity, body.metadata)
        subscription.currency = _currency(on_demand, body.billing_currency)
        if body.billing_address is not None:
            subscription.billing = body.billing_address.model_dump()
        link = sandbox.mandates.open_mandate(subscription, body.return_url, checkout=True)
    return {
        "session_id": link.session_id,
        "checkout_url": link_url(sandbox, request, link.link_id),
        "client_secret": None,
        "payment_id": None,
        "publishable_key": None,
    }


@router.get("/checkouts/{session_id}")
async def checkout_status(sandbox: Here, session_id: str) -> dict[str, Any]:
    """`GET /checkouts/{id}`: its payment names the subscription once completed."""
    link = sandbox.book.sessions.get(session_id)
    if link is None:
        raise ApiError("NOT_FOUND", f"There is no checkout session {session_id}.")
    return {
        "id": session_id,
        "created_at": wire_instant(link.created_at),
        "customer_email": link.customer.email,
        "customer_name": link.customer.name,
        "payment_id": link.payment.payment_id if link.payment else None,
        "payment_status": link.payment.status if link.payment else None,
    }


@router.post("/subscriptions")
async def create(sandbox: Here, body: SubscriptionRequest, request: Request) -> dict[str, Any]:
    """`POST /subscriptions`."""
    codes = body.discount_codes or ([body.discount_code] if body.discount_code else None)
    _refuse_extras(body.on_demand, addons=body.addons, discounts=codes, one_time=body.one_time_product_cart)
    customer = _customer(sandbox, body.customer)
    subscription = _new_subscription(customer, body.on_demand, body.product_id, body.quantity, body.metadata)
    subscription.currency = _currency(body.on_demand, body.billing_currency)
    subscription.billing = body.billing.model_dump()
    link = sandbox.mandates.open_mandate(subscription, body.return_url, checkout=False)
    payment_id = link.payment.payment_id if link.payment else ""
    return {
        "subscription_id": subscription.subscription_id,
        "payment_id": payment_id,
        "customer": customer_view(customer),
        "metadata": subscription.metadata,
        "recurring_pre_tax_amount": subscription.price,
        "addons": [],
        "payment_method_required": True,
        "payment_link": link_url(sandbox, request, link.link_id) if body.payment_link else None,
        "client_secret": None if body.payment_link else f"{payment_id}_secret",
        "expires_on": wire_instant(link.expires_at),
        "discount_ids": [],
        "trial_amount": None,
    }


def _customer(sandbox: Sandbox, wanted: CustomerRef | None) -> Customer:
    if wanted is None:
        return sandbox.book.customer(None)
    if wanted.customer_id is not None:
        known = sandbox.book.customers.get(wanted.customer_id)
        if known is None:
            raise ApiError("NOT_FOUND", f"There is no customer {wanted.customer_id}.")
        return known
    if not wanted.email:
        raise ApiError("INVALID_REQUEST_BODY", "customer: customer_id or email is needed")
    return sandbox.book.customer(None, email=wanted.email, name=wanted.name, phone_number=wanted.phone_number)


def _new_subscription(
    customer: Customer,
    on_demand: OnDemand | None,
    product_id: str,
    quantity: int,
    metadata: Mapping[str, MetadataValue],
) -> Subscription:
    subscription_id = new_id("sub")
    reference = metadata.get("subscription")
    return Subscription(
        subscription_id=subscription_id,
        customer=customer,
        currency=DEFAULT_CURRENCY,
        status="pending",
        created_at=machine_now(),
        script_name=reference if isinstance(reference, str) else subscription_id,
        metadata=dict(metadata),
        product_id=product_id,
        quantity=quantity,
        price=(on_demand.product_price or 0) if on_demand else 0,
        on_demand=on_demand is not None,
        mandate_only=on_demand.mandate_only if on_demand else False,
    )


def _currency(on_demand: OnDemand | None, billing_currency: str | None) -> str:
    return (on_demand.product_currency if on_demand else None) or billing_currency or DEFAULT_CURRENCY


def _refuse_extras(
    on_demand: OnDemand | None,
    *,
    addons: list[Any] | None,
    discounts: list[str] | None,
    one_time: list[Any] | None,
) -> None:
    if on_demand is None:
        return
    if addons:
        raise ApiError("ADDONS_NOT_ALLOWED_FOR_ON_DEMAND", "On-demand subscriptions have no add-ons.")
    if discounts:
        raise ApiError("DISCOUNT_NOT_AVAILABLE_FOR_ON_DEMAND", "On-demand subscriptions have no discounts.")
    if one_time:
        raise ApiError("ONE_TIME_PRODUCTS_NOT_ALLOWED_FOR_ON_DEMAND", "On-demand subscriptions take no products.")
