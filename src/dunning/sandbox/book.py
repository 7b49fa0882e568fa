"""The provider's books: customers, subscriptions, payments and links, all in memory.

Amounts are minor units. `created_at` and its like are the sandbox's machine clock; `business_at` and
`planned_at` are what the caller wrote into the charge's metadata. Nothing here is ever merged or removed but
by `clear`, so a charge made twice stands here twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

from dunning.domain.outcomes import ScriptedDecline, ScriptedSuccess

MetadataValue = str | int | float | bool
PaymentKind = Literal["charge", "mandate", "dues", "pay_link", "checkout"]
LinkKind = Literal["mandate", "update_method", "payment"]
TERMINAL_STATUSES = frozenset({"succeeded", "failed", "cancelled"})


def machine_now() -> datetime:
    """The machine clock, UTC: for `created_at`, signatures and expiries, never for a scripted instant."""
    return datetime.now(UTC)


def new_id(prefix: str) -> str:
    """A provider id, such as `pay_3f...`."""
    return f"{prefix}_{uuid4().hex[:22]}"


def read_instant(value: object) -> datetime | None:
    """An instant from metadata or a header; None when it is absent, unreadable or without an offset."""
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return None if instant.tzinfo is None else instant.astimezone(UTC)


@dataclass
class Customer:
    """Who pays, as the provider knows them."""

    customer_id: str
    email: str = "customer@example.com"
    name: str = "Sandbox Customer"
    phone_number: str | None = None
    methods: dict[str, PaymentMethod] = field(default_factory=dict)


@dataclass
class PaymentMethod:
    """A stored payment method. `declines_as`: how a test card that never pays is declined."""

    payment_method_id: str
    last4: str = "4242"
    network: str = "visa"
    expiry_month: str = "06"
    expiry_year: str = "2032"
    last_used_at: datetime | None = None
    created_at: datetime = field(default_factory=machine_now)
    declines_as: str | None = None


@dataclass(frozen=True)
class Owed:
    """What a declined charge left unpaid, minor units."""

    amount: int
    currency: str


@dataclass
class Subscription:
    """An on-demand subscription, or what a provider has in its place: whom `provider` charges under this id.

    `on_hold_after_failure`: whether a declined charge puts it on hold.

    `owed` names what declined charges left unpaid, by obligation: what a method update on hold collects.
    """

    subscription_id: str
    customer: Customer
    currency: str
    status: str
    created_at: datetime
    script_name: str
    metadata: dict[str, MetadataValue] = field(default_factory=dict)
    payment_method_id: str | None = None
    product_id: str = "pdt_sandbox"
    quantity: int = 1
    price: int = 0
    on_demand: bool = True
    mandate_only: bool = True
    mandate_limit: int | None = None
    on_hold_after_failure: bool = False
    billing: dict[str, str | None] = field(default_factory=lambda: {"country": "US"})
    next_billing_date: datetime | None = None
    cancel_at_next_billing_date: bool = False
    cancelled_at: datetime | None = None
    paused_at: datetime | None = None
    expires_at: datetime | None = None
    provider: str = "dodo"
    description: str | None = None
    owed: dict[str, Owed] = field(default_factory=dict)

    @property
    def reference(self) -> str | None:
        """Our own subscription id, when the metadata carries it."""
        value = self.metadata.get("subscription")
        return value if isinstance(value, str) else None


@dataclass
class Payment:
    """A payment, whatever made it. `settles_at` is business time, set only while it is pending by script.

    `settles_as` is what it then becomes.
    """

    payment_id: str
    kind: PaymentKind
    customer: Customer
    amount: int
    currency: str
    created_at: datetime
    status: str = "processing"
    subscription: Subscription | None = None
    metadata: dict[str, MetadataValue] = field(default_factory=dict)
    payment_method_id: str | None = None
    charge_type: str | None = "on_demand"
    is_update_payment_method: bool = False
    business_at: datetime | None = None
    settles_at: datetime | None = None
    settles_as: ScriptedSuccess | ScriptedDecline = field(default_factory=ScriptedSuccess)
    error_code: str | None = None
    error_message: str | None = None
    retry_after_seconds: int | None = None
    payment_link: str | None = None
    description: str | None = None
    checkout_session_id: str | None = None
    schedule_id: str | None = None
    updated_at: datetime | None = None

    @property
    def key(self) -> str | None:
        """Our attempt key, if the payment carries one."""
        value = self.metadata.get("dunning_first_key" if self.charge_type == "new" else "dunning_key")
        return value if isinstance(value, str) else None

    @property
    def is_settled(self) -> bool:
        """Whether the status is final."""
        return self.status in TERMINAL_STATUSES


@dataclass
class Refund:
    """Money given back of a payment, minor units."""

    refund_id: str
    payment: Payment
    amount: int
    status: str
    reason: str | None
    metadata: dict[str, MetadataValue]
    created_at: datetime


@dataclass
class Link:
    """A hosted page. `session_id` is set for checkouts, whose subscription exists only once they are
    completed. `on_answer`: what the page's own provider does with the customer's yes or no.
    """

    link_id: str
    kind: LinkKind
    customer: Customer
    created_at: datetime
    subscription: Subscription | None = None
    session_id: str | None = None
    payment: Payment | None = None
    amount: int = 0
    currency: str = "USD"
    metadata: dict[str, MetadataValue] = field(default_factory=dict)
    return_url: str | None = None
    is_used: bool = False
    on_answer: Callable[[bool], None] | None = None

    @property
    def expires_at(self) -> datetime:
        """When the page stops working; the provider's links live for a day."""
        return self.created_at + timedelta(hours=24)


