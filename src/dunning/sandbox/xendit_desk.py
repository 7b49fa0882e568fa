"""The sandbox's Xendit: its bank and what the shared books have no place for: references, sessions, tokens, refunds,
plans.

A token that authorises is an entry of the same book as any provider's agreement, under the token's id, so scripts,
faults and the charge book work for it unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from dunning.domain.outcomes import ScriptedDecline, ScriptedOutcome, ScriptedSuccess, ScriptedTimeout
from dunning.sandbox.bank import Bank, ChargeOrder
from dunning.sandbox.book import (
    Book,
    Customer,
    Link,
    MetadataValue,
    Payment,
    PaymentMethod,
    Subscription,
    machine_now,
    new_id,
)
from dunning.sandbox.scripts import Scripts
from dunning.sandbox.settings import SandboxSettings
from dunning.sandbox.timers import Timers
from dunning.sandbox.webhooks import Courier, Event
from dunning.sandbox.xendit_errors import XenditError, not_found
from dunning.sandbox.xendit_plan_book import Cycle, Plan
from dunning.sandbox.xendit_plans import Plans
from dunning.sandbox.xendit_views import (
    BUSINESS_ID,
    channel_of,
    payment_view,
    token_view,
    wire_instant,
)
from dunning.sandbox.xendit_words import declined_amount

PROVIDER = "xendit"
DEFAULT_COUNTRY = "ID"


@dataclass(frozen=True)
class XenditOrder(ChargeOrder):
    """A payment request with the token that it is for."""

    method: PaymentMethod
    reference: str
    country: str
    description: str | None = None


@dataclass
class Session:
    """A hosted page on which a customer saves a payment method, with what it was made of."""

    session_id: str
    agreement: Subscription
    link: Link
    url: str
    expires_at: datetime
    fields: dict[str, Any]
    status: str = "ACTIVE"
    token_id: str | None = None


@dataclass(frozen=True)
class Refund:
    """Money given back, minor units."""

    refund_id: str
    payment: Payment
    amount: int
    reference: str | None
    reason: str
    metadata: dict[str, MetadataValue]
    created_at: datetime


@dataclass(frozen=True)
class Kept:
    """What was answered to an idempotency key, and to which request."""

    request: str
    answer: dict[str, Any]


def xendit_id(prefix: str) -> str:
    """An id such as `pr-90392f42-...`."""
    return f"{prefix}-{uuid4()}"


class XenditBank(Bank):
    """Charges as Xendit makes them on tokens: the outcome is in the answer, and nothing bars two at once."""

    def __init__(self, desk: XenditDesk) -> None:
        super().__init__(desk.book, desk.scripts, desk.timers, desk.settings, desk.emit)
        self._desk = desk

    def begin(self, payment: Payment, outcome: ScriptedOutcome) -> None:
        """Settle at once what is decided; an amount that declines in test mode is declined."""
        method = payment.customer.methods.get(payment.payment_method_id or "")
        code = declined_amount(payment.amount, payment.currency)
        is_card = method is not None and channel_of(method) == "CARDS"
        if code is not None and is_card and isinstance(outcome, ScriptedSuccess):
            outcome = ScriptedDecline(code=code)
        if isinstance(outcome, ScriptedSuccess | ScriptedDecline):
            payment.status = "processing"
            self.settle(payment, outcome)
            return
        super().begin(payment, outcome)

    def open_for(self, plan: Plan, cycle: Cycle, token_id: str | None, at: datetime) -> Payment:
        """Write a payment of a plan's cycle down; its outcome is still to come."""
        payment = Payment(
            payment_id=xendit_id("pr"),
            kind="charge",
            customer=plan.customer,
            amount=cycle.amount,
            currency=cycle.currency,
            created_at=machine_now(),
            subscription=plan.agreement,
            metadata=dict(cycle.metadata),
            payment_method_id=token_id,
            business_at=at,
            description=f"cycle {cycle.number} of {plan.plan_id}",
        )
        self._desk.references[payment.payment_id] = plan.reference
        return self._book.add_payment(payment)

    def run(self, payment: Payment, outcome: ScriptedOutcome | None) -> bool:
        """Bring a cycle's payment to its outcome (None: paid); whether a caller must never get the answer."""
        self.begin(payment, outcome or ScriptedSuccess())
        return isinstance(outcome, ScriptedTimeout)

    def _require_chargeable(self, subscription: Subscription, order: ChargeOrder) -> None:
        """The routes have looked at everything that Xendit looks at."""

    def _write(self, subscription: Subscription, order: ChargeOrder, business_at: datetime) -> Payment:
        if not isinstance(order, XenditOrder):
            raise TypeError("a payment request names its token")
        order.method.last_used_at = machine_now()
        payment = Payment(
            payment_id=xendit_id("pr"),
            kind="charge",
            customer=subscription.customer,
            amount=order.amount,
            currency=order.currency,
            created_at=machine_now(),
            subscription=subscription,
            metadata=order.metadata,
            payment_method_id=order.method.payment_method_id,
            business_at=business_at,
            description=order.description,
        )
        self._desk.references[payment.payment_id] = order.reference
        self._desk.countries[payment.payment_id] = order.country
        return self._book.add_payment(payment)


