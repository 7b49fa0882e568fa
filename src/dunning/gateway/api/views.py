"""What the API answers, as models: amounts in minor units, instants in UTC. SPEC 4, 8, 10."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dunning.domain.attempts import OutcomeKind, Trigger
from dunning.domain.decide import Do
from dunning.domain.declines import DeclineClass
from dunning.domain.fields import Instant
from dunning.domain.play_items import BillingFlow
from dunning.domain.tables import CycleStatus, SubscriptionStatus
from dunning.domain.terms import Channel, Collection, Occasion, Provider, Role


class View(BaseModel):
    """The base of every answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CreatedView(View):
    """What came of a creation."""

    id: str
    merchant_account: str
    status: Literal["started", "exists"] = Field(description="`exists`: it was there with the same terms")
    generation: int = Field(description="which life of this id; a restart raises it")
    workflow_id: str = Field(description="for operators: the run in the Temporal UI")
    warnings: list[str] = Field(description="what is allowed and yet worth a second look")


class CustomerView(View):
    """Who pays. Contacts are never given back."""

    id: str
    locale: str
    time_zone: str


class ItemView(View):
    """One product. `grace_days`, `hold_days`: its own recovery period, as the terms have it (Google Play alone)."""

    product_id: str
    role: Role
    quantity: int
    unit_amount: int
    grace_days: int | None = None
    hold_days: int | None = None


class ItemAccessView(View):
    """What one item gives now."""

    product_id: str
    granted: bool
    until: Instant | None
    renews: bool


class AccessView(View):
    """Whether the customer may use the product now."""

    granted: bool
    until: Instant | None = Field(description="as far as is known")
    reason: str
    items: list[ItemAccessView] = Field(
        default=[], description="item by item, where the provider states it so; else empty: all items share it"
    )


class NextView(View):
    """What happens next by itself."""

    do: Do
    at: Instant
    summary: str
    reason: str
    obligation: str | None


class MethodView(View):
    """A payment method and its own latest verdict."""

    token: str
    is_current: bool
    expires: str | None = Field(description="YYYY-MM")
    verdict: DeclineClass | None
    code: str | None


class OutcomeView(View):
    """What an attempt came to."""

    kind: OutcomeKind
    at: Instant
    raw_code: str | None = Field(description="the provider's own; never show it to a customer")
    decline_class: DeclineClass | None
    rule: str | None = Field(description="which row of which table classed it")
    payment_id: str | None
    because: str


class TryView(View):
    """One attempt of something owed."""

    number: int
    trigger: Trigger
    rung: int | None
    retry_of: int | None
    method: str
    planned_at: Instant
    started_at: Instant | None
    because: str
    outcome: OutcomeView | None


class PlannedTryView(View):
    """The next attempt of something owed."""

    number: int
    trigger: Trigger
    rung: int | None
    method: str
    planned_at: Instant
    at: Instant = Field(description="never sooner than this")
    because: str


class DroppedRungView(View):
    """A planned retry that will not run."""

    rung: int
    days: int
    at: Instant
    because: str


class ObligationView(View):
    """A cycle, or a charge on demand."""

    id: str
    number: int | None = Field(description="of a cycle; null for a charge on demand")
    status: CycleStatus
    amount: int
    currency: str
    due_at: Instant
    window_end: Instant | None = Field(description="when it is given up at the latest")
    grace_ends_at: Instant | None
    attempts: list[TryView]
    next: PlannedTryView | None
    dropped_rungs: list[DroppedRungView]


class AttentionView(View):
    """Something that a person should look at."""

    at: Instant
    what: str


class SubscriptionSummary(View):
    """A subscription in a list, as the ledger has it."""

    id: str
    merchant_account: str
    generation: int
    status: SubscriptionStatus
    is_open: bool = Field(description="something may still happen by itself")
    customer_id: str
    provider: Provider
    amount: int
    currency: str
    description: str
    past_due_since: Instant | None
    attention: bool
    reference: str | None = Field(description="the provider's own id")
    created_at: Instant


class SubscriptionView(View):
    """A subscription whole."""

    id: str
    merchant_account: str
    generation: int
    status: SubscriptionStatus
    customer: CustomerView
    provider: Provider
    collection: Collection
    reference: str | None = Field(description="the provider's own id")
    description: str
    items: list[ItemView]
    amount: int
    currency: str
    metadata: dict[str, str | int | bool]
    access: AccessView
    mandate_link: str | None = Field(description="where the customer authorises charging; null when there is none")
    payment_methods: list[MethodView]
    next: NextView | None = Field(description="null: only a message or a command can change anything")
    obligations: list[ObligationView] = Field(description="what is owed, and what was last")
    paid_until: Instant | None
    past_due_since: Instant | None
    attention: list[AttentionView]
    created_at: Instant
    business_now: Instant = Field(description="the instant that this is true for")
    source: str = Field(description="who said so: its run, or the ledger")


