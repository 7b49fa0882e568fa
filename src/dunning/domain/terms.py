"""A subscription, as the backend gives it, and what of it may enter a history. SPEC 4.

`Subscription` is the whole input. `Terms` is the same without anything personal, and travels in workflow state.
`Contacts` is the personal rest: it stays in the ledger. Rules between fields stand in `rules`;
`dunning.intake` reports everything that is wrong at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StrictStr, model_validator

from dunning.domain.base import Value
from dunning.domain.fields import (
    STORED,
    Amount,
    Currency,
    Flag,
    Identifier,
    Instant,
    Metadata,
    Month,
    Text,
    Token,
    Whole,
)
from dunning.domain.options import Country, DodoOptions, GooglePlayOptions, ProviderOptions
from dunning.domain.play_actions import deep_link
from dunning.domain.retrying import LadderAnchor, RetryPolicy
from dunning.domain.scheduling import Schedule

__all__ = [
    "Address",
    "Channel",
    "Collection",
    "Contacts",
    "Customer",
    "CustomerReference",
    "FailedCycleAction",
    "ImmediateAction",
    "Item",
    "LadderAnchor",
    "Occasion",
    "OnHardDecline",
    "PaymentMethod",
    "Provider",
    "RetryPolicy",
    "Role",
    "Schedule",
    "Subscription",
    "Terms",
    "terms_fingerprint",
]

MAX_ITEMS = 50
_PERSONAL_OPTIONS = ("city", "state", "street", "zipcode")


class Provider(StrEnum):
    """Who moves the money."""

    XENDIT = "xendit"
    DODO = "dodo"
    OMISE = "omise"
    GOOGLE_PLAY = "google_play"


class Collection(StrEnum):
    """Whose calendar and whose retries: ours, or the provider's."""

    ENGINE = "engine"
    PROVIDER = "provider"


class Channel(StrEnum):
    """How a notice reaches the customer."""

    WHATSAPP = "WHATSAPP"
    EMAIL = "EMAIL"
    SMS = "SMS"


class Occasion(StrEnum):
    """What a notice is about. SPEC 11."""

    CREATED = "created"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRY_REMINDER = "retry_reminder"
    ACTION_REQUIRED = "action_required"
    CARD_EXPIRING = "card_expiring"
    UPCOMING_CHARGE = "upcoming_charge"
    ON_HOLD = "on_hold"
    STOPPED = "stopped"
    RECOVERED = "recovered"
    PRICE_CHANGE = "price_change"
    REFUNDED = "refunded"
    CANCELED = "canceled"


class Role(StrEnum):
    """Exactly one item is the base; the others are add-ons."""

    BASE = "base"
    ADDON = "addon"


class ImmediateAction(StrEnum):
    """Whether the first cycle is due at the authorisation itself. SPEC 5."""

    FULL_AMOUNT = "FULL_AMOUNT"
    NONE = "NONE"


class OnHardDecline(StrEnum):
    """What a decline for good means for the open cycle. SPEC 7."""

    WAIT_FOR_PAYMENT_METHOD = "WAIT_FOR_PAYMENT_METHOD"
    FAIL_CYCLE = "FAIL_CYCLE"


class FailedCycleAction(StrEnum):
    """What happens when a cycle is given up. SPEC 8."""

    STOP = "STOP"
    RESUME = "RESUME"


_Locale = Annotated[StrictStr, Field(pattern=r"^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8}){0,3}$"), STORED]
_TimeZone = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9._+/-]{1,64}$"), STORED]


class Address(Value):
    """A billing address."""

    country: Country
    city: str | None = None
    state: str | None = None
    street: str | None = None
    zipcode: str | None = None


class Customer(Value):
    """Who pays. `phone` in E.164; `time_zone` of IANA; `locale` like `id` or `en-GB`; `opt_in` by channel."""

    id: Identifier
    name: Text | None = None
    email: (
        Annotated[StrictStr, Field(pattern=r"^[^\s@]{1,64}@[^\s@.]+(\.[^\s@.]+)+$", max_length=254), STORED] | None
    ) = None
    phone: Annotated[StrictStr, Field(pattern=r"^\+[1-9][0-9]{6,14}$"), STORED] | None = None
    locale: _Locale = "en"
    time_zone: _TimeZone = "UTC"
    opt_in: dict[Channel, Flag] = Field(default_factory=dict)


class Contacts(Customer):
    """Everything personal of a customer. It stays in the ledger and is read when a notice is sent."""

    address: Address | None = None

    def reach(self, channel: Channel) -> str | None:
        """The address that may be used on a channel, or None.

        E-mail goes unless it was refused; WhatsApp and SMS need a stated consent.
        """
        if not self.opt_in.get(channel, channel is Channel.EMAIL):
            return None
        return self.email if channel is Channel.EMAIL else self.phone


class CustomerReference(Value):
    """What a history may know of a customer."""

    id: Identifier
    locale: _Locale = "en"
    time_zone: _TimeZone = "UTC"


class PaymentMethod(Value):
    """A token at the provider. `authorized_at` defaults to activation; `expires` is `YYYY-MM`."""

    token: Token
    authorized_at: Instant | None = None
    expires: Month | None = None
    network: Text | None = None
    fingerprint: Text | None = None

    def is_expired(self, at: datetime) -> bool:
        """Whether the card's last month is over at `at`; cards are valid to the month's end."""
        return self.expires is not None and f"{at:%Y-%m}" > self.expires


