"""Dodo's routes for payments and customers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from dunning.sandbox.book import Customer, Payment, machine_now
from dunning.sandbox.dodo_shared import follow_business_clock, require_key
from dunning.sandbox.errors import ApiError
from dunning.sandbox.faults import LAG
from dunning.sandbox.here import Here
from dunning.sandbox.paging import Page, created_between, page_of
from dunning.sandbox.state import Sandbox
from dunning.sandbox.views import BRAND_ID, method_view, payment_list_view, payment_view

router = APIRouter(dependencies=[Depends(require_key)])


@dataclass(frozen=True)
class Wanted:
    """The filters of the payment list; all that are given must fit."""

    subscription_id: str | None = None
    customer_id: str | None = None
    status: str | None = None
    currency: str | None = None
    product_id: str | None = None
    brand_id: str | None = None

    def fits(self, payment: Payment) -> bool:
        """Whether a payment is wanted."""
        subscription = payment.subscription
        facts = (
            (self.subscription_id, subscription.subscription_id if subscription else None),
            (self.customer_id, payment.customer.customer_id),
            (self.status, payment.status),
            (self.currency, payment.currency),
            (self.product_id, subscription.product_id if subscription else None),
            (self.brand_id, BRAND_ID),
        )
        return all(asked is None or asked == fact for asked, fact in facts)


@router.get("/payments")
async def listing(
    sandbox: Here,
    request: Request,
    page: Annotated[Page, Depends(Page.from_query)],
    wanted: Annotated[Wanted, Depends(Wanted)],
) -> dict[str, Any]:
    """`GET /payments`, newest first."""
    lag = request.scope.get(LAG)
    newest = None if lag is None else machine_now() - timedelta(seconds=lag)
    found = [
        one
        for one in reversed(_candidates(sandbox, request, wanted.subscription_id))
        if wanted.fits(one) and (newest is None or one.created_at <= newest) and created_between(one.created_at, page)
    ]
    return {"items": [payment_list_view(one) for one in page_of(found, page)]}


@router.get("/payments/{payment_id}")
async def read(sandbox: Here, payment_id: str, request: Request) -> dict[str, Any]:
    """`GET /payments/{id}`."""
    payment = sandbox.book.payments.get(payment_id)
    if payment is None:
        raise ApiError("NOT_FOUND", f"There is no payment {payment_id}.")
    follow_business_clock(sandbox, request, payment.subscription)
    return payment_view(payment, sandbox.settings.business_id, sandbox.book.refunds_of(payment))


def _candidates(sandbox: Sandbox, request: Request, subscription_id: str | None) -> list[Payment]:
    if subscription_id is None:
        return list(sandbox.book.payments.values())
    subscription = sandbox.book.subscriptions.get(subscription_id)
    if subscription is None:
        return []
    follow_business_clock(sandbox, request, subscription)
    return sandbox.book.payments_of(subscription)


@router.get("/customers/{customer_id}/payment-methods")
async def methods(sandbox: Here, customer_id: str) -> dict[str, Any]:
    """`GET /customers/{id}/payment-methods`."""
    customer = _found_customer(sandbox, customer_id)
    return {"items": [method_view(one) for one in customer.methods.values()]}


@router.post("/customers/{customer_id}/customer-portal/session")
async def portal(sandbox: Here, customer_id: str, request: Request) -> dict[str, Any]:
    """`POST /customers/{id}/customer-portal/session`."""
    customer = _found_customer(sandbox, customer_id)
    base = sandbox.settings.public_url or str(request.base_url)
    return {"link": f"{base.rstrip('/')}/portal/{customer.customer_id}"}


def _found_customer(sandbox: Sandbox, customer_id: str) -> Customer:
    found = sandbox.book.customers.get(customer_id)
    if found is None:
        raise ApiError("NOT_FOUND", f"There is no customer {customer_id}.")
    return found
