"""Request bodies of Dodo's contract. Fields that no dunning engine uses are accepted and not read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
)

from dunning.sandbox.book import MetadataValue
from dunning.sandbox.currencies import require_currency
from dunning.sandbox.errors import ApiError

INT32_MAX = 2**31 - 1
MAX_METADATA_PAIRS = 50


def _few_keys(metadata: dict[str, MetadataValue]) -> dict[str, MetadataValue]:
    if len(metadata) > MAX_METADATA_PAIRS:
        raise ApiError("MAXIMUM_KEYS_REACHED", f"Metadata holds at most {MAX_METADATA_PAIRS} pairs.")
    return metadata


Currency = Annotated[str, AfterValidator(require_currency)]
Metadata = Annotated[dict[str, StrictStr | StrictInt | StrictFloat | StrictBool], AfterValidator(_few_keys)]
Price = Annotated[StrictInt, Field(ge=0, le=INT32_MAX)]


class Body(BaseModel):
    """A request body."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class CustomerRef(Body):
    """A known customer by id, or a new one by e-mail."""

    customer_id: str | None = None
    email: str | None = None
    name: str | None = None
    phone_number: str | None = None


class Billing(Body):
    """A billing address; only the country is required."""

    country: str = Field(pattern=r"^[A-Z]{2}$")
    city: str | None = None
    state: str | None = None
    street: str | None = None
    zipcode: str | None = None


class OnDemand(Body):
    """`mandate_only` has no default at the provider either: leaving it out is refused with 422."""

    mandate_only: StrictBool
    product_price: Price | None = None
    product_currency: Currency | None = None
    product_description: str | None = None
    adaptive_currency_fees_inclusive: bool | None = None


class SubscriptionRequest(Body):
    """`POST /subscriptions`."""

    product_id: str = Field(min_length=1)
    quantity: StrictInt = Field(ge=1)
    billing: Billing
    customer: CustomerRef
    payment_link: bool | None = None
    return_url: str | None = None
    on_demand: OnDemand | None = None
    metadata: Metadata = Field(default_factory=dict)
    billing_currency: Currency | None = None
    payment_method_id: str | None = None
    trial_period_days: int | None = Field(default=None, ge=0, le=10_000)
    addons: list[Any] | None = None
    discount_code: str | None = None
    discount_codes: list[str] | None = Field(default=None, max_length=20)
    one_time_product_cart: list[Any] | None = None


class CartItem(Body):
    """One product of a checkout; `amount` is for products that let the payer choose, minor units."""

    product_id: str = Field(min_length=1)
    quantity: StrictInt = Field(ge=1)
    amount: Price | None = None
    addons: list[Any] | None = None


class SubscriptionData(Body):
    """The subscription that a checkout begins."""

    on_demand: OnDemand | None = None
    trial_period_days: int | None = Field(default=None, ge=0, le=10_000)


class CheckoutRequest(Body):
    """`POST /checkouts`."""

    product_cart: list[CartItem] = Field(min_length=1)
    customer: CustomerRef | None = None
    billing_address: Billing | None = None
    return_url: str | None = None
    cancel_url: str | None = None
    metadata: Metadata = Field(default_factory=dict)
    billing_currency: Currency | None = None
    subscription_data: SubscriptionData | None = None
    discount_codes: list[str] | None = Field(default=None, max_length=20)


class ChargeRequest(Body):
    """`POST /subscriptions/{id}/charge`; metadata left out means the subscription's own."""

    product_price: Price
    product_currency: Currency | None = None
    product_description: str | None = None
    adaptive_currency_fees_inclusive: bool | None = None
    metadata: Metadata | None = None


class UpdateMethodRequest(Body):
    """`POST /subscriptions/{id}/update-payment-method`, a union on `type`."""

    type: Literal["new", "existing"]
    payment_method_id: str | None = None
    return_url: str | None = None


class PatchRequest(Body):
    """`PATCH /subscriptions/{id}`. `pause` was removed by the provider and is always refused."""

    status: Literal["active", "cancelled", "paused", "on_hold", "expired", "failed", "pending"] | None = None
    cancel_at_next_billing_date: bool | None = None
    cancel_reason: (
        Literal[
            "cancelled_by_customer",
            "cancelled_by_merchant",
            "cancelled_by_merchant_send_dunning",
            "cancelled_by_merchant_grace_period_expired",
            "dodo_team",
        ]
        | None
    ) = None
    cancellation_comment: str | None = None
    next_billing_date: str | None = None
    metadata: Metadata | None = None
    customer_name: str | None = None
    pause: Any = None
