"""Hosted links: authorising a mandate, giving a new payment method, paying once.

A link waits for a person who opens it, unless the customer's script says what becomes of it.
"""

from __future__ import annotations

from datetime import datetime

from dunning.domain.outcomes import ScriptedSuccess
from dunning.sandbox.bank import Bank, Emit
from dunning.sandbox.book import (
    Book,
    Customer,
    Link,
    Payment,
    PaymentKind,
    PaymentMethod,
    Subscription,
    machine_now,
    new_id,
)
from dunning.sandbox.errors import ApiError
from dunning.sandbox.scripts import Script
from dunning.sandbox.timers import Timers


class Mandates:
    """Makes links and carries out what the customer does on them."""

    def __init__(self, book: Book, bank: Bank, timers: Timers, emit: Emit) -> None:
        self._book = book
        self._bank = bank
        self._timers = timers
        self._emit = emit

    def open_mandate(self, subscription: Subscription, return_url: str | None, *, checkout: bool) -> Link:
        """A link that authorises a new subscription; a checkout's is known only once completed."""
        link = Link(
            link_id=new_id("lnk"),
            kind="mandate",
            customer=subscription.customer,
            created_at=machine_now(),
            subscription=subscription,
            session_id=new_id("cks") if checkout else None,
            return_url=return_url,
        )
        if not checkout:
            self._book.add_subscription(subscription)
            link.payment = self._first_payment(link, subscription)
        self._book.add_link(link)
        self.follow_script(link)
        return link

    def open_update(self, subscription: Subscription, return_url: str | None) -> Link:
        """A link where the customer gives a new payment method."""
        link = Link(new_id("lnk"), "update_method", subscription.customer, machine_now(), subscription)
        link.return_url = return_url
        return self._book.add_link(link)

    def open_payment(self, customer: Customer, amount: int, currency: str, return_url: str | None) -> Link:
        """A one-time checkout."""
        link = Link(new_id("lnk"), "payment", customer, machine_now(), session_id=new_id("cks"))
        link.amount, link.currency, link.return_url = amount, currency, return_url
        return self._book.add_link(link)

    def follow_script(self, link: Link) -> None:
        """Let the customer's script complete or fail a mandate link; without one, a person has to."""
        if link.kind != "mandate" or link.subscription is None or link.is_used:
            return
        script = self._bank.script_of(link.subscription)
        if script.mandate in ("complete", "fail"):
            approves = script.mandate == "complete"
            subject = link.subscription.subscription_id
            self._timers.later(script.mandate_delay, subject, lambda: self._complete_once(link, approves))

    def follow_scripts_of(self, script: Script) -> None:
        """Apply a script that was bound after its customer's links were made."""
        for link in list(self._book.links.values()):
            if link.subscription is not None and self._bank.script_of(link.subscription) is script:
                self.follow_script(link)

    def complete(self, link: Link, *, approves: bool, at: datetime | None = None) -> None:
        """What the customer did on the page. `at` is the business instant, when one is known.

        Raises:
            ApiError: the link was used before or is too old.
        """
        if link.is_used:
            raise ApiError("CHECKOUT_SESSION_CONSUMED", "This link was used already.")
        if machine_now() > link.expires_at:
            raise ApiError("CHECKOUT_SESSION_CONSUMED", "This link has expired.")
        if link.kind == "mandate" and link.subscription is not None and link.subscription.status == "cancelled":
            raise ApiError("SUBSCRIPTION_INACTIVE", "The subscription was cancelled.")
        link.is_used = True
        if link.on_answer is not None:
            link.on_answer(approves)
        elif link.kind == "mandate" and link.subscription is not None:
            self._complete_mandate(link, link.subscription, approves)
        elif not approves:
            return
        elif link.kind == "update_method" and link.subscription is not None:
            payments = self._bank.update_method(link.subscription, new_method(), at)
            link.payment = payments[0] if payments else None
        else:
            link.payment = self._one_time_payment(link)

    def _complete_once(self, link: Link, approves: bool) -> None:
        if not link.is_used:
            self.complete(link, approves=approves)

    def _complete_mandate(self, link: Link, subscription: Subscription, approves: bool) -> None:
        if link.payment is None:
            self._book.add_subscription(subscription)
            link.payment = self._first_payment(link, subscription)
        if not approves:
            link.payment.status = "failed"
            link.payment.error_code = "CUSTOMER_CANCELLED"
            subscription.status = "failed"
            self._emit("subscription.failed", subscription)
            return
        method = new_method()
        subscription.customer.methods[method.payment_method_id] = method
        subscription.payment_method_id = link.payment.payment_method_id = method.payment_method_id
        if link.payment.kind == "charge":
            self._bank.begin(link.payment, self._bank.script_of(subscription).next_outcome(link.payment.key))
        else:
            link.payment.status = "succeeded"
            subscription.status = "active"
            self._emit("subscription.active", subscription)

    def _first_payment(self, link: Link, subscription: Subscription) -> Payment:
        is_priced = not subscription.mandate_only and subscription.price > 0
        kind: PaymentKind = "charge" if is_priced else "mandate"
        return self._book.add_payment(
            Payment(
                payment_id=new_id("pay"),
                kind=kind,
                customer=subscription.customer,
                amount=subscription.price if is_priced else 0,
                currency=subscription.currency,
                created_at=machine_now(),
                status="requires_payment_method",
                subscription=subscription,
                metadata=dict(subscription.metadata),
                charge_type="new",
                checkout_session_id=link.session_id,
            )
        )

    def _one_time_payment(self, link: Link) -> Payment:
        payment = self._book.add_payment(
            Payment(
                payment_id=new_id("pay"),
                kind="checkout",
                customer=link.customer,
                amount=link.amount,
                currency=link.currency,
                created_at=machine_now(),
                metadata=dict(link.metadata),
                charge_type=None,
                checkout_session_id=link.session_id,
            )
        )
        self._bank.settle(payment, ScriptedSuccess())
        return payment


def new_method(payment_method_id: str | None = None, last4: str = "4242") -> PaymentMethod:
    """A stored card that pays."""
    return PaymentMethod(payment_method_id or new_id("pm"), last4=last4)
