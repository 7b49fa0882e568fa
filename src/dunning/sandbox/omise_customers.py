"""Omise's routes for customers, cards and the vault's tokens. Sheet B2.1."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request

from dunning.sandbox.book import Customer, Subscription, machine_now, new_id
from dunning.sandbox.here import Here
from dunning.sandbox.omise_bodies import (
    fields_of,
    listing,
    pairs,
    require_any_key,
    require_secret_key,
    wire_instant,
)
from dunning.sandbox.omise_cards import Token, card_of
from dunning.sandbox.omise_desk import PROVIDER, OmiseDesk
from dunning.sandbox.omise_errors import OmiseError, not_found
from dunning.sandbox.omise_views import card_view, customer_view

router = APIRouter(dependencies=[Depends(require_secret_key)])
vault = APIRouter(dependencies=[Depends(require_any_key)])


@vault.post("/tokens")
async def tokenise(sandbox: Here, request: Request) -> dict[str, Any]:
    """`POST /tokens`: what a shop's page does with a card."""
    card = (await fields_of(request)).get("card")
    if not isinstance(card, dict):
        raise OmiseError("bad_request", "card is missing")
    token = Token(new_id("tokn_test"), card_of(card))
    sandbox.omise.tokens[token.token_id] = token
    return _token_view(token)


@vault.get("/tokens/{token_id}")
async def token(sandbox: Here, token_id: str) -> dict[str, Any]:
    """`GET /tokens/{id}`."""
    found = sandbox.omise.tokens.get(token_id)
    if found is None:
        raise not_found("token", token_id)
    return _token_view(found)


@router.post("/customers")
async def create(sandbox: Here, request: Request) -> dict[str, Any]:
    """`POST /customers`, with the card of a token if one is given."""
    desk, fields = sandbox.omise, await fields_of(request)
    metadata = pairs(fields.get("metadata"))
    card = desk.spend(str(fields["card"])) if fields.get("card") else None
    customer_id, reference = new_id("cust_test"), metadata.get("subscription")
    customer = Customer(customer_id, email=str(fields.get("email") or ""))
    entry = Subscription(
        subscription_id=customer_id,
        customer=customer,
        currency="THB",
        status="active",
        created_at=machine_now(),
        script_name=reference if isinstance(reference, str) else customer_id,
        metadata=metadata,
        provider=PROVIDER,
        description=fields.get("description"),
    )
    if card is not None:
        customer.methods[card.payment_method_id] = card
        entry.payment_method_id = card.payment_method_id
    sandbox.book.customers[customer_id] = customer
    sandbox.book.add_subscription(entry)
    desk.tell("customer.create", customer_view(entry), customer_id)
    return customer_view(entry)


@router.get("/customers")
async def customers(sandbox: Here, request: Request) -> dict[str, Any]:
    """`GET /customers`."""
    return await listing(request, sandbox.omise.customers(), lambda one: one.created_at, customer_view)


@router.get("/customers/{customer_id}")
async def read(sandbox: Here, customer_id: str) -> dict[str, Any]:
    """`GET /customers/{id}`."""
    return customer_view(sandbox.omise.customer(customer_id))


@router.patch("/customers/{customer_id}")
async def update(sandbox: Here, customer_id: str, request: Request) -> dict[str, Any]:
    """`PATCH /customers/{id}`: a token attaches a card, metadata are replaced."""
    desk, fields = sandbox.omise, await fields_of(request)
    entry = desk.customer(customer_id)
    default = fields.get("default_card")
    if default is not None and default not in entry.customer.methods:
        raise not_found("card", str(default))
    metadata = pairs(fields["metadata"]) if "metadata" in fields else entry.metadata
    if fields.get("card"):
        card = desk.spend(str(fields["card"]))
        entry.customer.methods[card.payment_method_id] = card
        entry.payment_method_id = entry.payment_method_id or card.payment_method_id
    entry.metadata = metadata
    entry.payment_method_id = default or entry.payment_method_id
    entry.customer.email = fields.get("email") or entry.customer.email
    entry.description = fields.get("description", entry.description)
    desk.tell("customer.update", customer_view(entry), customer_id)
    return customer_view(entry)


@router.delete("/customers/{customer_id}")
async def destroy(sandbox: Here, customer_id: str) -> dict[str, Any]:
    """`DELETE /customers/{id}`: for good."""
    entry = sandbox.omise.customer(customer_id)
    entry.status, entry.cancelled_at = "cancelled", machine_now()
    sandbox.omise.tell("customer.destroy", customer_view(entry), customer_id)
    return customer_view(entry)


@router.get("/customers/{customer_id}/cards")
async def cards(sandbox: Here, customer_id: str, request: Request) -> dict[str, Any]:
    """`GET /customers/{id}/cards`."""
    found = list(sandbox.omise.customer(customer_id).customer.methods.values())
    return await listing(request, found, lambda one: one.created_at, lambda one: card_view(one, customer_id))


@router.get("/customers/{customer_id}/cards/{card_id}")
async def card(sandbox: Here, customer_id: str, card_id: str) -> dict[str, Any]:
    """`GET /customers/{id}/cards/{id}`."""
    return card_view(_found_card(sandbox.omise, customer_id, card_id)[1], customer_id)


@router.delete("/customers/{customer_id}/cards/{card_id}")
async def remove(sandbox: Here, customer_id: str, card_id: str) -> dict[str, Any]:
    """`DELETE /customers/{id}/cards/{id}`; the oldest card left becomes the default one."""
    entry, gone = _found_card(sandbox.omise, customer_id, card_id)
    del entry.customer.methods[card_id]
    if entry.payment_method_id == card_id:
        entry.payment_method_id = next(iter(entry.customer.methods), None)
    view = {"object": "card", "id": gone.payment_method_id, "livemode": False, "deleted": True}
    sandbox.omise.tell("card.destroy", view, customer_id)
    return view


def _found_card(desk: OmiseDesk, customer_id: str, card_id: str) -> tuple[Subscription, Any]:
    entry = desk.customer(customer_id)
    found = entry.customer.methods.get(card_id)
    if found is None:
        raise not_found("card", card_id)
    return entry, found


def _token_view(one: Token) -> dict[str, Any]:
    return {
        "object": "token",
        "id": one.token_id,
        "livemode": False,
        "location": f"/tokens/{one.token_id}",
        "used": one.is_used,
        "card": card_view(one.card, None),
        "created_at": wire_instant(one.card.created_at),
    }
