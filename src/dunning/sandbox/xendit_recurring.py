"""Xendit's routes for recurring plans and the legacy contract's schedules. Sheet A2.2, A2.3."""

from __future__ import annotations

from dataclasses import replace
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
from dunning.sandbox.dodo_shared import BUSINESS_AT_HEADER
from dunning.sandbox.here import Here
from dunning.sandbox.state import Sandbox
from dunning.sandbox.xendit_bodies import fields_of, require_key, text
from dunning.sandbox.xendit_desk import PROVIDER, XenditDesk, xendit_id
from dunning.sandbox.xendit_errors import XenditError, not_found
from dunning.sandbox.xendit_plan_bodies import Asked, contract_of, read_calendar, read_changes, read_plan
from dunning.sandbox.xendit_plan_book import LEGACY, Calendar, Plan
from dunning.sandbox.xendit_plan_views import calendar_view, plan_view
from dunning.sandbox.xendit_views import wire_instant

router = APIRouter(prefix="/recurring", dependencies=[Depends(require_key), Depends(contract_of)])


@router.post("/plans")
@router.post("/plans/")
async def create(sandbox: Here, request: Request) -> Response:
    """`POST /recurring/plans`: it is active a moment later, or waits for the customer to link a method.

    The reference is not unique: two requests make two plans, and both collect.
    """
    desk, contract = sandbox.xendit, contract_of(request)
    asked = read_plan(await fields_of(request), contract, desk.plans.schedules)
    _mind_key(sandbox, request)
    plan = _new_plan(sandbox, request, asked, contract)
    if not plan.tokens:
        _open_link(sandbox, plan)
    else:
        sandbox.timers.later(sandbox.settings.settle_seconds, plan.plan_id, lambda: _activate(desk, plan))
    return JSONResponse(plan_view(plan, contract), status_code=202)


@router.get("/plans/{plan_id}")
async def read(sandbox: Here, plan_id: str, request: Request) -> dict[str, Any]:
    """`GET /recurring/plans/{id}`."""
    return plan_view(plan_of(sandbox, request, plan_id), contract_of(request))


@router.patch("/plans/{plan_id}")
async def update(sandbox: Here, plan_id: str, request: Request) -> dict[str, Any]:
    """`PATCH /recurring/plans/{id}`. The scheduled cycle follows only where `update-scheduled-cycle: true` asks."""
    desk, plan = sandbox.xendit, plan_of(sandbox, request, plan_id)
    contract = contract_of(request)
    asked = read_changes(await fields_of(request), contract, plan.currency)
    if plan.status == "INACTIVE":
        raise XenditError("UNPROCESSABLE_ENTITY_ERROR", "An inactive plan cannot be updated.")
    if asked.customer_id is not None and asked.customer_id not in sandbox.book.customers:
        raise XenditError("CUSTOMER_NOT_FOUND_ERROR", f"customer {asked.customer_id} cannot be found")
    if asked.tokens is not None:
        _require_tokens(desk, asked.tokens, asked.currency or plan.currency, None)
    _apply(desk, plan, asked)
    if request.headers.get("update-scheduled-cycle") == "true":
        desk.plans.follow_changes(plan)
    return plan_view(plan, contract)


@router.post("/plans/{plan_id}/deactivate")
async def deactivate(sandbox: Here, plan_id: str, request: Request) -> dict[str, Any]:
    """`POST /recurring/plans/{id}/deactivate`: for good."""
    plan = plan_of(sandbox, request, plan_id)
    if plan.status == "INACTIVE":
        raise XenditError("REQUEST_FORBIDDEN_ERROR", "The plan is inactive already.")
    if plan.link is not None:
        plan.link.is_used = True
    sandbox.xendit.plans.inactivate(plan)
    return plan_view(plan, contract_of(request))


@router.post("/schedules")
@router.post("/schedules/")
async def create_schedule(sandbox: Here, request: Request) -> dict[str, Any]:
    """Legacy `POST /recurring/schedules`: a calendar of its own, to be named by plans."""
    found = read_calendar(await fields_of(request), is_legacy=True)
    made = replace(found, schedule_id=xendit_id("resc"))
    sandbox.xendit.plans.schedules[made.schedule_id] = made
    return _schedule_view(made)