class Item(Value):
    """One product. `unit_amount` in minor units.

    `grace_days`, `hold_days`: of the item's own base plan, as the Play Console has them; for Google Play alone. They
    are for `preview` and forecasts; who has access is what was read.
    """

    product_id: Identifier
    role: Role
    quantity: Annotated[Whole, Field(ge=1, le=1_000_000)] = 1
    unit_amount: Amount
    grace_days: Annotated[Whole, Field(ge=0, le=30)] | None = None
    hold_days: Annotated[Whole, Field(ge=0, le=60)] | None = None


class _Agreed(Value):
    """What both forms of a subscription hold. Days are calendar days, hours are hours."""

    provider: Provider
    collection: Collection
    provider_options: ProviderOptions
    payment_methods: tuple[PaymentMethod, ...] = Field(default=(), max_length=20)
    currency: Currency
    description: Text
    items: tuple[Item, ...] = Field(min_length=1, max_length=MAX_ITEMS)
    schedule: Schedule
    immediate_action: ImmediateAction = ImmediateAction.NONE
    retry: RetryPolicy = RetryPolicy()
    failed_attempt_notifications: tuple[Annotated[Whole, Field(ge=1)], ...] | None = None
    notifications: dict[Occasion, tuple[Channel, ...]] = Field(default_factory=dict)
    on_hard_decline: OnHardDecline = OnHardDecline.WAIT_FOR_PAYMENT_METHOD
    failed_cycle_action: FailedCycleAction = FailedCycleAction.STOP
    grace_days: Annotated[Whole, Field(ge=0, le=30)] | None = None
    hold_days: Annotated[Whole, Field(ge=0, le=60)] | None = None
    activation_timeout_days: Annotated[Whole, Field(ge=1, le=365)] = 7
    notice_before_charge_hours: Annotated[Whole, Field(ge=1, le=720)] | None = None
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _tag_options(cls, data: Any) -> Any:
        """The options need not repeat the provider; without any, they are those of the provider."""
        if not isinstance(data, Mapping):
            return data
        options = data.get("provider_options", {})
        if not isinstance(options, Mapping) or "provider" in options:
            return data
        return {**data, "provider_options": {"provider": data.get("provider"), **options}}

    @property
    def amount(self) -> int:
        """What one cycle costs, in minor units."""
        return sum(item.quantity * item.unit_amount for item in self.items)

    @property
    def base_item(self) -> Item:
        """The one base product."""
        return next(item for item in self.items if item.role is Role.BASE)

    @property
    def customer_link(self) -> str | None:
        """Where the customer alone can act at the provider; None where everything is ours to ask for."""
        options = self.provider_options
        if not isinstance(options, GooglePlayOptions) or options.package_name is None:
            return None
        return deep_link(options.package_name, self.base_item.product_id)

    @property
    def adopted_reference(self) -> str | None:
        """The provider's own id of a mandate, plan, schedule or purchase that exists already."""
        return self.provider_options.adopted

    @property
    def adopted_plan(self) -> str | None:
        """The provider's own id of a calendar that it runs already."""
        return self.provider_options.adopted_plan

    @property
    def is_first_paid_on_page(self) -> bool:
        """Whether the customer pays cycle 1 on the page where charging is authorised."""
        options = self.dodo_options
        return options is not None and not options.mandate_only

    @property
    def dodo_options(self) -> DodoOptions | None:
        """The options, if the provider is Dodo."""
        return self.provider_options if isinstance(self.provider_options, DodoOptions) else None


class Terms(_Agreed):
    """The agreement without anything personal: no name, no e-mail address, no phone, no street."""

    customer: CustomerReference


class Subscription(_Agreed):
    """Everything that the backend gives.

    Attributes:
        id: the backend's reference, unique per account for ever.
        merchant_account: names credentials in settings.
        created_at: only in files for `preview`; else the time of creation.
    """

    id: Identifier
    merchant_account: Identifier
    customer: Customer
    created_at: Instant | None = None

    def terms(self) -> Terms:
        """What may travel in workflow state and stand in histories."""
        customer = CustomerReference(
            id=self.customer.id, locale=self.customer.locale, time_zone=self.customer.time_zone
        )
        agreed = {name: getattr(self, name) for name in _Agreed.model_fields}
        if isinstance(self.provider_options, DodoOptions):
            agreed["provider_options"] = self.provider_options.but(**dict.fromkeys(_PERSONAL_OPTIONS))
        return Terms.model_construct(**agreed, customer=customer)

    def contacts(self) -> Contacts:
        """What stays in the ledger."""
        personal = {name: getattr(self.customer, name) for name in Customer.model_fields}
        return Contacts(**personal, address=self._address())

    def _address(self) -> Address | None:
        options = self.dodo_options
        if options is None:
            return None
        parts = {name: getattr(options, name) for name in _PERSONAL_OPTIONS}
        return Address(country=options.country, **parts)


def terms_fingerprint(subscription: Subscription) -> str:
    """A hash of the terms: the same id with the same terms is idempotent, with others a conflict. SPEC 4.

    Contacts are no terms (they may change), nor is the time of creation. Fields at their defaults are left
    out, so that a later release with more fields still knows an older subscription again.
    """
    terms = subscription.terms().model_dump(mode="json", exclude_defaults=True)
    whole = json.dumps(terms, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(whole.encode()).hexdigest()
