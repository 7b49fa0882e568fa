"""What each event carries in `data`: one typed model per kind of content. SPEC 10.

Amounts are integers in minor units; instants are RFC 3339, business time unless a field says otherwise. Models only
ever gain fields, so a backend ignores what it does not know. `dunning.domain.event_catalogue` says which event
has which model.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from dunning.domain.attempts import Trigger
from dunning.domain.base import Value
from dunning.domain.declines import DeclineClass

At = AwareDatetime
Amount = Annotated[int, Field(ge=0, description="minor units of ISO 4217")]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217")]
CycleNumber = Annotated[int | None, Field(description="the cycle's number; null for a charge on demand")]


class EventAccess(Value):
    """Whether the customer may use the product from this event on."""

    granted: bool
    until: At | None = Field(
        description="access ends then without another event; null: it stays as it is until one says otherwise"
    )
    reason: str


class EventData(Value):
    """What every event but `payment.*` carries."""

    access: EventAccess | None = Field(
        default=None, description="null where the event says nothing about access: what the last one said still holds"
    )


class Plain(EventData):
    """It happened, and why."""

    because: str | None = Field(default=None, description="why, in words")


class CycleCreated(EventData):
    """A cycle is due and is being collected."""

    cycle: int
    due_at: At
    amount: Amount
    currency: Currency


class CycleSucceeded(EventData):
    """A cycle is paid."""

    cycle: CycleNumber
    amount: Amount
    currency: Currency | None = None
    attempt: int | None = Field(default=None, description="the attempt that paid; null: a payment that we did not send")
    late: bool = Field(default=False, description="paid after it was given up")


class CycleRetrying(EventData):
    """An attempt failed; the next one is planned."""

    cycle: CycleNumber
    obligation: str = Field(description="the cycle's number, or `od-` and the command's id")
    next_attempt_at: At
    attempt: int = Field(description="the number that the next attempt will have")
    decline_class: DeclineClass | None
    because: str = Field(description="why the next attempt is then")


class CycleFailed(EventData):
    """A cycle is given up."""

    cycle: CycleNumber
    amount: Amount
    because: str


class PaymentMade(Value):
    """An attempt, or a payment that we did not send, succeeded. Never twice for one payment."""

    obligation: str = Field(description="what it pays: the cycle's number, or `od-` and the command's id")
    attempt: int | None = Field(default=None, description="null: a payment that we did not send")
    trigger: Trigger
    key: str | None = Field(default=None, description="the attempt's key, as the provider has it")
    amount: Amount
    currency: Currency
    payment_id: str | None = Field(description="the provider's id")
    decline_class: DeclineClass | None = None
    code: str | None = Field(default=None, description="the provider's raw code")
    late: bool = Field(default=False, description="found after the attempt was settled otherwise")


class PaymentFailed(Value):
    """An attempt failed. Every attempt says so; what follows stands in the cycle's events."""

    obligation: str
    attempt: int
    trigger: Trigger
    key: str
    amount: Amount
    currency: Currency
    payment_id: str | None
    decline_class: DeclineClass | None
    code: str | None = Field(description="the provider's raw code; never show it to a customer")
    late: bool


class Canceled(EventData):
    """No further cycle opens."""

    because: str
    until: At | None = Field(default=None, description="the end of the paid period")


class Paused(EventData):
    """Nothing is collected for a while."""

    until: At | None = Field(description="when it goes on by itself; null: until it is resumed")


class Restored(EventData):
    """A cancellation was taken back, or a person gave the access back that a late payment paid for."""

    because: str | None = None
    until: At | None = None


class Deferred(EventData):
    """The next due instant moved."""

    days: int
    next_due_at: At


class MethodRequired(EventData):
    """Nothing is tried until the customer gives another payment method."""

    obligation: str
    cycle: CycleNumber


class Attention(EventData):
    """A person should look at it."""

    what: str
    obligation: str | None = None
    key: str | None = Field(default=None, description="the attempt's key, where it is about one")
    undelivered_event: str | None = Field(default=None, description="the id of an event that was given up")
    sequence: int | None = Field(default=None, description="the `sequence` of that event: the gap that you see")


CommandId = Annotated[
    str | None, Field(description="the command that asked for it; null: it was done at the provider, or by its rules")
]


class Revoked(EventData):
    """Access ended at once: of the whole subscription, or of one item."""

    because: str
    item: str | None = Field(default=None, description="the product that is gone; null: the whole subscription")
    command_id: CommandId = None


class Refunded(EventData):
    """Money went back. Once for each part that was given back."""

    refund_id: str | None = Field(description="the provider's id of the refund")
    payment_id: str | None = Field(description="the provider's id of the payment, or of the order")
    obligation: str | None = Field(description="what it had paid: the cycle's number, or `od-` and the command's id")
    amount: Amount | None = Field(description="minor units; null: the provider did not tell")
    currency: Currency | None
    parts: dict[str, int] = Field(default_factory=dict, description="by product, minor units; empty: not divided")
    by: Literal["refund", "revoke", "provider"] = Field(
        description="the command that asked for it; `provider`: it was given back there"
    )
    command_id: CommandId = None


class EventItem(Value):
    """One product of the subscription, as it is now."""

    product_id: str
    until: At | None = Field(description="access to it ends then; null: it gives none now, or ends with the whole")
    renews: bool


class ItemsChanged(EventData):
    """Other products than before. `items` is all that there is now."""

    items: list[EventItem]
    added: list[str] = Field(description="products that are new, from now on")
    removed: list[str] = Field(description="products that give nothing any more")
    ending: list[str] = Field(description="products that end with their period, see `items`")
    because: str
    command_id: CommandId = None


class PricedItem(Value):
    """One product whose price changes. Amounts for one period, minor units."""

    product_id: str
    old_amount: Amount | None = Field(description="null: the provider did not tell")
    new_amount: Amount
    currency: Currency
    kind: Literal["increase", "opt_out_increase", "decrease"] = Field(
        description="only an `increase` needs the customer's consent"
    )


class PriceChange(EventData):
    """Other prices, and where their change stands. One event lists all products that change at the same instant."""

    state: Literal["outstanding", "confirmed", "applied", "canceled"] = Field(
        description="`outstanding`: waits for the customer's consent; `canceled`: the old price stays after all"
    )
    charge_at: At | None = Field(description="when the new price is charged for the first time; null: not known")
    items: list[PricedItem]


class TestData(Value):
    """Nothing: the event says that the endpoint works."""

    message: str
