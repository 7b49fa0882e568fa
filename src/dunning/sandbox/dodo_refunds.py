"""Dodo's routes for refunds, and disputes as the control API makes them. Sheet D.4.8, D.7."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import Field, StrictInt

from dunning.sandbox.book import Payment, Refund, machine_now, new_id
from dunning.sandbox.dodo_models import Body, Currency, Metadata
from dunning.sandbox.dodo_shared import require_key
from dunning.sandbox.errors import ApiError
from dunning.sandbox.here import Here
from dunning.sandbox.paging import Page, created_between, page_of
from dunning.sandbox.signing import dodo_message
from dunning.sandbox.state import Sandbox
from dunning.sandbox.views import dispute_view, refund_list_view, refund_view

router = APIRouter(dependencies=[Depends(require_key)])
control = APIRouter(prefix="/_sandbox")

RefundState = Literal["succeeded", "failed", "pending", "review"]


class RefundItem(Body):
    """A part of a payment: one product of it."""

    item_id: str = Field(min_length=1)
    amount: StrictInt | None = Field(default=None, ge=0)
    tax_inclusive: bool = True


class RefundBody(Body):
    """`POST /refunds`; without items all of the payment."""

    payment_id: str = Field(min_length=1)
    items: list[RefundItem] | None = None
    currency: Currency | None = None
    reason: str | None = Field(default=None, max_length=3000)
    metadata: Metadata = Field(default_factory=dict)


class Settle(Body):
    """What a refund comes to in the end."""

    status: RefundState


class Dispute(Body):
    """A dispute of a payment; the status as Dodo writes it."""

    payment_id: str
    status: str = "dispute_opened"


@router.post("/refunds")
async def refund(sandbox: Here, body: RefundBody) -> dict[str, Any]:
    """`POST /refunds`: all or part. There is no idempotency: a second request is a second refund."""
    payment = sandbox.book.payments.get(body.payment_id)
    if payment is None:
        raise ApiError("NOT_FOUND", f"There is no payment {body.payment_id}.")
    amount = _amount(sandbox, payment, body)
    made = Refund(
        refund_id=new_id("rfd"),
        payment=payment,
        amount=amount,
        status=sandbox.settings.refund_status,
        reason=body.reason,
        metadata=dict(body.metadata),
        created_at=machine_now(),
    )
    sandbox.book.refunds[made.refund_id] = made
    _tell(sandbox, made)
    return refund_view(made, sandbox.settings.business_id)


@router.get("/refunds")
async def listing(
    *,
    sandbox: Here,
    page: Annotated[Page, Depends(Page.from_query)],
    status: RefundState | None = None,
    customer_id: str | None = None,
    subscription_id: str | None = None,
) -> dict[str, Any]:
    """`GET /refunds`, newest first; rows carry no metadata."""
    found = [
        one
        for one in reversed(sandbox.book.refunds.values())
        if status in (None, one.status)
        and customer_id in (None, one.payment.customer.customer_id)
        and subscription_id in (None, _subscription_of(one.payment))
        and created_between(one.created_at, page)
    ]
    return {"items": [refund_list_view(one, sandbox.settings.business_id) for one in page_of(found, page)]}


@router.get("/refunds/{refund_id}")
async def read(sandbox: Here, refund_id: str) -> dict[str, Any]:
    """`GET /refunds/{id}`."""
    return refund_view(_found(sandbox, refund_id), sandbox.settings.business_id)


@control.post("/refunds/{refund_id}")
async def settle(sandbox: Here, refund_id: str, body: Settle) -> dict[str, Any]:
    """A pending refund comes to its end, or one that counted as made comes back."""
    found = _found(sandbox, refund_id)
    found.status = body.status
    _tell(sandbox, found)
    return refund_view(found, sandbox.settings.business_id)


@control.post("/disputes")
async def dispute(sandbox: Here, body: Dispute) -> dict[str, Any]:
    """A customer disputes a payment, or that dispute goes on."""
    payment = sandbox.book.payments.get(body.payment_id)
    if payment is None:
        raise ApiError("NOT_FOUND", f"There is no payment {body.payment_id}.")
    sandbox.book.disputed[payment.payment_id] = body.status
    view = dispute_view(payment, body.status, sandbox.settings.business_id)
    event_type = body.status.replace("dispute_", "dispute.", 1)
    subject = _subscription_of(payment) or payment.payment_id
    sandbox.courier.send(dodo_message(event_type, subject, lambda: view, sandbox.settings))
    return view


def _amount(sandbox: Sandbox, payment: Payment, body: RefundBody) -> int:
    """What is to be given back, minor units; the provider's checks in its words."""
    left = payment.amount - sandbox.book.refunded(payment)
    if payment.status != "succeeded":
        raise ApiError("PAYMENT_NOT_SUCCEEDED", "Only a succeeded payment can be refunded.")
    if payment.amount == 0:
        raise ApiError("ZERO_AMOUNT_PAYMENT_REFUND_NOT_ALLOWED", "Nothing was paid.")
    if left <= 0:
        raise ApiError("PAYMENT_ALREADY_REFUNDED", "The payment was refunded already.")
    if body.currency not in (None, payment.currency):
        raise ApiError("UNSUPPORTED_CURRENCY", f"The payment was made in {payment.currency}.")
    if body.items is None:
        return left
    product = payment.subscription.product_id if payment.subscription else None
    if any(item.item_id != product for item in body.items):
        raise ApiError("LINE_ITEM_NOT_FOUND", "An item is not one of the payment's.")
    amount = sum(left if item.amount is None else item.amount for item in body.items)
    if amount <= 0:
        raise ApiError("NOTHING_TO_REFUND", "Nothing is to be refunded.")
    if amount > left:
        raise ApiError("REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT", f"At most {left} is left.")
    return amount


def _tell(sandbox: Sandbox, made: Refund) -> None:
    """Only ends are told."""
    if made.status not in ("succeeded", "failed"):
        return
    subject = _subscription_of(made.payment) or made.payment.payment_id

    def data() -> dict[str, Any]:
        return {"payload_type": "Refund", **refund_view(made, sandbox.settings.business_id)}

    sandbox.courier.send(dodo_message(f"refund.{made.status}", subject, data, sandbox.settings))


def _subscription_of(payment: Payment) -> str | None:
    return payment.subscription.subscription_id if payment.subscription else None


def _found(sandbox: Sandbox, refund_id: str) -> Refund:
    found = sandbox.book.refunds.get(refund_id)
    if found is None:
        raise ApiError("NOT_FOUND", f"There is no refund {refund_id}.")
    return found
