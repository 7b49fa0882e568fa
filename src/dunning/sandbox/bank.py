"""What happens to money in the sandbox: charges, their outcomes, dues, late successes.

A charge answers first and is settled a moment later, like the provider's. There is no idempotency: every
request that passes the checks is a charge. The one guard is the provider's own, refusing a charge while an
earlier one of the same subscription is not settled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from dunning.domain.outcomes import (
    ScriptedDecline,
    ScriptedOutage,
    ScriptedOutcome,
    ScriptedPending,
    ScriptedSuccess,
    ScriptedTimeout,
)
from dunning.sandbox.book import (
    Book,
    MetadataValue,
    Owed,
    Payment,
    PaymentMethod,
    Subscription,
    machine_now,
    new_id,
    read_instant,
)
from dunning.sandbox.errors import ApiError
from dunning.sandbox.scripts import Script, Scripts
from dunning.sandbox.settings import SandboxSettings
from dunning.sandbox.timers import Timers

MESSAGES = {
    "INSUFFICIENT_FUNDS": "The card has insufficient funds to complete the purchase.",
    "DO_NOT_HONOR": "The card issuer refused the payment without giving a reason.",
    "EXPIRED_CARD": "The card has expired.",
    "PROCESSING_ERROR": "An error occurred while processing the card.",
    "MANDATE_INVALID": "The amount is not covered by the mandate, or the mandate is no longer valid.",
}
Emit = Callable[[str, Payment | Subscription], None]


@dataclass(frozen=True)
class ChargeOrder:
    """A charge request that could be read: amount in minor units."""

    amount: int
    currency: str
    metadata: dict[str, MetadataValue]


class Bank:
    """Moves the sandbox's money; `emit` sends a webhook about a payment or a subscription."""

    def __init__(
        self,
        book: Book,
        scripts: Scripts,
        timers: Timers,
        settings: Callable[[], SandboxSettings],
        emit: Emit,
    ) -> None:
        self._book = book
        self._scripts = scripts
        self._timers = timers
        self._settings = settings
        self._emit = emit

    def script_of(self, subscription: Subscription) -> Script:
        """The future of this subscription's customer."""
        return self._scripts.of(subscription.script_name)

    def charge(self, subscription: Subscription, order: ChargeOrder) -> tuple[Payment, bool]:
        """Charge the stored method; the flag says that the caller must never get the answer.

        Raises:
            ApiError: nothing was charged and nothing was written down.
        """
        business_at = read_instant(order.metadata.get("business_at")) or machine_now()
        self.advance(business_at, subscription)
        script = self.script_of(subscription)
        if script.refuses(business_at):
            raise ApiError("TOO_MANY_REQUESTS", "Too many requests; nothing was charged.")
        self._require_chargeable(subscription, order)
        payment = self._write(subscription, order, business_at)
        is_covered = subscription.mandate_limit is None or order.amount <= subscription.mandate_limit
        outcome = script.next_outcome(payment.key) if is_covered else ScriptedDecline(code="MANDATE_INVALID")
        self.begin(payment, outcome)
        return payment, isinstance(outcome, ScriptedTimeout)

    def begin(self, payment: Payment, outcome: ScriptedOutcome) -> None:
        """Let a payment that was written down run towards its outcome."""
        payment.status = "processing"
        match outcome:
            case ScriptedTimeout():
                self.settle(payment, ScriptedSuccess())
            case ScriptedPending():
                payment.settles_at = (payment.business_at or payment.created_at) + outcome.lasts
                payment.settles_as = outcome.then
                self._emit("payment.processing", payment)
            case ScriptedSuccess() | ScriptedDecline():
                subject = payment.subscription.subscription_id if payment.subscription else ""
                self._timers.later(self._settings().settle_seconds, subject, lambda: self.settle(payment, outcome))
            case ScriptedOutage():
                raise ValueError("an outage is no outcome of a payment that exists")

    def settle(self, payment: Payment, outcome: ScriptedSuccess | ScriptedDecline) -> None:
        """Give a payment its final status, once, and tell the merchant."""
        if payment.is_settled:
            return
        payment.updated_at = machine_now()
        payment.settles_at = None
        if isinstance(outcome, ScriptedDecline):
            payment.status = "failed"
            payment.error_code = outcome.code
            payment.error_message = MESSAGES.get(outcome.code, f"The payment was declined: {outcome.code}.")
            payment.retry_after_seconds = None if outcome.wait is None else int(outcome.wait.total_seconds())
            self._emit("payment.failed", payment)
            self._after_failure(payment)
        else:
            payment.status = "succeeded"
            self._emit("payment.succeeded", payment)
            self._after_success(payment)

    def advance(self, business_now: datetime, subscription: Subscription | None = None) -> list[Payment]:
        """Settle the pending payments (of one subscription, or all) whose business instant has come."""
        payments = self._book.payments_of(subscription) if subscription else list(self._book.payments.values())
        due = [one for one in payments if one.settles_at is not None and one.settles_at <= business_now]
        for payment in due:
            self.settle(payment, payment.settles_as)
        return due

    def succeed_late(self, payment: Payment) -> None:
        """Turn a failed or undecided payment into a paid one, as late settlement does."""
        payment.status = "processing"
        payment.error_code = payment.error_message = payment.retry_after_seconds = None
        self.settle(payment, ScriptedSuccess())

    def pay_by_link(self, subscription: Subscription, amount: int, currency: str, at: datetime | None) -> Payment:
        """The customer pays by a link: a payment without any key of ours, paid at once."""
        payment = self._own_payment(subscription, Owed(amount, currency), at)
        payment.kind = "pay_link"
        self.settle(payment, ScriptedSuccess())
        return payment

    def update_method(self, subscription: Subscription, method: PaymentMethod, at: datetime | None) -> list[Payment]:
        """Make a method current; on hold, the provider then collects by itself what is owed."""
        subscription.customer.methods[method.payment_method_id] = method
        subscription.payment_method_id = method.payment_method_id
        self._emit("subscription.update_payment_method", subscription)
        if subscription.status != "on_hold":
            return []
        payments = [self._own_payment(subscription, owed, at) for owed in subscription.owed.values()]
        for payment in payments:
            payment.is_update_payment_method = True
            self.begin(payment, self.script_of(subscription).next_dues())
        if not payments:
            self._activate(subscription)
        return payments

    def _own_payment(self, subscription: Subscription, owed: Owed, at: datetime | None) -> Payment:
        return self._book.add_payment(
            Payment(
                payment_id=new_id("pay"),
                kind="dues",
                customer=subscription.customer,
                amount=owed.amount,
                currency=owed.currency,
                created_at=machine_now(),
                subscription=subscription,
                payment_method_id=subscription.payment_method_id,
                business_at=at,
            )
        )

    def _require_chargeable(self, subscription: Subscription, order: ChargeOrder) -> None:
        if not subscription.on_demand:
            raise ApiError("SUBSCRIPTION_NOT_ON_DEMAND", "The subscription is not on-demand.")
        if subscription.status == "expired":
            raise ApiError("SUBSCRIPTION_EXPIRED", "The subscription has expired.")
        if subscription.status != "active":
            raise ApiError("SUBSCRIPTION_INACTIVE", f"The subscription is {subscription.status}, not active.")
        if subscription.cancel_at_next_billing_date:
            raise ApiError("CHARGE_NOT_ALLOWED_FOR_SCHEDULED_CANCELLATION", "A cancellation is scheduled.")
        if any(not one.is_settled for one in self._book.payments_of(subscription)):
            raise ApiError("PREVIOUS_PAYMENT_PENDING", "The previous payment is not settled yet.")
        minimum = self._settings().minimum_amount
        if order.amount < minimum:
            raise ApiError(
                "TOTAL_PAYMENT_AMOUNT_BELOW_MINIMUM_AMOUNT", f"The amount {order.amount} is below {minimum}."
            )

    def _write(self, subscription: Subscription, order: ChargeOrder, business_at: datetime) -> Payment:
        method = subscription.customer.methods.get(subscription.payment_method_id or "")
        if method is not None:
            method.last_used_at = machine_now()
        return self._book.add_payment(
            Payment(
                payment_id=new_id("pay"),
                kind="charge",
                customer=subscription.customer,
                amount=order.amount,
                currency=order.currency,
                created_at=machine_now(),
                subscription=subscription,
                metadata=order.metadata,
                payment_method_id=subscription.payment_method_id,
                business_at=business_at,
            )
        )

    def _after_failure(self, payment: Payment) -> None:
        subscription = payment.subscription
        if subscription is None or payment.kind != "charge":
            return
        if payment.charge_type == "new":
            subscription.status = "failed"
            self._emit("subscription.failed", subscription)
            return
        subscription.owed[_obligation(payment)] = Owed(payment.amount, payment.currency)
        if subscription.on_hold_after_failure and subscription.status == "active":
            subscription.status = "on_hold"
            self._emit("subscription.on_hold", subscription)

    def _after_success(self, payment: Payment) -> None:
        subscription = payment.subscription
        if subscription is None:
            return
        if payment.kind == "charge":
            subscription.owed.pop(_obligation(payment), None)
        else:
            paid = Owed(payment.amount, payment.currency)
            for name in [name for name, owed in subscription.owed.items() if owed == paid][:1]:
                del subscription.owed[name]
        is_settled_debt = subscription.status == "on_hold" and not subscription.owed
        if is_settled_debt or (payment.charge_type == "new" and subscription.status == "pending"):
            self._activate(subscription)

    def _activate(self, subscription: Subscription) -> None:
        subscription.status = "active"
        self._emit("subscription.active", subscription)


def _obligation(payment: Payment) -> str:
    value = payment.metadata.get("obligation")
    return str(value) if value is not None else ""
