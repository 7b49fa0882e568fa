"""What each provider wants to know besides: one typed model per provider. SPEC 4."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictStr

from dunning.domain.base import Value
from dunning.domain.fields import STORED, Amount, Flag, Text

Country = Annotated[StrictStr, Field(pattern=r"^[A-Z]{2}$"), STORED]
"""ISO 3166-1 alpha-2."""

Url = Annotated[StrictStr, Field(pattern=r"^https?://[^\s]{1,2000}$"), STORED]
ProviderId = Annotated[StrictStr, Field(pattern=r"^[!-~]{1,255}$"), STORED]
"""An id that the provider gave."""


class DodoOptions(Value):
    """Dodo Payments, on-demand subscriptions.

    Attributes:
        country: of the billing address; the only part that Dodo insists on.
        city, state, street, zipcode: personal; they stay in the ledger and never enter a history.
        product_id: the product under which a new mandate is created; default: the base item's.
        subscription_id: Dodo's own id of a mandate that exists already and is to be adopted.
        customer_id: Dodo's own id of the customer, if known; else one is made from the e-mail address.
        mandate_only: False: cycle 1 is paid on the mandate's own page, instead of by a charge right after it.
        first_price: what the page asks for, minor units; may be left out, for it is what cycle 1 costs.
        use_subscriptions_endpoint: create the mandate by the older way instead of a checkout.
    """

    provider: Literal["dodo"] = "dodo"
    country: Country
    city: Text | None = None
    state: Text | None = None
    street: Text | None = None
    zipcode: Text | None = None
    product_id: ProviderId | None = None
    subscription_id: ProviderId | None = None
    customer_id: ProviderId | None = None
    mandate_only: Flag = True
    first_price: Amount | None = None
    return_url: Url | None = None
    adaptive_currency_fees_inclusive: Flag | None = None
    use_subscriptions_endpoint: Flag = False

    @property
    def adopted_plan(self) -> str | None:
        """The provider's id of a calendar that it runs already."""
        return None

    @property
    def adopted(self) -> str | None:
        """The provider's id of what exists already."""
        return self.subscription_id


class XenditOptions(Value):
    """Xendit.

    Attributes:
        country: where the payments are made; needed for a link in a currency that several countries use.
        channel_code: the one channel that a link is for (`OVO`, `DANA`, ...); default: the customer chooses.
        plan_id, customer_id: Xendit's own ids, to adopt what exists there.
        legacy_plan: make and read the plan by the contract of 2022 (`recurring_action`, return urls, no yearly
            interval) instead of the current one, as accounts do whose webhooks are set up on the older page.
        notification_channels: Xendit itself tells the customer about charges on these; then our own notices of
            `created`, `succeeded` and `failed` are to be left out, for one debt has one sender.
        payment_link_for_failed_attempt: Xendit sends a link with which the customer pays a failed cycle.
        item_category: items are sent with the plan, in this category; without it the plan has an amount only.
    """

    provider: Literal["xendit"] = "xendit"
    country: Country | None = None
    locale: Text | None = None
    item_category: Text | None = None
    channel_code: Annotated[StrictStr, Field(pattern=r"^[A-Z0-9_]{2,64}$"), STORED] | None = None
    success_return_url: Url | None = None
    failure_return_url: Url | None = None
    plan_id: ProviderId | None = None
    customer_id: ProviderId | None = None
    legacy_plan: Flag = False
    notification_channels: tuple[Literal["WHATSAPP", "EMAIL"], ...] = Field(default=(), max_length=2)
    payment_link_for_failed_attempt: Flag = False

    @property
    def adopted_plan(self) -> str | None:
        """The provider's id of a calendar that it runs already."""
        return self.plan_id

    @property
    def adopted(self) -> str | None:
        """The provider's id of what exists already."""
        return self.plan_id


class OmiseOptions(Value):
    """Omise.

    Attributes:
        customer_id: Omise's own id of who is charged; else a customer is made from `card_token`.
        card_token: what Omise's script made of a card on the product's own page; good for one use.
        schedule_id: adopts a schedule that runs there.
    """

    provider: Literal["omise"] = "omise"
    customer_id: ProviderId | None = None
    card_token: ProviderId | None = None
    schedule_id: ProviderId | None = None
    return_url: Url | None = None

    @property
    def adopted_plan(self) -> str | None:
        """The provider's id of a calendar that it runs already."""
        return self.schedule_id

    @property
    def adopted(self) -> str | None:
        """The provider's id of what exists already: the customer whose cards are charged, or a schedule.

        With a token there is something to do first: the customer is chargeable once it is attached.
        """
        return None if self.card_token is not None else self.customer_id or self.schedule_id


class GooglePlayOptions(Value):
    """Google Play. `purchase_token` is what the app received; Play bills and retries by itself."""

    provider: Literal["google_play"] = "google_play"
    package_name: ProviderId | None = None
    purchase_token: ProviderId | None = None

    @property
    def adopted_plan(self) -> str | None:
        """The provider's id of a calendar that it runs already."""
        return self.purchase_token

    @property
    def adopted(self) -> str | None:
        """The provider's id of what exists already."""
        return self.purchase_token


ProviderOptions = Annotated[
    DodoOptions | XenditOptions | OmiseOptions | GooglePlayOptions, Field(discriminator="provider")
]
"""The options' own `provider` is filled in from the subscription's; nobody has to write it twice."""
