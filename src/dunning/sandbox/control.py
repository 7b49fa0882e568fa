"""The control API: scripts customers and shows every book. It needs no key, so it is never to be exposed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from dunning.sandbox.book import Payment, PaymentMethod, Subscription, machine_now, read_instant
from dunning.sandbox.control_models import (
    BindScript,
    LateSuccess,
    PayLink,
    RegisterSubscription,
    SetStatus,
    UpdateMethod,
)
from dunning.sandbox.errors import ApiError
from dunning.sandbox.here import Here
from dunning.sandbox.mandates import new_method
from dunning.sandbox.state import Sandbox
from dunning.sandbox.views import charge_row, payment_view, subscription_view
from dunning.sandbox.whatsapp_book import digits

router = APIRouter(prefix="/_sandbox")


def find(sandbox: Sandbox, name: str) -> Subscription:
    """A subscription by the provider's id or our reference; raises NOT_FOUND."""
    found = sandbox.book.find_subscription(name)
    if found is None:
        raise ApiError("NOT_FOUND", f"There is no subscription {name}.")
    return found


def register(sandbox: Sandbox, body: RegisterSubscription) -> Subscription:
    """Write an existing subscription down, in place of one of the same provider id."""
    customer = sandbox.book.customer(body.customer_id, email=body.email, name=body.name, phone_number=body.phone_number)
    if body.payment_method_id is not None:
        customer.methods.setdefault(body.payment_method_id, new_method(body.payment_method_id))
    for method in body.methods:
        customer.methods[method.payment_method_id] = PaymentMethod(**method.model_dump())
    reference = body.metadata.get("subscription")
    subscription = Subscription(
        subscription_id=body.subscription_id,
        customer=customer,
        currency=body.currency,
        status=body.status,
        created_at=machine_now(),
        script_name=str(reference) if reference else body.subscription_id,
        metadata=dict(body.metadata),
        payment_method_id=body.payment_method_id,
        on_demand=body.on_demand,
        mandate_limit=body.mandate_limit,
        on_hold_after_failure=body.on_hold_after_failure,
        provider=body.provider,
    )
    sandbox.book.add_subscription(subscription)
    script = sandbox.bank.script_of(subscription)
    if {"script", "dues"} & body.model_fields_set:
        script.replace(body.script)
        script.dues.clear()
        script.dues.extend(body.dues)
    return subscription


@router.post("/subscriptions", status_code=201)
async def add(sandbox: Here, body: RegisterSubscription) -> dict[str, Any]:
    """Register a subscription that exists at the provider already."""
    return subscription_view(register(sandbox, body))


@router.get("/subscriptions")
async def listing(sandbox: Here) -> dict[str, Any]:
    """Every subscription, oldest first."""
    return {"items": [subscription_view(one) for one in sandbox.book.subscriptions.values()]}


@router.get("/subscriptions/{name}")
async def read(sandbox: Here, name: str) -> dict[str, Any]:
    """One subscription with what is left of its script."""
    subscription = find(sandbox, name)
    remaining = [str(one) for one in sandbox.bank.script_of(subscription).remaining]
    return {**subscription_view(subscription), "script": remaining}


@router.post("/scripts")
async def bind(sandbox: Here, body: BindScript) -> dict[str, Any]:
    """Write a customer's future down; absent parts stay as they are."""
    script = sandbox.scripts.of(body.subscription)
    if body.script is not None:
        script.replace(body.script)
    if body.dues is not None:
        script.dues.clear()
        script.dues.extend(body.dues)
    if body.mandate is not None:
        script.mandate, script.mandate_delay = body.mandate, body.delay
        sandbox.mandates.follow_scripts_of(script)
    return {"subscription": body.subscription, "script": [str(one) for one in script.remaining]}


def _shown(sandbox: Sandbox, payments: list[Payment]) -> dict[str, Any]:
    return {"payments": [payment_view(one, sandbox.settings.business_id) for one in payments]}


@router.post("/subscriptions/{name}/pay-link")
async def pay(sandbox: Here, name: str, body: PayLink) -> dict[str, Any]:
    """The customer pays by a link: payments without a key of ours."""
    subscription = find(sandbox, name)
    at = read_instant(body.business_at)
    if body.amount is not None:
        currency = body.currency or subscription.currency
        return _shown(sandbox, [sandbox.bank.pay_by_link(subscription, body.amount, currency, at)])
    owed = list(subscription.owed.values())
    if not owed:
        raise ApiError("INVALID_REQUEST_BODY", "nothing is owed; say the amount")
    return _shown(sandbox, [sandbox.bank.pay_by_link(subscription, one.amount, one.currency, at) for one in owed])


