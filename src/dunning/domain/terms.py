"""A subscription, as the backend gives it. SPEC 4.

`Subscription` is the whole of it, with the customer's contacts. `Terms` is the same without anything personal:
only that goes into workflow state and histories. Money is an integer in minor units, instants carry an offset.
Rules that span fields stand in `rules`; `dunning.intake` reports every broken one at once.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from dunning.domain.base import Value
from dunning.domain.calendar import Interval, On

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
"""1-64 of letters, digits, dot, underscore, colon and hyphen: no e-mail address fits."""


class Channel(StrEnum):
    """A way to reach a customer."""

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


class Provider(StrEnum):
    """Who moves the money."""

    XENDIT = "xendit"
    DODO = "dodo"
    OMISE = "omise"
    GOOGLE_PLAY = "google_play"


class Collection(StrEnum):
    """Who runs calendar and retries: this engine, or the provider."""

    ENGINE = "engine"
    PROVIDER = "provider"


class Role(StrEnum):
    """Of an item: exactly one base, any number of add-ons."""

    BASE = "base"
    ADDON = "addon"


class ImmediateAction(StrEnum):
    """Whether the full amount is due at the authorisation."""

    FULL_AMOUNT = "FULL_AMOUNT"
    NONE = "NONE"


class OnHardDecline(StrEnum):
    """What follows when a method was declined for good."""

    WAIT_FOR_PAYMENT_METHOD = "WAIT_FOR_PAYMENT_METHOD"
    FAIL_CYCLE = "FAIL_CYCLE"


class FailedCycleAction(StrEnum):
    """What follows when a cycle is given up."""

    STOP = "STOP"
    RESUME = "RESUME"


class LadderAnchor(StrEnum):
    """Whose time of day the ladder keeps."""

    AUTHORIZATION = "authorization"
    LAST_SUCCESS = "last_success"


class Customer(Value):
    """Who pays, with contacts; never part of a history."""

    id: Identifier
    name: str | None = Field(default=None, max_length=200)
    email: str | None = Field(default=None, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=254)
    phone: str | None = Field(default=None, pattern=r"^\+[1-9]\d{6,14}$")
    locale: str = Field(default="en", pattern=r"^[a-z]{2}(-[A-Z]{2})?$")
    time_zone: str = "UTC"
    opt_in: dict[Channel, bool] = Field(default_factory=dict)


class Contacts(Value):
    """What the ledger keeps of a customer, read when a notice is sent."""

    id: str
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    locale: str = "en"
    time_zone: str = "UTC"
    opt_in: dict[Channel, bool] = Field(default_factory=dict)


class CustomerReference(Value):
    """All that a history knows of a customer."""

    id: str
    locale: str = "en"
    time_zone: str = "UTC"


class PaymentMethod(Value):
    """A token at the provider; the order in the list is the rank. `expires` is `YYYY-MM`, to the month's end."""

    token: str = Field(min_length=1, max_length=255)
    authorized_at: AwareDatetime | None = None
    expires: str | None = Field(default=None, pattern=r"^\d{4}-(0[1-9]|1[0-2])$")
    network: str | None = None
    fingerprint: str | None = None


class Item(Value):
    """One product."""

    product_id: str = Field(min_length=1, max_length=255)
    role: Role
    quantity: int = Field(default=1, ge=1)
    unit_amount: int = Field(ge=0)


class Schedule(Value):
    """When cycles are due. SPEC 5."""

    anchor_at: AwareDatetime
    interval: Interval
    interval_count: int = Field(default=1, ge=1, le=366)
    on: On | None = None
    start_at: AwareDatetime | None = None
    end_at: AwareDatetime | None = None
    total_cycles: int | None = Field(default=None, ge=1)
    trial_ends_at: AwareDatetime | None = None
    commitment_cycles: int | None = Field(default=None, ge=1)


class RetryPolicy(Value):
    """The ladder: `ladder_days` (cumulative), or `interval`, `interval_count` and `total`. SPEC 4, 6."""

    ladder_days: tuple[int, ...] | None = None
    interval: Interval | None = None
    interval_count: int | None = Field(default=None, ge=1)
    total: int | None = Field(default=None, ge=0)
    anchor: LadderAnchor = LadderAnchor.AUTHORIZATION
    max_attempts: int | None = Field(default=None, ge=1)
    allow_more_than_4: bool = False
    spread_seconds: int = Field(default=0, ge=0, le=86_400)

    @property
    def days(self) -> tuple[int, ...]:
        """The cumulative days of the rungs; the default ladder is 3, 10 and 17."""
        if self.ladder_days is not None:
            return self.ladder_days
        if self.interval_count is not None and self.total is not None:
            return tuple(self.interval_count * n for n in range(1, self.total + 1))
        return (3, 10, 17)

    @property
    def attempts_allowed(self) -> int:
        """Due, ladder and provider attempts together."""
        return self.max_attempts if self.max_attempts is not None else len(self.days) + 1