class Book:
    """Everything the provider has written down, in the order in which it happened."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin with empty books."""
        self.customers: dict[str, Customer] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.payments: dict[str, Payment] = {}
        self.links: dict[str, Link] = {}
        self.sessions: dict[str, Link] = {}
        self.refunds: dict[str, Refund] = {}
        self.disputed: dict[str, str] = {}
        self._payments_of: dict[str, list[Payment]] = {}
        self._by_reference: dict[str, Subscription] = {}

    def refunds_of(self, payment: Payment) -> list[Refund]:
        """What was given back of a payment, oldest first."""
        return [one for one in self.refunds.values() if one.payment is payment]

    def refunded(self, payment: Payment) -> int:
        """How much of a payment was given back, or is on its way back."""
        return sum(one.amount for one in self.refunds_of(payment) if one.status != "failed")

    def customer(self, customer_id: str | None, **details: Any) -> Customer:
        """The customer of this id, made when unknown; given details replace known ones."""
        known = self.customers.get(customer_id) if customer_id else None
        found = known or Customer(customer_id or new_id("cus"))
        for name, value in details.items():
            if value is not None:
                setattr(found, name, value)
        self.customers[found.customer_id] = found
        return found

    def add_subscription(self, subscription: Subscription) -> Subscription:
        """Write a subscription down; the newest one answers to a reference used before."""
        self.subscriptions[subscription.subscription_id] = subscription
        if subscription.reference:
            self._by_reference[subscription.reference] = subscription
        return subscription

    def add_payment(self, payment: Payment) -> Payment:
        """Write a payment down."""
        self.payments[payment.payment_id] = payment
        if payment.subscription is not None:
            self._payments_of.setdefault(payment.subscription.subscription_id, []).append(payment)
        return payment

    def add_link(self, link: Link) -> Link:
        """Write a hosted page down."""
        self.links[link.link_id] = link
        if link.session_id is not None:
            self.sessions[link.session_id] = link
        return link

    def find_subscription(self, name: str) -> Subscription | None:
        """A subscription by the provider's id or by our reference."""
        return self.subscriptions.get(name) or self._by_reference.get(name)

    def payments_of(self, subscription: Subscription) -> list[Payment]:
        """Payments of one subscription, oldest first."""
        return self._payments_of.get(subscription.subscription_id, [])

    def charges(self, name: str | None = None) -> Iterator[Payment]:
        """The charge book: every payment that moves or tried to move money, oldest first.

        `name` is the provider's subscription id or our reference; a reference covers all its subscriptions.
        """
        for payment in self.payments.values():
            if payment.kind != "mandate" and (name is None or _belongs_to(payment, name)):
                yield payment


def _belongs_to(payment: Payment, name: str) -> bool:
    subscription = payment.subscription
    if payment.metadata.get("subscription") == name:
        return True
    return subscription is not None and name in (subscription.subscription_id, subscription.reference)