@router.get("/schedules/{schedule_id}")
async def read_schedule(sandbox: Here, schedule_id: str) -> dict[str, Any]:
    """Legacy `GET /recurring/schedules/{id}`."""
    return _schedule_view(_schedule(sandbox, schedule_id))


@router.patch("/schedules/{schedule_id}")
async def update_schedule(sandbox: Here, schedule_id: str, request: Request) -> dict[str, Any]:
    """Legacy `PATCH /recurring/schedules/{id}`: the plans that name it follow it."""
    desk, known = sandbox.xendit, _schedule(sandbox, schedule_id)
    told = {name: one for name, one in calendar_view(known, LEGACY).items() if one is not None}
    fields = {**told, **await fields_of(request)}
    made = replace(read_calendar(fields, is_legacy=True), schedule_id=schedule_id)
    desk.plans.schedules[schedule_id] = made
    for plan in desk.plans.plans.values():
        if plan.calendar.schedule_id == schedule_id:
            desk.plans.rescheduled(plan, made)
            if request.headers.get("update-scheduled-cycle") == "true":
                desk.plans.follow_changes(plan)
    return _schedule_view(made)


def plan_of(sandbox: Sandbox, request: Request, plan_id: str) -> Plan:
    """A plan, brought to the business instant that the caller tells; raises `DATA_NOT_FOUND`."""
    found = sandbox.xendit.plans.plans.get(plan_id)
    if found is None:
        raise not_found("plan", plan_id)
    sandbox.xendit.plans.advance(found, read_instant(request.headers.get(BUSINESS_AT_HEADER)))
    return found


def _mind_key(sandbox: Sandbox, request: Request) -> None:
    key = request.headers.get("idempotency-key")
    if key is None or not sandbox.settings.xendit_keeps_plan_keys:
        return
    if key in sandbox.xendit.plans.keys:
        raise XenditError("IDEMPOTENCY_ERROR", "Idempotency key has been used before.")
    sandbox.xendit.plans.keys.add(key)


def _new_plan(sandbox: Sandbox, request: Request, asked: Asked, contract: str) -> Plan:
    desk, now = sandbox.xendit, read_instant(request.headers.get(BUSINESS_AT_HEADER))
    customer = sandbox.book.customers.get(asked.customer_id or "")
    if customer is None or asked.calendar is None or asked.amount is None or asked.currency is None:
        raise XenditError("CUSTOMER_NOT_FOUND_ERROR", f"customer {asked.customer_id} cannot be found")
    tokens = asked.tokens or []
    owner = _require_tokens(desk, tokens, asked.currency, customer.customer_id)
    plan_id = xendit_id("repl").replace("repl-", "repl-" if contract == LEGACY else "repl_", 1)
    agreement = _agreement(plan_id, customer, asked, tokens, owner)
    sandbox.book.add_subscription(agreement)
    base = sandbox.settings.public_url or f"{request.url.scheme}://{request.url.netloc}"
    calendar = asked.calendar
    plan = Plan(
        plan_id=plan_id,
        contract=contract,
        reference=asked.fields["reference_id"],
        agreement=agreement,
        customer=customer,
        currency=asked.currency,
        amount=asked.amount,
        tokens=tokens,
        calendar=calendar if calendar.schedule_id else replace(calendar, schedule_id=xendit_id("resc")),
        created_at=now or machine_now(),
        updated_at=now or machine_now(),
        is_immediate=asked.is_immediate,
        on_failure=asked.on_failure or "RESUME",
        channels=asked.channels or {},
        has_payment_links=bool(asked.has_payment_links),
        fields=asked.fields,
        metadata=asked.metadata or {},
        base_url=base.rstrip("/"),
        told=now,
    )
    desk.plans.plans[plan_id] = plan
    return plan


def _agreement(
    plan_id: str, customer: Customer, asked: Asked, tokens: list[str], owner: Subscription | None
) -> Subscription:
    """The plan's entry in the books that all providers of the sandbox share."""
    metadata = asked.metadata or {}
    ours = metadata.get("subscription")
    return Subscription(
        subscription_id=plan_id,
        customer=customer,
        currency=asked.currency or "",
        status="active",
        created_at=machine_now(),
        script_name=ours if isinstance(ours, str) else owner.script_name if owner else plan_id,
        metadata=metadata,
        payment_method_id=tokens[0] if tokens else None,
        billing={"country": owner.billing.get("country") if owner else None},
        provider=PROVIDER,
        description=asked.fields.get("description"),
    )


