"""Dodo's routes for subscriptions that exist: reading, charging, changing."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from dunning.sandbox.bank import ChargeOrder
from dunning.sandbox.book import Subscription, machine_now, read_instant
from dunning.sandbox.dodo_models import ChargeRequest, PatchRequest, UpdateMethodRequest
from dunning.sandbox.dodo_shared import (
    NeverAnswered,
    follow_business_clock,
    found_subscription,
    link_url,
    require_key,
)
from dunning.sandbox.errors import ApiError
from dunning.sandbox.here import Here
from dunning.sandbox.paging import Page, created_between, page_of
from dunning.sandbox.state import Sandbox
from dunning.sandbox.views import subscription_view, wire_instant

router = APIRouter(dependencies=[Depends(require_key)])


@router.get("/subscriptions")
async def listing(
    *,
    sandbox: Here,
    page: Annotated[Page, Depends(Page.from_query)],
    status: str | None = None,
    customer_id: str | None = None,
    product_id: str | None = None,
    cancel_at_next_billing_date: bool | None = None,
) -> dict[str, Any]:
    """`GET /subscriptions`, newest first."""
    wanted = [
        one
        for one in reversed(sandbox.book.subscriptions.values())
        if (status is None or one.status == status)
        and (customer_id is None or one.customer.customer_id == customer_id)
        and (product_id is None or one.product_id == product_id)
        and cancel_at_next_billing_date in (None, one.cancel_at_next_billing_date)
        and created_between(one.created_at, page)
    ]
    return {"items": [subscription_view(one) for one in page_of(wanted, page)]}


@router.get("/subscriptions/{subscription_id}")
async def read(sandbox: Here, subscription_id: str, request: Request) -> dict[str, Any]:
    """`GET /subscriptions/{id}`."""
    subscription = found_subscription(sandbox, subscription_id)
    follow_business_clock(sandbox, request, subscription)
    return subscription_view(subscription)


@router.post("/subscriptions/{subscription_id}/charge")
async def charge(sandbox: Here, subscription_id: str, body: ChargeRequest) -> Response:
    """`POST /subscriptions/{id}/charge`: an acceptance; the outcome follows."""
    subscription = found_subscription(sandbox, subscription_id)
    metadata = subscription.metadata if body.metadata is None else body.metadata
    currency = body.product_currency or subscription.currency
    order = ChargeOrder(body.product_price, currency, dict(metadata))
    payment, is_lost = sandbox.bank.charge(subscription, order)
    return NeverAnswered(sandbox) if is_lost else JSONResponse({"payment_id": payment.payment_id})


@router.patch("/subscriptions/{subscription_id}")
async def patch(sandbox: Here, subscription_id: str, body: PatchRequest) -> dict[str, Any]:
    """`PATCH /subscriptions/{id}`."""
    subscription = found_subscription(sandbox, subscription_id)
    if "pause" in body.model_fields_set:
        raise ApiError("INVALID_REQUEST_BODY", "pause was removed; set status to paused.")
    if body.status is not None:
        _change_status(sandbox, subscription, body)
    if body.cancel_at_next_billing_date is not None:
        subscription.cancel_at_next_billing_date = body.cancel_at_next_billing_date
    if body.next_billing_date is not None:
        instant = read_instant(body.next_billing_date)
        if instant is None or instant <= machine_now():
            raise ApiError("INVALID_REQUEST_PARAMETERS", "next_billing_date must be an instant to come.")
        subscription.next_billing_date = instant
    if body.metadata is not None:
        subscription.metadata = dict(body.metadata)
    return subscription_view(subscription)


@router.post("/subscriptions/{subscription_id}/update-payment-method")
async def update_method(
    sandbox: Here, subscription_id: str, body: UpdateMethodRequest, request: Request
) -> dict[str, Any]:
    """`POST /subscriptions/{id}/update-payment-method`."""
    subscription = found_subscription(sandbox, subscription_id)
    if subscription.status not in ("active", "on_hold", "past_due", "paused"):
        raise ApiError("SUBSCRIPTION_INACTIVE", f"The subscription is {subscription.status}.")
    if body.type == "new":
        link = sandbox.mandates.open_update(subscription, body.return_url)
        url, expires = link_url(sandbox, request, link.link_id), wire_instant(link.expires_at)
        return {"payment_link": url, "payment_id": None, "client_secret": None, "expires_on": expires}
    method = subscription.customer.methods.get(body.payment_method_id or "")
    if method is None:
        raise ApiError("NO_ELIGIBLE_PAYMENT_METHODS", "The customer has no such payment method.")
    payments = sandbox.bank.update_method(subscription, method, None)
    payment_id = payments[0].payment_id if payments else None
    return {"payment_link": None, "payment_id": payment_id, "client_secret": None, "expires_on": None}


def _change_status(sandbox: Sandbox, subscription: Subscription, body: PatchRequest) -> None:
    if body.status not in ("cancelled", "paused", "active"):
        raise ApiError("INVALID_REQUEST_BODY", "status can be set to cancelled, paused or active.")
    if body.status != "cancelled" and len(body.model_fields_set) > 1:
        raise ApiError("INVALID_REQUEST_BODY", f"status {body.status} must be sent alone.")
    if subscription.status in ("cancelled", "expired", "failed"):
        if body.status == subscription.status:
            return
        raise ApiError("SUBSCRIPTION_INACTIVE", f"The subscription is {subscription.status}.")
    subscription.status = body.status
    if body.status == "cancelled":
        subscription.cancelled_at = machine_now()
        sandbox.emit("subscription.cancelled", subscription)
    elif body.status == "paused":
        subscription.paused_at = machine_now()
        sandbox.emit("subscription.paused", subscription)
    else:
        subscription.paused_at = None
        sandbox.emit("subscription.active", subscription)