class OccurrenceView(View):
    """A cycle that is to open."""

    number: int
    due_at: Instant
    amount: int
    currency: str
    is_skipped: bool
    because: str


class OccurrencesView(View):
    """The next cycles, as the calendar stands now."""

    items: list[OccurrenceView]


class AttemptView(View):
    """One attempt's row. `planned_at` and `business_at` are business time, the others the machine's clock."""

    key: str
    generation: int
    obligation: str
    number: int
    trigger: Trigger
    retry_of: int | None
    amount: int
    currency: str
    method: str
    planned_at: Instant
    business_at: Instant
    status: Literal["started", "sent", "pending", "unknown", "settled"]
    sent_at: Instant | None
    settled_at: Instant | None
    outcome: OutcomeView | None
    payment_id: str | None
    latency_ms: int | None


class NoticeView(View):
    """One notice on one channel."""

    key: str
    occasion: Occasion
    channel: Channel
    planned_at: Instant
    status: str = Field(
        description="planned, sending, sent, delivered, read, dropped, failed, unclear or skipped; it only rises"
    )
    because: str
    outcome: str | None
    provider_id: str | None = Field(description="the channel's own id of the message, or the mail's Message-ID")
    tries: int
    wait_until: Instant | None = Field(description="business time of the next step on this channel")
    sent_at: Instant | None
    delivered_at: Instant | None = Field(description="by the channel's clock, as it reported")
    read_at: Instant | None
    failed_at: Instant | None = Field(description="it was taken and came back")


class EventView(View):
    """An event: the envelope that is delivered, and what became of the delivery."""

    id: str
    type: str = Field(description="one of the names in the event guide, as `payment.succeeded`")
    created_at: Instant
    subscription_id: str
    merchant_account: str
    sequence: int
    data: dict[str, Any]
    delivered_at: Instant | None
    undelivered_at: Instant | None = Field(description="given up after three days")
    tries: int
    last_error: str | None = Field(description="why the latest delivery did not count")


class UndeliveredView(View):
    """An event that your backend did not take for three days."""

    id: str
    type: str
    created_at: Instant
    recorded_at: Instant = Field(description="when it was written, by the machine's clock")
    subscription_id: str
    sequence: int
    undelivered_at: Instant
    tries: int
    last_error: str | None


class UndeliveredPage(View):
    """A page of events that were given up, oldest first."""

    items: list[UndeliveredView]
    next_cursor: str | None = Field(description="null on the last page")


class EventTypeView(View):
    """One kind of event."""

    type: str
    when: str
    # `schema` is a name of pydantic's own
    json_schema: dict[str, Any] = Field(description="JSON Schema (2020-12) of the whole event")
    example: dict[str, Any]


class EventTypesView(View):
    """Every kind of event that your endpoint may receive."""

    items: list[EventTypeView]


class RedeliveryView(View):
    """How many events are delivered again, each after the one before of its subscription."""

    events: int


class TestDeliveryView(View):
    """What your endpoint answered to a signed test event."""

    taken: bool
    status: int | None = Field(description="null: no answer came")
    milliseconds: int
    because: str = Field(description="why the answer does not count")
    event_id: str


class PortalLinkView(View):
    """The customer's own page at the provider."""

    url: str = Field(description="for the customer alone; short-lived, so make one for each visit")


class CommandView(View):
    """A command and its final result; null while it waits."""

    command_id: str
    name: str
    recorded_at: Instant
    result: ResultView | None


class ResultView(View):
    """What came of a command. `accepted`: it waits for a charge on its way; read it again later."""

    command_id: str
    status: Literal["done", "refused", "accepted"]
    reason: str
    detail: dict[str, str]
    billing_flow: BillingFlow | None = Field(
        default=None, description="what your app passes on, where only the customer can do it; else null"
    )


class SubscriptionPage(View):
    """A page of subscriptions, by id."""

    items: list[SubscriptionSummary]
    next_cursor: str | None = Field(description="null on the last page")


class AttemptPage(View):
    """A page of attempts, oldest first."""

    items: list[AttemptView]
    next_cursor: str | None = Field(description="null on the last page")


class NoticePage(View):
    """A page of notices, by planned instant."""

    items: list[NoticeView]
    next_cursor: str | None = Field(description="null on the last page")


class EventPage(View):
    """A page of events, by sequence."""

    items: list[EventView]
    next_cursor: str | None = Field(description="null on the last page")