class DodoOptions(Value):
    """What Dodo needs besides. `subscription_id` adopts a mandate that exists there."""

    country: str = Field(pattern=r"^[A-Z]{2}$")
    product_id: str | None = None
    subscription_id: str | None = None
    mandate_only: bool = True
    first_price: int | None = Field(default=None, ge=0)
    return_url: str | None = None
    city: str | None = None
    state: str | None = None
    street: str | None = None
    zipcode: str | None = None
    adaptive_currency_fees_inclusive: bool | None = None
    use_legacy_create: bool = False


class XenditOptions(Value):
    """What Xendit needs besides."""

    customer_id: str | None = None
    plan_id: str | None = None
    success_return_url: str | None = None
    failure_return_url: str | None = None
    locale: str | None = None
    item_category: str | None = None


class OmiseOptions(Value):
    """What Omise needs besides."""

    customer_id: str | None = None
    schedule_id: str | None = None


class GooglePlayOptions(Value):
    """What Google Play needs besides."""

    package_name: str = Field(min_length=1)
    purchase_token: str = Field(min_length=1)


ProviderOptions = DodoOptions | XenditOptions | OmiseOptions | GooglePlayOptions

OPTIONS_OF: dict[Provider, type[ProviderOptions]] = {
    Provider.DODO: DodoOptions,
    Provider.XENDIT: XenditOptions,
    Provider.OMISE: OmiseOptions,
    Provider.GOOGLE_PLAY: GooglePlayOptions,
}
"""The typed model of each provider's options."""


class _Agreement(Value):
    id: Identifier
    merchant_account: Identifier
    provider: Provider
    collection: Collection = Collection.ENGINE
    provider_options: dict[str, Any] = Field(default_factory=dict)
    payment_methods: tuple[PaymentMethod, ...] = ()
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    description: str = Field(min_length=1, max_length=500)
    items: tuple[Item, ...] = Field(min_length=1, max_length=50)
    schedule: Schedule
    immediate_action: ImmediateAction = ImmediateAction.NONE
    retry: RetryPolicy = RetryPolicy()
    failed_attempt_notifications: tuple[int, ...] | None = None
    notifications: dict[Occasion, tuple[Channel, ...]] = Field(default_factory=dict)
    on_hard_decline: OnHardDecline = OnHardDecline.WAIT_FOR_PAYMENT_METHOD
    failed_cycle_action: FailedCycleAction = FailedCycleAction.STOP
    grace_days: int | None = Field(default=None, ge=0, le=30)
    hold_days: int | None = Field(default=None, ge=0, le=60)
    activation_timeout_days: int = Field(default=7, ge=1, le=60)
    notice_before_charge_hours: int | None = Field(default=None, ge=1, le=24 * 30)
    metadata: dict[str, str | int | bool] = Field(default_factory=dict)

    @property
    def amount(self) -> int:
        """What one cycle costs, in minor units."""
        return sum(item.quantity * item.unit_amount for item in self.items)

    @property
    def options(self) -> ProviderOptions:
        """The provider's options, typed."""
        return OPTIONS_OF[self.provider].model_validate(self.provider_options)

    @property
    def adopted_reference(self) -> str | None:
        """The provider's id of a mandate or plan that exists already."""
        for name in ("subscription_id", "plan_id", "schedule_id", "purchase_token"):
            value = self.provider_options.get(name)
            if value:
                return str(value)
        return None


class Terms(_Agreement):
    """The agreement without anything personal: what workflows know."""

    customer: CustomerReference


class Subscription(_Agreement):
    """The agreement as the backend gives it."""

    customer: Customer
    created_at: AwareDatetime | None = None

    def terms(self) -> Terms:
        """Without name, e-mail and phone."""
        kept = {name: getattr(self, name) for name in _Agreement.model_fields}
        customer = CustomerReference(
            id=self.customer.id, locale=self.customer.locale, time_zone=self.customer.time_zone
        )
        return Terms(customer=customer, **kept)

    def contacts(self) -> Contacts:
        """What the ledger keeps."""
        return Contacts.model_validate(self.customer.model_dump())


def terms_fingerprint(subscription: Subscription) -> str:
    """Equal for equal terms: the same id with the same terms is idempotent, with others a conflict. SPEC 4."""
    plain = subscription.model_dump(mode="json", exclude={"created_at"})
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
