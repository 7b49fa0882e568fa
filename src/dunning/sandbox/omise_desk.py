"""The sandbox's Omise: its bank and what the shared books have no place for, tokens, refunds and events.

A customer of Omise's is an entry of the same book as any provider's agreement, under the customer's id, so scripts,
faults and the charge book work for it unchanged.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dunning.domain.outcomes import (
    ScriptedDecline,
    ScriptedOutcome,
    ScriptedSuccess,
)
from dunning.sandbox.bank import Bank, ChargeOrder
from dunning.sandbox.book import (
    Book,
    MetadataValue,
    Payment,
    PaymentMethod,
    Subscription,
    machine_now,
    new_id,
)
from dunning.sandbox.omise_bodies import wire_instant
from dunning.sandbox.omise_cards import Token, new_card
from dunning.sandbox.omise_errors import OmiseError, not_found
from dunning.sandbox.omise_schedule_book import OmiseSchedule, Scheduler
from dunning.sandbox.omise_views import charge_view, customer_view, schedule_view
from dunning.sandbox.scripts import Scripts
from dunning.sandbox.settings import SandboxSettings
from dunning.sandbox.timers import Timers
from dunning.sandbox.webhooks import Courier, Event

PROVIDER = "omise"


@dataclass(frozen=True)
class OmiseOrder(ChargeOrder):
    """A charge request with the card that it is for."""

    card: PaymentMethod
    description: str | None = None


@dataclass(frozen=True)
class Refund:
    """Money given back, minor units."""

    refund_id: str
    payment: Payment
    amount: int
    metadata: dict[str, MetadataValue]
    created_at: datetime


@dataclass(frozen=True)
class OmiseEvent:
    """Something that happened, with what it was about as it was then."""

    event_id: str
    key: str
    data: dict[str, Any]
    created_at: datetime

    def view(self) -> dict[str, Any]:
        """The event as the API and its webhooks show it."""
        return {
            "object": "event",
            "id": self.event_id,
            "livemode": False,
            "location": f"/events/{self.event_id}",
            "webhook_deliveries": [],
            "data": self.data,
            "key": self.key,
            "created_at": wire_instant(self.created_at),
        }


class OmiseBank(Bank):
    """Charges as Omise makes them: the outcome is in the answer, and nothing bars two charges at once."""

    def begin(self, payment: Payment, outcome: ScriptedOutcome) -> None:
        """Settle at once what is decided; a card that is always declined is declined."""
        card = payment.customer.methods.get(payment.payment_method_id or "")
        if card is not None and card.declines_as is not None and isinstance(outcome, ScriptedSuccess):
            outcome = ScriptedDecline(code=card.declines_as)
        if isinstance(outcome, ScriptedSuccess | ScriptedDecline):
            payment.status = "processing"
            self.settle(payment, outcome)
            return
        super().begin(payment, outcome)

    def _require_chargeable(self, subscription: Subscription, order: ChargeOrder) -> None:
        """The routes have looked at everything that Omise looks at."""

    def _write(self, subscription: Subscription, order: ChargeOrder, business_at: datetime) -> Payment:
        if not isinstance(order, OmiseOrder):
            raise TypeError("a charge at Omise names its card")
        order.card.last_used_at = machine_now()
        payment = Payment(
            payment_id=new_id("chrg_test"),
            kind="charge",
            customer=subscription.customer,
            amount=order.amount,
            currency=order.currency,
            created_at=machine_now(),
            subscription=subscription,
            metadata=order.metadata,
            payment_method_id=order.card.payment_method_id,
            business_at=business_at,
            description=order.description,
        )
        return self._book.add_payment(payment)


@dataclass
class OmiseDesk:
    """Everything of Omise's in one sandbox."""

    book: Book
    scripts: Scripts
    timers: Timers
    courier: Courier
    settings: Callable[[], SandboxSettings]
    tokens: dict[str, Token] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)
    events: dict[str, OmiseEvent] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bank = OmiseBank(self.book, self.scripts, self.timers, self.settings, self.emit)
        self.scheduler = Scheduler(self._charge_scheduled, self._tell_schedule)
        self._told: set[str] = set()

    def clear(self) -> None:
        """Forget everything."""
        self.tokens.clear()
        self.refunds.clear()
        self.events.clear()
        self.scheduler.schedules.clear()
        self._told.clear()

    def customer(self, customer_id: str) -> Subscription:
        """The book's entry of a customer; raises `not_found`."""
        found = self.book.subscriptions.get(customer_id)
        if found is None or found.provider != PROVIDER or found.status == "cancelled":
            raise not_found("customer", customer_id)
        return found

    def customers(self) -> list[Subscription]:
        """Every customer, in the order of their making."""
        found = self.book.subscriptions.values()
        return [one for one in found if one.provider == PROVIDER and one.status != "cancelled"]

    def charges(self, customer: Subscription | None = None) -> list[Payment]:
        """Every charge, in the order of their making."""
        if customer is not None:
            return self.book.payments_of(customer)
        found = self.book.payments.values()
        return [one for one in found if one.subscription is not None and one.subscription.provider == PROVIDER]

    def charge(self, charge_id: str) -> Payment:
        """A charge; raises `not_found`."""
        found = self.book.payments.get(charge_id)
        if found is None or found.subscription is None or found.subscription.provider != PROVIDER:
            raise not_found("charge", charge_id)
        return found

    def refunds_of(self, payment: Payment) -> list[Refund]:
        """What was given back of a charge, oldest first."""
        return [one for one in self.refunds.values() if one.payment is payment]

    def spend(self, token_id: str) -> PaymentMethod:
        """The card of a token, which is gone then.

        A token that nobody made here is taken for one of a good card: a script has no page to make it on.

        Raises:
            OmiseError: `used_token`, or `not_found` for what is no token.
        """
        if not token_id.startswith("tokn_"):
            raise not_found("token", token_id)
        token = self.tokens.setdefault(token_id, Token(token_id, new_card()))
        if token.is_used:
            raise OmiseError("used_token", "token was already used")
        token.is_used = True
        return token.card

    def _charge_scheduled(self, schedule: OmiseSchedule, at: datetime) -> Payment:
        """A schedule's own charge. It is written down at its business instant, as its day is one of that clock."""
        entry = schedule.customer
        card = schedule.card or entry.customer.methods[entry.payment_method_id or ""]
        payment = Payment(
            payment_id=new_id("chrg_test"),
            kind="charge",
            customer=entry.customer,
            amount=schedule.amount,
            currency=schedule.currency,
            created_at=at,
            subscription=entry,
            metadata=dict(schedule.metadata),
            payment_method_id=card.payment_method_id,
            business_at=at,
            description=schedule.description,
            schedule_id=schedule.schedule_id,
        )
        self.book.add_payment(payment)
        script = self.bank.script_of(entry)
        outcome = script.next_outcome(None)
        # The one who charges is never cut off from itself: of what hides an answer, only the payment is left.
        is_plain = isinstance(outcome, ScriptedSuccess | ScriptedDecline)
        self.bank.begin(payment, outcome if is_plain else ScriptedSuccess())
        return payment

    def _tell_schedule(self, key: str, schedule: OmiseSchedule) -> None:
        self.tell(key, schedule_view(schedule), schedule.customer.subscription_id)

    def emit(self, event_type: str, about: Payment | Subscription) -> None:
        """Tell what the bank did, in Omise's words."""
        if isinstance(about, Subscription):
            is_gone = about.status == "cancelled"
            self.tell("customer.destroy" if is_gone else "customer.update", customer_view(about), about.subscription_id)
            return
        # A charge is told of when it is made, and again only if its outcome comes later (sheet B7).
        key = "charge.complete" if about.payment_id in self._told else "charge.create"
        self._told.add(about.payment_id)
        subject = about.subscription.subscription_id if about.subscription else about.payment_id
        self.tell(key, charge_view(about, self.refunded(about)), subject)

    def refunded(self, payment: Payment) -> int:
        """How much of a charge was given back."""
        return sum(one.amount for one in self.refunds_of(payment))

    def tell(self, key: str, data: dict[str, Any], subject: str) -> None:
        """Write an event down and send it, if anybody wants it."""
        event = OmiseEvent(new_id("evnt_test"), key, data, machine_now())
        self.events[event.event_id] = event
        url = self.settings().omise_webhook_url or ""
        self.courier.send(Event(event.event_id, key, subject, url, self._render_of(event)))

    def _render_of(self, event: OmiseEvent) -> Callable[[Event], tuple[dict[str, str], bytes]]:
        def render(_: Event) -> tuple[dict[str, str], bytes]:
            body = json.dumps(event.view(), separators=(",", ":")).encode()
            headers = {"content-type": "application/json"}
            secret = self.settings().omise_webhook_secret
            if secret is not None:
                stamp = str(int(machine_now().timestamp()))
                headers["omise-signature-timestamp"] = stamp
                key = base64.b64decode(secret.get_secret_value())
                signed = b".".join((stamp.encode(), body))
                headers["omise-signature"] = hmac.new(key, signed, hashlib.sha256).hexdigest()
            return headers, body

        return render