def _require_tokens(desk: XenditDesk, tokens: list[str], currency: str, customer: str | None) -> Subscription | None:
    """Tokens of this customer that can be charged in this currency; raises `INVALID_PAYMENT_TOKEN_ID`."""
    owner = None
    for token in reversed(tokens):
        try:
            owner, _ = desk.holder(token)
        except XenditError:
            raise XenditError("INVALID_PAYMENT_TOKEN_ID", f"{token} is no payment token") from None
        if owner.currency != currency or desk.token_is_dead(token):
            raise XenditError("INVALID_PAYMENT_TOKEN_ID", f"{token} is not active, or of another currency")
        if customer is not None and owner.customer.customer_id != customer:
            raise XenditError("INVALID_PAYMENT_TOKEN_ID", f"{token} is another customer's")
    return owner


def _open_link(sandbox: Sandbox, plan: Plan) -> None:
    """The page on which the customer links a payment method."""
    plan.status = "REQUIRES_ACTION"
    link = Link(new_id("lnk"), "mandate", plan.customer, machine_now(), plan.agreement)
    link.return_url = plan.fields.get("success_return_url")
    link.on_answer = lambda approves: _answer(sandbox, plan, approves)
    plan.link, plan.link_url = link, f"{plan.base_url}/pay/{link.link_id}"
    sandbox.book.add_link(link)
    sandbox.mandates.follow_script(link)


def _answer(sandbox: Sandbox, plan: Plan, approves: bool) -> None:
    if not approves:
        sandbox.xendit.plans.inactivate(plan, "UNPROCESSABLE_ENTITY_ERROR")
        return
    token_id = xendit_id("pm" if plan.is_legacy else "pt")
    metadata: dict[str, MetadataValue] = dict(plan.metadata)
    plan.customer.methods[token_id] = PaymentMethod(token_id)
    holder = replace(
        plan.agreement,
        subscription_id=token_id,
        payment_method_id=token_id,
        metadata=metadata,
        billing={"country": "ID"},
    )
    # The plan stays the one that its reference finds: the token is an entry besides.
    sandbox.book.subscriptions[token_id] = holder
    plan.tokens, plan.agreement.payment_method_id = [token_id], token_id
    _activate(sandbox.xendit, plan)


def _activate(desk: XenditDesk, plan: Plan) -> None:
    desk.plans.activate(plan)
    desk.plans.advance(plan)


def _apply(desk: XenditDesk, plan: Plan, asked: Asked) -> None:
    plan.updated_at = desk.plans.now(plan)
    plan.amount = plan.amount if asked.amount is None else asked.amount
    plan.currency = asked.currency or plan.currency
    plan.tokens = asked.tokens or plan.tokens
    plan.on_failure = asked.on_failure or plan.on_failure
    plan.channels = plan.channels if asked.channels is None else asked.channels
    plan.metadata = plan.metadata if asked.metadata is None else asked.metadata
    if asked.has_payment_links is not None:
        plan.has_payment_links = asked.has_payment_links
    plan.agreement.payment_method_id = plan.tokens[0] if plan.tokens else None
    plan.fields = {
        **plan.fields,
        **{name: asked.fields[name] for name in ("description", "items", "locale") if name in asked.fields},
    }
    if asked.calendar is not None:
        desk.plans.rescheduled(plan, asked.calendar)


def _schedule(sandbox: Sandbox, schedule_id: str) -> Calendar:
    text({"schedule_id": schedule_id}, "schedule_id")
    found = sandbox.xendit.plans.schedules.get(schedule_id)
    if found is None:
        raise not_found("schedule", schedule_id)
    return found


def _schedule_view(one: Calendar) -> dict[str, Any]:
    at = wire_instant(machine_now())
    return {"id": one.schedule_id, **calendar_view(one, LEGACY), "created": at, "updated": at}
