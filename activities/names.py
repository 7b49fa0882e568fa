"""Names of activities and their payloads, where no library module owns them. Names are part of every history."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from dunning.domain.base import Value
from dunning.domain.calendar import Calendar
from dunning.domain.commands import Command
from dunning.domain.facts import (
    MandateAuthorized,
    MandateCreated,
    MandateEnded,
    MandateFailed,
    MandateNotCreated,
    MandateRead,
    PlanChanged,
    PlanEnded,
    PlanNotMade,
    PlanNotRead,
    PlanRead,
)
from dunning.domain.first_price import FirstPrice
from dunning.domain.plans import PlanChange
from dunning.domain.terms import Terms

CHARGE = "charge"
LOOK_UP = "look_up"
SEND_NOTICE = "send_notice"
CREATE_MANDATE = "create_mandate"
READ_MANDATE = "read_mandate"
END_MANDATE = "end_mandate"
REFUND = "refund"
LOOK_UP_REFUND = "look_up_refund"
CREATE_PLAN = "create_plan"
READ_PLAN = "read_plan"
END_PLAN = "end_plan"
CHANGE_PLAN = "change_plan"
LOAD = "load_subscription"
RECORD = "record"
BEGIN_COMMAND = "begin_command"


class LoadInput(Value):
    """Which subscription to load; `generation` None means the latest."""

    account: str
    subscription: str
    generation: int | None = None


class Loaded(Value):
    """What the ledger knows: the terms, and the latest snapshot of this generation if there is one."""

    terms: Terms
    generation: int
    created_at: datetime
    reference: str | None = None
    snapshot: dict[str, Any] | None = None


class BeginCommandInput(Value):
    """A command to write down before it is executed."""

    account: str
    subscription: str
    command: Command


class MandateInput(Value):
    """Create an authorisation and its link. `tries` is how often it failed before; `first`: the price on its page."""

    account: str
    subscription: str
    generation: int
    terms: Terms
    tries: int = 0
    business_at: datetime
    first: FirstPrice | None = None


class MandateResult(Value):
    """What came of it, as the fact to apply."""

    fact: MandateCreated | MandateNotCreated | MandateAuthorized = Field(discriminator="fact")


class ReadMandateInput(Value):
    """Ask where an authorisation stands."""

    account: str
    reference: str
    business_at: datetime


class MandateStanding(Value):
    """Where it stands, as the fact to apply."""

    fact: MandateRead | MandateAuthorized | MandateFailed | MandateEnded = Field(discriminator="fact")


class EndMandateInput(Value):
    """Give an authorisation back."""

    account: str
    reference: str
    reason: str


class CreatePlanInput(Value):
    """Create the provider's plan, or find the one that an unanswered request made.

    Attributes:
        reference: our name of the plan there (`plan_reference`).
        since: when it was asked for the first time, by the workflow's clock: how far back the look-up goes.
        tries: how often it failed before.
        was_unclear: a request was sent before and never answered.
        find_only: nothing is made any more; what was made is found, so that it can be ended.
    """

    account: str
    subscription: str
    generation: int
    reference: str
    customer_reference: str | None = None
    method_tokens: tuple[str, ...] = ()
    terms: Terms
    calendar: Calendar | None = None
    first_due_at: datetime | None = None
    cycles_left: int | None = None
    since: datetime
    tries: int = 0
    was_unclear: bool = False
    find_only: bool = False
    business_at: datetime


class PlanMade(Value):
    """What came of creating a plan, as the fact to apply."""

    fact: PlanRead | PlanNotMade = Field(discriminator="fact")


class ReadPlanInput(Value):
    """Read the provider's plan. `verify`: also end what carries the same reference and is another plan."""

    account: str
    subscription: str
    plan_id: str
    verify: CreatePlanInput | None = None
    business_at: datetime


class PlanFound(Value):
    """Where it stands, as the fact to apply."""

    fact: PlanRead | PlanNotRead = Field(discriminator="fact")


class EndPlanInput(Value):
    """End the provider's plan for good and read it back."""

    account: str
    subscription: str
    plan_id: str
    reason: str
    tries: int = 0
    business_at: datetime


class PlanOver(Value):
    """What came of it, as the fact to apply."""

    fact: PlanEnded


class ChangePlanInput(Value):
    """Make one change to the provider's plan."""

    account: str
    subscription: str
    plan_id: str
    change: PlanChange
    tries: int = 0
    business_at: datetime


class PlanAfterChange(Value):
    """What came of it, as the fact to apply."""

    fact: PlanChanged
