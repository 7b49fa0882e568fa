"""One try to collect an obligation, and what may come of it. SPEC 2, 13."""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from dunning.domain.base import Known, Value
from dunning.domain.declines import DeclineClass


class Trigger(StrEnum):
    """Why an attempt is made. Only `ladder` and `provider` use rungs."""

    DUE = "due"
    LADDER = "ladder"
    PROVIDER = "provider"
    BACKUP = "backup"
    PAYMENT_METHOD_UPDATED = "payment_method_updated"
    CUSTOMER = "customer"
    OPERATOR = "operator"
    ON_DEMAND = "on_demand"


BASE_TRIGGERS = frozenset({Trigger.DUE, Trigger.LADDER, Trigger.ON_DEMAND})
"""Attempts that the next rung's gap is counted from. SPEC 6."""

COUNTED_TRIGGERS = frozenset({Trigger.DUE, Trigger.LADDER, Trigger.PROVIDER, Trigger.ON_DEMAND})
"""Attempts that `max_attempts` limits. SPEC 4."""


class OutcomeKind(StrEnum):
    """What an attempt came to, so far as we know."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    PENDING = "pending"
    UNKNOWN = "unknown"
    OUTAGE = "outage"
    DEFERRED = "deferred"
    ABSENT = "absent"
    METHOD_REFUSED = "method_refused"


class Outcome(Value):
    """What an attempt came to, as recorded once and never derived again.

    Attributes:
        at: business time, UTC.
        raw_code: the provider's code, for the records; never shown to a customer.
        klass, rule: the decline's class and the rule that classified it.
        retry_after_seconds: an advised wait, counted from `at` (SPEC 6, "advised waits").
        until: for `deferred`, when to ask again (business time).
        is_absent: of an unknown outcome: the provider answered, and has no such payment so far.
        because: a sentence for operators.
    """

    kind: OutcomeKind
    at: datetime
    raw_code: str | None = None
    message: str | None = None
    klass: DeclineClass | None = None
    rule: str | None = None
    soft_cap: int | None = None
    reason_key: str | None = None
    retry_after_seconds: int | None = None
    provider_payment_id: str | None = None
    until: datetime | None = None
    is_absent: bool = False
    because: str = ""


SETTLED_KINDS = frozenset({OutcomeKind.SUCCEEDED, OutcomeKind.DECLINED, OutcomeKind.ABSENT})
"""Kinds that close the attempt's row in the ledger for good."""


class Attempt(Known):
    """One try to collect an obligation.

    Attributes:
        number: 1, 2, ... within the obligation; part of the key.
        rung: the rung's index (1-based) where the trigger uses one.
        retry_of: the attempt that this one repeats after a technical decline or a proved absence.
        planned_at: business time, UTC.
        not_before: the attempt never starts before this instant.
        started_at: when it really ran (business time); the first time, if an outage delayed it the last.
        absent_since: when the provider first answered that it has no such payment.
        tries: how often it was handed to the provider or put off (outage, deferred).
        is_followed: the provider made it by its own calendar.
        looks: how often an unclear or pending outcome was looked up.
    """

    number: Annotated[int, Field(ge=1)]
    trigger: Trigger
    rung: int | None = None
    rung_days: int = 0
    retry_of: int | None = None
    method: str
    planned_at: datetime
    not_before: datetime | None = None
    because: str
    key: str
    started_at: datetime | None = None
    unclear_since: datetime | None = None
    absent_since: datetime | None = None
    tries: int = 0
    looks: int = 0
    outcome: Outcome | None = None
    is_followed: bool = False


def on_demand_obligation(command_id: str) -> str:
    """The obligation that a `charge` command creates. SPEC 13."""
    return f"od-{command_id}"


def attempt_key(account: str, subscription: str, generation: int, obligation: str, number: int) -> str:
    """The attempt's one key: derived from business facts, so any worker derives the same. SPEC 13.

    It is 40 hexadecimal digits: short enough for every provider's reference field.
    """
    parts = "\x1f".join((account, subscription, str(generation), obligation, str(number)))
    return "at_" + hashlib.sha256(parts.encode()).hexdigest()[:40]
