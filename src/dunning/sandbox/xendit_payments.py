"""Xendit's routes for payment requests, payments, the list of transactions, and refunds. Sheet A2.4, A2.5."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from dunning.sandbox.book import Payment, Subscription, machine_now, read_instant
from dunning.sandbox.dodo_shared import NeverAnswered, follow_business_clock
from dunning.sandbox.faults import LAG
from dunning.sandbox.here import Here
from dunning.sandbox.state import Sandbox
from dunning.sandbox.xendit_bodies import (
    COUNTRIES,
    CURRENCIES,
    fields_of,
    money,
    one_of,
    page_of,
    pairs,
    require_key,
    require_version,
    text,
)
from dunning.sandbox.xendit_desk import Refund, XenditDesk, XenditOrder, xendit_id
from dunning.sandbox.xendit_errors import XenditError, invalid, not_found
from dunning.sandbox.xendit_views import (
    channel_of,
    major,
    payment_view,
    request_view,
    transaction_view,
    wire_instant,
)

router = APIRouter(dependencies=[Depends(require_key)])
payments = APIRouter(prefix="/v3", dependencies=[Depends(require_key), Depends(require_version)])
REASONS = frozenset({"FRAUDULENT", "DUPLICATE", "REQUESTED_BY_CUSTOMER", "CANCELLATION", "OTHERS"})
_LISTED = ("succeeded", "failed")


@payments.post("/payment_requests")
async def create(sandbox: Here, request: Request) -> Response:
    """`POST /v3/payment_requests` on a token. No idempotency key; for cards the reference is unique."""
    desk = sandbox.xendit
    order, owner = _order_of(desk, await fields_of(request))
    is_known = order.reference in desk.references.values()
    if is_known and channel_of(order.method) == "CARDS":
        raise XenditError("DUPLICATE_ERROR", "A payment request with this reference_id already exists.")
    payment, is_lost = desk.bank.charge(owner, order)
    return NeverAnswered(sandbox) if is_lost else JSONResponse(_request(desk, payment), status_code=201)


@payments.get("/payment_requests/{payment_request_id}")
async def read_request(sandbox: Here, payment_request_id: str, request: Request) -> dict[str, Any]:
    """`GET /v3/payment_requests/{id}`."""
    return _request(sandbox.xendit, _followed(sandbox, request, payment_request_id))


@payments.post("/payment_requests/{payment_request_id}/cancel")
async def cancel(sandbox: Here, payment_request_id: str) -> dict[str, Any]:
    """`POST /v3/payment_requests/{id}/cancel`: what nobody has confirmed yet never will be paid."""
    payment = sandbox.xendit.payment(payment_request_id)
    if payment.is_settled:
        raise XenditError("INACTIVE_PAYMENT_REQUEST", "Payment request is already inactive.")
    payment.status, payment.settles_at = "cancelled", None
    return _request(sandbox.xendit, payment)


@payments.get("/payments/{payment_id}")
async def read_payment(sandbox: Here, payment_id: str, request: Request) -> dict[str, Any]:
    """`GET /v3/payments/{id}`."""
    desk, payment = sandbox.xendit, _followed(sandbox, request, payment_id)
    return payment_view(payment, desk.reference_of(payment), desk.country_of(payment))


@router.get("/transactions")
async def transactions(sandbox: Here, request: Request) -> dict[str, Any]:
    """`GET /transactions`: money that moved or failed to; what is not decided yet is not in it."""
    desk, asked, lag = sandbox.xendit, request.query_params, request.scope.get(LAG)
    newest = machine_now() - timedelta(seconds=lag or 0)
    since, until = (_instant(asked.get(f"created[{one}]")) for one in ("gte", "lte"))
    found = [
        one
        for one in reversed(desk.payments())
        if one.status in _LISTED
        and (lag is None or one.created_at <= newest)
        and (since is None or one.created_at >= since)
        and (until is None or one.created_at <= until)
        and asked.get("reference_id") in (None, desk.reference_of(one))
        and asked.get("currency") in (None, one.currency)
        and asked.get("types") in (None, "PAYMENT")
    ]
    return page_of(request, found, lambda one: transaction_view(one, desk.reference_of(one)))


@router.post("/refunds")
async def refund(sandbox: Here, request: Request) -> dict[str, Any]:
    """`POST /refunds`: all or part; a repeated idempotency key gives the first answer."""
    desk, fields = sandbox.xendit, await fields_of(request)
    key = request.headers.get("idempotency-key")
    scoped = f"refund:{key}" if key else None
    return desk.keep(scoped, json.dumps(fields, sort_keys=True), lambda: _refund(desk, fields))


@router.get("/refunds")
async def refunds(sandbox: Here, request: Request) -> dict[str, Any]:
    """`GET /refunds`."""
    wanted = request.query_params.get("payment_request_id")
    found = [one for one in sandbox.xendit.refunds.values() if wanted in (None, one.payment.payment_id)]
    return page_of(request, found, _refund_view)


@router.get("/refunds/{refund_id}")
async def one_refund(sandbox: Here, refund_id: str) -> dict[str, Any]:
    """`GET /refunds/{id}`."""
    found = sandbox.xendit.refunds.get(refund_id)
    if found is None:
        raise not_found("refund", refund_id)
    return _refund_view(found)


def _order_of(desk: XenditDesk, fields: dict[str, Any]) -> tuple[XenditOrder, Subscription]:
    reference = text(fields, "reference_id")
    if fields.get("type") != "PAY":
        raise invalid("this sandbox takes type PAY with a payment_token_id only")
    country, currency = one_of(fields, "country", COUNTRIES), one_of(fields, "currency", CURRENCIES)
    amount, metadata = money(fields, "request_amount", currency), pairs(fields)
    if fields.get("description") is not None:
        text(fields, "description", most=1000)
    ours = metadata.get("subscription")
    token_id = text(fields, "payment_token_id")
    owner, method = desk.holder(token_id, ours if isinstance(ours, str) else None)
    if desk.token_status(owner, token_id) != "ACTIVE":
        raise XenditError("INVALID_TOKEN", "The payment token is not active.")
    if fields.get("channel_code") not in (None, channel_of(method)):
        raise invalid("channel_code is not the token's")
    if fields.get("channel_properties") and channel_of(method) != "CARDS":
        raise invalid("these channel_properties are for cards")
    _mind_card_on_file(fields.get("channel_properties") or {})
    order = XenditOrder(amount, currency, metadata, method, reference, country, fields.get("description"))
    return order, owner


def _mind_card_on_file(properties: dict[str, Any]) -> None:
    """A recurring charge tells how often and until when; raises `API_VALIDATION_ERROR`."""
    kind = properties.get("card_on_file_type")
    if kind not in (None, "RECURRING", "MERCHANT_UNSCHEDULED", "CUSTOMER_UNSCHEDULED"):
        raise invalid("channel_properties.card_on_file_type is not known")
    if kind != "RECURRING":
        return
    told = properties.get("recurring_configuration")
    expiry = told.get("recurring_expiry") if isinstance(told, dict) else None
    frequency = told.get("recurring_frequency") if isinstance(told, dict) else None
    if not isinstance(expiry, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", expiry):
        raise invalid("recurring_configuration.recurring_expiry must be a date")
    if not isinstance(frequency, int) or frequency < 1:
        raise invalid("recurring_configuration.recurring_frequency must be days, 1 or more")


def _followed(sandbox: Sandbox, request: Request, payment_id: str) -> Payment:
    payment = sandbox.xendit.payment(payment_id)
    follow_business_clock(sandbox, request, payment.subscription)
    return payment


def _request(desk: XenditDesk, payment: Payment) -> dict[str, Any]:
    return request_view(payment, desk.reference_of(payment), desk.country_of(payment))


def _instant(text_: str | None) -> Any:
    if text_ is None:
        return None
    # A plus sign that was not percent-encoded arrives as a space.
    found = read_instant(text_.replace(" ", "+"))
    if found is None:
        raise invalid(f"{text_} is not an instant")
    return found


def _refund(desk: XenditDesk, fields: dict[str, Any]) -> dict[str, Any]:
    payment = desk.payment(text(fields, "payment_request_id"))
    reason = one_of(fields, "reason", REASONS)
    if payment.status != "succeeded":
        raise XenditError("INELIGIBLE_TRANSACTION_STATUS", "Only a successful payment can be refunded.")
    left = payment.amount - desk.refunded(payment)
    amount = left if fields.get("amount") is None else money(fields, "amount", payment.currency)
    if not 0 < amount <= left:
        raise XenditError("REFUND_AMOUNT_EXCEEDED", "The amount is more than is left of the payment.")
    reference = fields.get("reference_id")
    made = Refund(
        refund_id=xendit_id("rfd"),
        payment=payment,
        amount=amount,
        reference=reference if isinstance(reference, str) else None,
        reason=reason,
        metadata=pairs(fields),
        created_at=machine_now(),
    )
    desk.refunds[made.refund_id] = made
    view = _refund_view(made)
    subject = payment.subscription.subscription_id if payment.subscription else payment.payment_id
    desk.tell("refund.succeeded", view, subject)
    return view


def _refund_view(one: Refund) -> dict[str, Any]:
    return {
        "id": one.refund_id,
        "payment_request_id": one.payment.payment_id,
        "payment_id": f"py-{one.payment.payment_id.removeprefix('pr-')}",
        "reference_id": one.reference,
        "amount": major(one.amount, one.payment.currency),
        "currency": one.payment.currency,
        "status": "SUCCEEDED",
        "reason": one.reason,
        "failure_code": None,
        "refund_fee_amount": None,
        "metadata": dict(one.metadata) or None,
        "created": wire_instant(one.created_at),
        "updated": wire_instant(one.created_at),
    }
