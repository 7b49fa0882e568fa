"""Omise's routes for charges, refunds and events. Sheet B2.3 to B2.5."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from dunning.sandbox.book import Payment, PaymentMethod, Subscription, machine_now, new_id
from dunning.sandbox.dodo_shared import NeverAnswered, follow_business_clock
from dunning.sandbox.faults import LAG
from dunning.sandbox.here import Here
from dunning.sandbox.omise_bodies import fields_of, listing, pairs, require_secret_key, whole, wire_instant
from dunning.sandbox.omise_desk import OmiseDesk, OmiseOrder, Refund
from dunning.sandbox.omise_errors import OmiseError, not_found
from dunning.sandbox.omise_views import charge_view
from dunning.sandbox.state import Sandbox

router = APIRouter(dependencies=[Depends(require_secret_key)])
LEAST = {"THB": 2_000}
"""Minor units; elsewhere the sandbox's own setting."""
MAX_REFUNDS = 15
_INDICATORS = (None, "MIT", "CIT")


@router.post("/charges")
async def create(sandbox: Here, request: Request) -> Response:
    """`POST /charges`: the outcome is in the answer, a decline too. There is no idempotency."""
    desk, fields = sandbox.omise, await fields_of(request)
    order, customer = _order_of(sandbox, fields)
    payment, is_lost = desk.bank.charge(customer, order)
    return NeverAnswered(sandbox) if is_lost else JSONResponse(charge_view(payment, 0))


@router.get("/charges")
async def charges(sandbox: Here, request: Request) -> dict[str, Any]:
    """`GET /charges`."""
    lag, desk = request.scope.get(LAG), sandbox.omise
    newest = machine_now() - timedelta(seconds=lag or 0)
    found = [one for one in desk.charges() if lag is None or one.created_at <= newest]
    return await listing(request, found, lambda one: one.created_at, lambda one: _shown(desk, one))


@router.get("/charges/{charge_id}")
async def read(sandbox: Here, charge_id: str, request: Request) -> dict[str, Any]:
    """`GET /charges/{id}`."""
    payment = sandbox.omise.charge(charge_id)
    follow_business_clock(sandbox, request, payment.subscription)
    return _shown(sandbox.omise, payment)


@router.patch("/charges/{charge_id}")
async def update(sandbox: Here, charge_id: str, request: Request) -> dict[str, Any]:
    """`PATCH /charges/{id}`: description and metadata."""
    payment, fields = sandbox.omise.charge(charge_id), await fields_of(request)
    if "metadata" in fields:
        payment.metadata = pairs(fields["metadata"])
    payment.description = fields.get("description", payment.description)
    view = _shown(sandbox.omise, payment)
    sandbox.omise.tell("charge.update", view, view["customer"] or charge_id)
    return view


@router.post("/charges/{charge_id}/expire")
async def expire(sandbox: Here, charge_id: str) -> dict[str, Any]:
    """`POST /charges/{id}/expire`: what nobody has confirmed yet never will be paid."""
    payment = sandbox.omise.charge(charge_id)
    if payment.is_settled:
        raise OmiseError("failed_expire", "charge cannot be expired")
    payment.status, payment.settles_at = "cancelled", None
    sandbox.omise.emit("payment.cancelled", payment)
    return _shown(sandbox.omise, payment)


@router.post("/charges/{charge_id}/refunds")
async def refund(sandbox: Here, charge_id: str, request: Request) -> dict[str, Any]:
    """`POST /charges/{id}/refunds`: all or part. There is no idempotency."""
    desk, fields = sandbox.omise, await fields_of(request)
    payment, amount = desk.charge(charge_id), whole(fields.get("amount"), "amount")
    left = payment.amount - desk.refunded(payment)
    if payment.status != "succeeded" or left == 0 or len(desk.refunds_of(payment)) >= MAX_REFUNDS:
        raise OmiseError("failed_refund", "charge cannot be refunded")
    if not 0 < amount <= left:
        raise OmiseError("failed_refund", f"amount must be 1 to {left}")
    made = Refund(new_id("rfnd_test"), payment, amount, pairs(fields.get("metadata")), machine_now())
    desk.refunds[made.refund_id] = made
    desk.tell("refund.create", _refund_view(made), _subject(payment))
    return _refund_view(made)


