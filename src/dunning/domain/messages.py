"""What the core wants said: events to the product backend, notices to the customer. SPEC 10, 11."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from dunning.domain.base import Known, Value
from dunning.domain.terms import Channel, Occasion


class EventType(StrEnum):
    """Names of events to the product backend. SPEC 10."""

    PLAN_ACTIVATED = "recurring.plan.activated"
    PLAN_INACTIVATED = "recurring.plan.inactivated"
    CYCLE_CREATED = "recurring.cycle.created"
    CYCLE_SUCCEEDED = "recurring.cycle.succeeded"
    CYCLE_RETRYING = "recurring.cycle.retrying"
    CYCLE_FAILED = "recurring.cycle.failed"
    PAYMENT_SUCCEEDED = "payment.succeeded"
    PAYMENT_FAILED = "payment.failed"
    ACTIVE = "subscription.active"
    FAILED = "subscription.failed"
    ON_HOLD = "subscription.on_hold"
    PAUSED = "subscription.paused"
    RESUMED = "subscription.resumed"
    CANCELED = "subscription.canceled"
    RESTORED = "subscription.restored"
    DEFERRED = "subscription.deferred"
    REVOKED = "subscription.revoked"
    REFUNDED = "subscription.refunded"
    ITEMS_CHANGED = "subscription.items_changed"
    PRICE_CHANGE_PENDING = "subscription.price_change_pending"
    PRICE_CHANGE_CONFIRMED = "subscription.price_change_confirmed"
    PRICE_CHANGE_APPLIED = "subscription.price_change_applied"
    PAYMENT_METHOD_REQUIRED = "subscription.payment_method_required"
    ENDED = "subscription.ended"
    ATTENTION = "subscription.attention"


class EventDraft(Known):
    """An event before the ledger gives it an id and a sequence number. `at` is business time.

    Attributes:
        key: the step that it follows from, and its place there: the same when a workflow task that was lost is done
            again together with more facts. None: the record's revision and its place in the record.
    """

    type: EventType
    at: datetime
    data: dict[str, Any] = field(default_factory=dict)
    key: str | None = None


class NoticeStatus(StrEnum):
    """What became of a planned notice."""

    PLANNED = "planned"
    SENDING = "sending"
    SENT = "sent"
    DROPPED = "dropped"
    FAILED = "failed"


class PlannedNotice(Value):
    """One message about one fact, on all its channels, at one instant.

    Attributes:
        key: unique per subscription, generation and fact: `{generation}/{obligation}/{fact}/{occasion}`.
        at: business time, quiet hours already kept.
        because: why it is sent, and why then.
        facts: what the text needs, no contacts and no raw codes: `amount`, `currency`, `reason_key`,
            `next_attempt_at` (ISO), `open_until` (ISO), `attempt`, `description`, `due_at`, `link`,
            `next_due_at` (ISO), `access_until` (ISO), `expires` (`YYYY-MM`), `old_amount`,
            `stage` (`again`, `last`: how often a failure was told; `consent`: the customer has to agree),
            `items` (JSON: `[[name, old amount, new amount], ...]`).
        is_precondition: a charge waits until it was sent; quiet hours and caps do not hold it back.
        told_at: when a channel had taken it (business time).
        again_at: a channel took it and did not deliver it: it is handed over once more then (business time).
    """

    key: str
    occasion: Occasion
    channels: tuple[Channel, ...]
    at: datetime
    obligation: str | None = None
    attempt: int | None = None
    because: str
    facts: dict[str, str | int] = Field(default_factory=dict)
    status: NoticeStatus = NoticeStatus.PLANNED
    outcome: str | None = None
    is_precondition: bool = False
    told_at: datetime | None = None
    again_at: datetime | None = None