@dataclass
class XenditDesk:
    """Everything of Xendit's in one sandbox. `references` and `countries` are by the payment request's id."""

    book: Book
    scripts: Scripts
    timers: Timers
    courier: Courier
    settings: Callable[[], SandboxSettings]
    references: dict[str, str] = field(default_factory=dict)
    countries: dict[str, str] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    token_states: dict[str, str] = field(default_factory=dict)
    token_links: dict[str, str] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bank = XenditBank(self)
        self.plans = Plans(self)

    def clear(self) -> None:
        """Forget everything."""
        for part in (self.references, self.countries, self.customers, self.sessions):
            part.clear()
        for more in (self.token_states, self.token_links, self.refunds, self.kept):
            more.clear()
        self.plans.clear()

    def payments(self) -> list[Payment]:
        """Every payment of Xendit's, in the order of their making."""
        found = self.book.payments.values()
        return [one for one in found if one.subscription is not None and one.subscription.provider == PROVIDER]

    def payment(self, payment_id: str) -> Payment:
        """A payment by its request's id or its own; raises `DATA_NOT_FOUND`."""
        own = payment_id.removeprefix("py-")
        found = self.book.payments.get(payment_id) or self.book.payments.get(f"pr-{own}") or self.book.payments.get(own)
        if found is None or found.subscription is None or found.subscription.provider != PROVIDER:
            raise not_found("payment", payment_id)
        return found

    def reference_of(self, payment: Payment) -> str:
        """The merchant's reference; a payment by a link has one of its own."""
        return self.references.get(payment.payment_id, f"link-{payment.payment_id}")

    def country_of(self, payment: Payment) -> str:
        """Where it was made."""
        return self.countries.get(payment.payment_id, DEFAULT_COUNTRY)

    def holder(self, token_id: str, ours: str | None = None) -> tuple[Subscription, PaymentMethod]:
        """A token with the agreement that it belongs to; of several the one of this reference, or else the newest.

        Raises:
            XenditError: `DATA_NOT_FOUND`.
        """
        found = [
            one
            for one in self.book.subscriptions.values()
            if one.provider == PROVIDER
            and token_id in one.customer.methods
            and one.subscription_id not in self.plans.plans
        ]
        if not found:
            raise not_found("payment token", token_id)
        owner = next((one for one in reversed(found) if one.reference == ours), found[-1])
        return owner, owner.customer.methods[token_id]

    def token_status(self, owner: Subscription, token_id: str) -> str:
        """Where a token stands."""
        known = self.token_states.get(token_id)
        if known is not None:
            return known
        return {"cancelled": "CANCELED", "expired": "EXPIRED", "failed": "FAILED"}.get(owner.status, "ACTIVE")

    def token(self, token_id: str) -> dict[str, Any]:
        """A token as it stands; raises `DATA_NOT_FOUND`."""
        owner, method = self.holder(token_id)
        country = owner.billing.get("country") or DEFAULT_COUNTRY
        country = DEFAULT_COUNTRY if country == "US" else country
        status, link = self.token_status(owner, token_id), self.token_links.get(token_id)
        view = token_view(method, owner, status=status, country=country, link=link)
        # Nothing says that a token saved on a hosted page takes over what the page's session was told.
        return view if token_id in self.token_links else {**view, "metadata": None}

    def refunded(self, payment: Payment) -> int:
        """How much of a payment was given back."""
        return sum(one.amount for one in self.refunds.values() if one.payment is payment)

    def keep(self, key: str | None, request: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Answer a repeated idempotency key as before; raises `IDEMPOTENCY_ERROR` for another request under it."""
        if not key:
            return make()
        known = self.kept.get(key)
        if known is not None and known.request != request:
            raise XenditError("IDEMPOTENCY_ERROR", "Idempotency key has been used before.")
        if known is None:
            known = self.kept[key] = Kept(request, make())
        return known.answer

    def emit(self, event_type: str, about: Payment | Subscription) -> None:
        """Tell what the bank did, in Xendit's words; what Xendit has no word for is not told."""
        if isinstance(about, Payment):
            word = {"payment.succeeded": "payment.capture", "payment.failed": "payment.failure"}.get(event_type)
            subject = about.subscription.subscription_id if about.subscription else about.payment_id
            data = payment_view(about, self.reference_of(about), self.country_of(about))
        else:
            word = {
                "subscription.update_payment_method": "payment_token.activation",
                "subscription.cancelled": "payment_token.expiry",
                "subscription.expired": "payment_token.expiry",
            }.get(event_type)
            token_id, subject = about.payment_method_id, about.subscription_id
            data = self.token(token_id) if word is not None and token_id is not None else {}
        if word is not None and data:
            self.tell(word, data, subject)
        if isinstance(about, Payment) and about.is_settled:
            self.plans.settled(about)

    def token_is_dead(self, token_id: str) -> bool:
        """Whether a token can no longer be charged."""
        owner, _ = self.holder(token_id)
        return self.token_status(owner, token_id) != "ACTIVE"

    def cycle_link(self, plan: Plan, cycle: Cycle) -> tuple[Link, str]:
        """A page on which the customer pays a failed cycle, with its address."""
        link = Link(new_id("lnk"), "payment", plan.customer, machine_now(), plan.agreement)
        link.amount, link.currency = cycle.amount, cycle.currency

        def answered(approves: bool) -> None:
            if approves:
                self.plans.pay_by_link(plan, cycle)

        link.on_answer = answered
        self.book.add_link(link)
        return link, f"{plan.base_url}/pay/{link.link_id}"

    def tell(
        self,
        word: str,
        data: dict[str, Any],
        subject: str,
        *,
        version: str | None = None,
        has_id: bool = True,
    ) -> None:
        """Send a message, if anybody wants it. Its data stay as they were; `created` is when it is delivered.

        `has_id`: whether the header `webhook-id` comes with it, which is not documented for every family (sheet A6).
        """
        settings = self.settings()

        def render(event: Event) -> tuple[dict[str, str], bytes]:
            envelope = {
                "event": word,
                "business_id": BUSINESS_ID,
                "created": wire_instant(machine_now()),
                **({} if version is None else {"api_version": version}),
                "data": data,
            }
            headers = {"content-type": "application/json"}
            if has_id:
                headers["webhook-id"] = event.event_id
            token = self.settings().xendit_callback_token
            if token is not None:
                headers["x-callback-token"] = token.get_secret_value()
            return headers, json.dumps(envelope, separators=(",", ":")).encode()

        self.courier.send(Event(new_id("wh"), word, subject, settings.xendit_webhook_url or "", render))