@router.get("/charges/{charge_id}/refunds")
async def refunds(sandbox: Here, charge_id: str, request: Request) -> dict[str, Any]:
    """`GET /charges/{id}/refunds`."""
    found = sandbox.omise.refunds_of(sandbox.omise.charge(charge_id))
    return await listing(request, found, lambda one: one.created_at, _refund_view)


@router.get("/charges/{charge_id}/refunds/{refund_id}")
async def one_refund(sandbox: Here, charge_id: str, refund_id: str) -> dict[str, Any]:
    """`GET /charges/{id}/refunds/{id}`."""
    found = sandbox.omise.refunds.get(refund_id)
    if found is None or found.payment.payment_id != charge_id:
        raise not_found("refund", refund_id)
    return _refund_view(found)


@router.get("/charges/{charge_id}/events")
async def events_of(sandbox: Here, charge_id: str, request: Request) -> dict[str, Any]:
    """`GET /charges/{id}/events`."""
    sandbox.omise.charge(charge_id)
    found = [one for one in sandbox.omise.events.values() if one.data.get("id") == charge_id]
    return await listing(request, found, lambda one: one.created_at, lambda one: one.view())


@router.get("/refunds")
async def all_refunds(sandbox: Here, request: Request) -> dict[str, Any]:
    """`GET /refunds`."""
    found = list(sandbox.omise.refunds.values())
    return await listing(request, found, lambda one: one.created_at, _refund_view)


@router.get("/events")
async def events(sandbox: Here, request: Request) -> dict[str, Any]:
    """`GET /events`: all of them, whatever became of their delivery."""
    found = list(sandbox.omise.events.values())
    return await listing(request, found, lambda one: one.created_at, lambda one: one.view())


@router.get("/events/{event_id}")
async def event(sandbox: Here, event_id: str) -> dict[str, Any]:
    """`GET /events/{id}`."""
    found = sandbox.omise.events.get(event_id)
    if found is None:
        raise not_found("event", event_id)
    return found.view()


def _order_of(sandbox: Sandbox, fields: dict[str, Any]) -> tuple[OmiseOrder, Subscription]:
    """What a charge request asks for, and of whom; a token or source without a customer is not served here."""
    amount, currency = whole(fields.get("amount"), "amount"), str(fields.get("currency") or "").upper()
    if len(currency) != 3 or not currency.isalpha():
        raise OmiseError("invalid_charge", "currency is not supported")
    if not fields.get("customer"):
        raise OmiseError("bad_request", "this sandbox charges the cards of customers only")
    if fields.get("transaction_indicator") not in _INDICATORS:
        raise OmiseError("bad_request", "transaction_indicator must be MIT or CIT")
    least = LEAST.get(currency, sandbox.settings.minimum_amount)
    if amount < least:
        message = f"amount must be greater than or equal to {least} ({currency.lower()} subunits)"
        raise OmiseError("invalid_charge", message)
    customer = sandbox.omise.customer(str(fields["customer"]))
    card = _card_of(customer, fields.get("card"))
    return OmiseOrder(amount, currency, pairs(fields.get("metadata")), card, fields.get("description")), customer


def _card_of(customer: Subscription, wanted: str | None) -> PaymentMethod:
    card_id = wanted or customer.payment_method_id
    if card_id is None:
        raise OmiseError("missing_card", f"customer {customer.subscription_id} has no card")
    found = customer.customer.methods.get(card_id)
    if found is None:
        raise not_found("card", card_id)
    return found


def _shown(desk: OmiseDesk, payment: Payment) -> dict[str, Any]:
    return charge_view(payment, desk.refunded(payment))


def _subject(payment: Payment) -> str:
    return payment.subscription.subscription_id if payment.subscription else payment.payment_id


def _refund_view(one: Refund) -> dict[str, Any]:
    return {
        "object": "refund",
        "id": one.refund_id,
        "livemode": False,
        "location": f"/charges/{one.payment.payment_id}/refunds/{one.refund_id}",
        "amount": one.amount,
        "currency": one.payment.currency.lower(),
        "voided": False,
        "charge": one.payment.payment_id,
        "transaction": f"trxn_test_{one.refund_id[-19:]}",
        "status": "closed",
        "metadata": dict(one.metadata),
        "created_at": wire_instant(one.created_at),
    }
