"""Xendit's routes that lead to a token: customers, hosted sessions, tokens of one channel. Sheet A2.1, A2.4."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from dunning.sandbox.book import (
    Customer,
    Link,
    MetadataValue,
    PaymentMethod,
    Subscription,
    machine_now,
    new_id,
    read_instant,
)
from dunning.sandbox.here import Here
from dunning.sandbox.state import Sandbox
from dunning.sandbox.xendit_bodies import (
    COUNTRIES,
    CURRENCIES,
    fields_of,
    one_of,
    pairs,
    require_key,
    require_version,
    text,
)
from dunning.sandbox.xendit_desk import PROVIDER, Session, XenditDesk, xendit_id
from dunning.sandbox.xendit_errors import XenditError, invalid, not_found
from dunning.sandbox.xendit_views import BUSINESS_ID, customer_view, wire_instant

router = APIRouter(dependencies=[Depends(require_key)])
tokens = APIRouter(prefix="/v3", dependencies=[Depends(require_key), Depends(require_version)])
SESSION_COUNTRIES = frozenset("ID PH VN TH SG MY".split())  # noqa: SIM905 - a word list
SESSION_CURRENCIES = frozenset("IDR PHP VND THB SGD MYR USD".split())  # noqa: SIM905 - a word list
SESSION_LIFE = timedelta(minutes=30)


@router.post("/customers")
async def create_customer(sandbox: Here, request: Request) -> dict[str, Any]:
    """`POST /customers`: the reference is unique; a repeated idempotency key gives the first answer."""
    desk, fields = sandbox.xendit, await fields_of(request)
    key = request.headers.get("idempotency-key")
    scoped = f"customer:{key}" if key else None
    return desk.keep(scoped, json.dumps(fields, sort_keys=True), lambda: _new_customer(desk, fields))


@router.get("/customers")
async def customers(sandbox: Here, reference_id: str) -> dict[str, Any]:
    """`GET /customers?reference_id=`."""
    found = sandbox.xendit.customers.get(reference_id)
    rows = [] if found is None else [customer_view(found, reference_id, machine_now())]
    return {"data": rows, "has_more": False}


@router.get("/customers/{customer_id}")
async def read_customer(sandbox: Here, customer_id: str) -> dict[str, Any]:
    """`GET /customers/{id}`."""
    found = _customer(sandbox, customer_id)
    reference = next((name for name, one in sandbox.xendit.customers.items() if one is found), None)
    return customer_view(found, reference, machine_now())


@router.post("/sessions")
async def open_session(sandbox: Here, request: Request) -> Response:
    """`POST /sessions`: a hosted page that saves a payment method."""
    fields = await fields_of(request)
    if fields.get("session_type") != "SAVE" or fields.get("mode") != "PAYMENT_LINK":
        raise invalid("this sandbox opens sessions of type SAVE in mode PAYMENT_LINK only")
    if fields.get("amount") != 0:
        raise invalid("amount must be 0 for SAVE")
    text(fields, "reference_id", most=64)
    one_of(fields, "country", SESSION_COUNTRIES)
    one_of(fields, "currency", SESSION_CURRENCIES)
    expires_at = read_instant(fields.get("expires_at")) or machine_now() + SESSION_LIFE
    agreement = _agreement(_customer(sandbox, text(fields, "customer_id")), fields, pairs(fields))
    link = _link(agreement, fields.get("success_return_url"))
    session_id = f"ps-{new_id('x')[2:].ljust(24, '0')}"
    session = Session(session_id, agreement, link, _page(sandbox, request, link), expires_at, fields)
    sandbox.xendit.sessions[session.session_id] = session
    link.on_answer = lambda approves: _answer_session(sandbox, session, approves)
    sandbox.book.add_link(link)
    sandbox.mandates.follow_script(link)
    return JSONResponse(_session_view(session), status_code=201)


@router.get("/sessions/{session_id}")
async def read_session(sandbox: Here, session_id: str) -> dict[str, Any]:
    """`GET /sessions/{id}`."""
    session = _session(sandbox, session_id)
    if session.status == "ACTIVE" and machine_now() > session.expires_at:
        _end_session(sandbox, session, "EXPIRED")
    return _session_view(session)


@router.post("/sessions/{session_id}/cancel")
async def cancel_session(sandbox: Here, session_id: str) -> dict[str, Any]:
    """`POST /sessions/{id}/cancel`."""
    session = _session(sandbox, session_id)
    if session.status != "ACTIVE":
        raise invalid(f"the session is {session.status}")
    session.status, session.link.is_used = "CANCELED", True
    return _session_view(session)


@tokens.post("/payment_tokens")
async def create_token(sandbox: Here, request: Request) -> Response:
    """`POST /v3/payment_tokens` for a channel with a page of its own; cards are saved in a session."""
    desk, fields = sandbox.xendit, await fields_of(request)
    text(fields, "reference_id")
    channel = text(fields, "channel_code")
    if channel == "CARDS":
        raise XenditError("INVALID_PAYMENT_DETAILS", "card_details are needed")
    country, _ = one_of(fields, "country", COUNTRIES), one_of(fields, "currency", CURRENCIES)
    agreement = _agreement(_customer(sandbox, text(fields, "customer_id")), fields, pairs(fields))
    agreement.billing = {"country": country}
    method = _saved(agreement, channel)
    desk.token_states[method.payment_method_id] = "REQUIRES_ACTION"
    sandbox.book.add_subscription(agreement)
    link = _link(agreement, None)
    link.on_answer = lambda approves: _answer_token(sandbox, agreement, approves)
    desk.token_links[method.payment_method_id] = _page(sandbox, request, link)
    sandbox.book.add_link(link)
    sandbox.mandates.follow_script(link)
    return JSONResponse(desk.token(method.payment_method_id), status_code=201)


@tokens.get("/payment_tokens/{token_id}")
async def read_token(sandbox: Here, token_id: str) -> dict[str, Any]:
    """`GET /v3/payment_tokens/{id}`."""
    return sandbox.xendit.token(token_id)


@tokens.post("/payment_tokens/{token_id}/cancel")
async def cancel_token(sandbox: Here, token_id: str) -> dict[str, Any]:
    """`POST /v3/payment_tokens/{id}/cancel`."""
    desk = sandbox.xendit
    owner, _ = desk.holder(token_id)
    if desk.token_status(owner, token_id) in ("CANCELED", "EXPIRED", "FAILED"):
        raise XenditError("INELIGIBLE_TRANSACTION_STATUS", "The payment token is not active.")
    desk.token_states[token_id] = "CANCELED"
    return desk.token(token_id)


def _new_customer(desk: XenditDesk, fields: dict[str, Any]) -> dict[str, Any]:
    reference = text(fields, "reference_id")
    detail = fields.get("individual_detail")
    if fields.get("type") != "INDIVIDUAL" or not isinstance(detail, dict):
        raise invalid("this sandbox takes customers of type INDIVIDUAL with an individual_detail")
    name = text(detail, "given_names", most=50)
    if fields.get("email") is not None:
        text(fields, "email", most=50)
    if reference in desk.customers:
        raise XenditError("DUPLICATE_ERROR", "A customer with this reference_id already exists.")
    customer = desk.book.customer(
        xendit_id("cust"), name=name, email=fields.get("email"), phone_number=fields.get("mobile_number")
    )
    desk.customers[reference] = customer
    return customer_view(customer, reference, machine_now())


def _customer(sandbox: Sandbox, customer_id: str) -> Customer:
    found = sandbox.book.customers.get(customer_id)
    if found is None:
        raise not_found("customer", customer_id)
    return found


def _agreement(customer: Customer, fields: dict[str, Any], metadata: dict[str, MetadataValue]) -> Subscription:
    token_id, ours = xendit_id("pt"), metadata.get("subscription")
    return Subscription(
        subscription_id=token_id,
        customer=customer,
        currency=str(fields["currency"]),
        status="pending",
        created_at=machine_now(),
        script_name=ours if isinstance(ours, str) else token_id,
        metadata=metadata,
        billing={"country": str(fields["country"])},
        provider=PROVIDER,
        description=fields.get("description"),
    )


def _saved(agreement: Subscription, network: str) -> PaymentMethod:
    method = PaymentMethod(agreement.subscription_id, network=network)
    agreement.customer.methods[method.payment_method_id] = method
    agreement.payment_method_id = method.payment_method_id
    return method


def _link(agreement: Subscription, return_url: str | None) -> Link:
    return Link(new_id("lnk"), "mandate", agreement.customer, machine_now(), agreement, return_url=return_url)


def _page(sandbox: Sandbox, request: Request, link: Link) -> str:
    """Pages stand at the sandbox's own root, not under this provider's."""
    base = sandbox.settings.public_url or f"{request.url.scheme}://{request.url.netloc}"
    return f"{base.rstrip('/')}/pay/{link.link_id}"


def _session(sandbox: Sandbox, session_id: str) -> Session:
    found = sandbox.xendit.sessions.get(session_id)
    if found is None:
        raise not_found("session", session_id)
    return found


def _answer_session(sandbox: Sandbox, session: Session, approves: bool) -> None:
    if not approves:
        _end_session(sandbox, session, "EXPIRED")
        return
    agreement = session.agreement
    method = _saved(agreement, "visa")
    agreement.status = "active"
    sandbox.book.add_subscription(agreement)
    session.status, session.token_id = "COMPLETED", method.payment_method_id
    sandbox.xendit.tell("payment_session.completed", _session_view(session), agreement.subscription_id)
    sandbox.xendit.tell(
        "payment_token.activation", sandbox.xendit.token(method.payment_method_id), agreement.subscription_id
    )


def _end_session(sandbox: Sandbox, session: Session, status: str) -> None:
    session.status, session.link.is_used = status, True
    subject = session.agreement.subscription_id
    sandbox.xendit.tell("payment_session.expired", _session_view(session), subject)


def _answer_token(sandbox: Sandbox, agreement: Subscription, approves: bool) -> None:
    token_id = agreement.subscription_id
    agreement.status = "active" if approves else "failed"
    sandbox.xendit.token_states[token_id] = "ACTIVE" if approves else "FAILED"
    word = "payment_token.activation" if approves else "payment_token.failure"
    sandbox.xendit.tell(word, sandbox.xendit.token(token_id), token_id)


def _session_view(one: Session) -> dict[str, Any]:
    kept = ("reference_id", "session_type", "mode", "amount", "currency", "country", "locale", "description")
    return {
        **{name: one.fields.get(name) for name in kept},
        "payment_session_id": one.session_id,
        "customer_id": one.agreement.customer.customer_id,
        "expires_at": wire_instant(one.expires_at),
        "success_return_url": one.fields.get("success_return_url"),
        "cancel_return_url": one.fields.get("cancel_return_url"),
        "metadata": dict(one.agreement.metadata) or None,
        "items": None,
        "status": one.status,
        "payment_link_url": one.url,
        "payment_token_id": one.token_id,
        "payment_request_id": None,
        "business_id": BUSINESS_ID,
        "created": wire_instant(one.agreement.created_at),
        "updated": wire_instant(machine_now()),
    }