@router.post("/subscriptions/{name}/update-method")
async def update(sandbox: Here, name: str, body: UpdateMethod) -> dict[str, Any]:
    """The customer gives another payment method."""
    subscription = find(sandbox, name)
    script = sandbox.bank.script_of(subscription)
    if body.then is not None:
        script.replace(body.then)
    if body.dues is not None:
        script.dues.clear()
        script.dues.extend(body.dues)
    method = new_method(body.payment_method_id, body.last4)
    payments = sandbox.bank.update_method(subscription, method, read_instant(body.business_at))
    return {"payment_method_id": method.payment_method_id, **_shown(sandbox, payments)}


@router.post("/subscriptions/{name}/late-success")
async def late(sandbox: Here, name: str, wanted: LateSuccess | None = None) -> dict[str, Any]:
    """A failed or undecided payment is paid after all."""
    subscription = find(sandbox, name)
    body = wanted or LateSuccess()
    payments = [
        one
        for one in sandbox.book.payments_of(subscription)
        if one.status != "succeeded" and body.payment_id in (None, one.payment_id) and body.key in (None, one.key)
    ]
    if not payments:
        raise ApiError("NOT_FOUND", "There is no such payment that is not paid.")
    sandbox.bank.succeed_late(payments[-1])
    return _shown(sandbox, payments[-1:])


@router.post("/subscriptions/{name}/status")
async def status(sandbox: Here, name: str, body: SetStatus) -> dict[str, Any]:
    """The provider moves a subscription by itself."""
    subscription = find(sandbox, name)
    subscription.status = body.status
    if body.status == "cancelled":
        subscription.cancelled_at = machine_now()
    sandbox.emit(f"subscription.{body.status}", subscription)
    return subscription_view(subscription)


@router.get("/charges")
async def charges(sandbox: Here, subscription: str | None = None) -> dict[str, Any]:
    """The charge book, oldest first."""
    return {"charges": [charge_row(one) for one in sandbox.book.charges(subscription)]}


@router.get("/messages")
async def messages(sandbox: Here, to: str | None = None) -> dict[str, Any]:
    """WhatsApp messages sent, oldest first."""
    wanted = None if to is None else digits(to)
    return {"messages": [one.row() for one in sandbox.whatsapp.messages if wanted in (None, one.wa_id)]}


@router.get("/webhooks")
async def webhooks(sandbox: Here, subscription: str | None = None) -> dict[str, Any]:
    """Every webhook and what became of it."""
    subject = _subject(sandbox, subscription)
    return {"webhooks": [one.row() for one in sandbox.courier.events if subject in (None, one.subject)]}


@router.post("/webhooks/{event_id}/replay")
async def replay(sandbox: Here, event_id: str) -> dict[str, Any]:
    """Deliver one webhook again under its id."""
    event = next((one for one in sandbox.courier.events if one.event_id == event_id), None)
    if event is None or not event.url:
        raise ApiError("NOT_FOUND", f"There is no event {event_id} that can be delivered.")
    sandbox.courier.replay(event)
    return event.row()


@router.get("/quiet")
async def quiet(
    sandbox: Here, subscription: str | None = None, wait: Annotated[float, Query(ge=0, le=60)] = 0
) -> dict[str, Any]:
    """Whether nothing is on its way, in all or for one subscription; `wait` gives it so many seconds."""
    subject = _subject(sandbox, subscription)
    if wait:
        await sandbox.until_quiet(subject, within=wait)
    return {
        "quiet": sandbox.is_quiet(subject),
        "pending_webhooks": sandbox.courier.pending(subject),
        "in_flight": sandbox.timers.in_flight(subject),
    }


def _subject(sandbox: Sandbox, name: str | None) -> str | None:
    """The provider's id under which work about this one is counted, also before it is in the books."""
    if name is None:
        return None
    found = sandbox.book.find_subscription(name)
    waiting = (link.subscription for link in sandbox.book.links.values())
    expected = found or next((one for one in waiting if one is not None and one.reference == name), None)
    return expected.subscription_id if expected else name
