"""Names of activities and their payloads, where no library module owns them. Names are part of every history."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from dunning.domain.base import Value
from dunning.domain.commands import Command
from dunning.domain.facts import (
    MandateAuthorized,
    MandateCreated,
    MandateEnded,
    MandateFailed,
    MandateNotCreated,
    MandateRead,
)
from dunning.domain.terms import Terms

CHARGE = "charge"
LOOK_UP = "look_up"
SEND_NOTICE = "send_notice"
CREATE_MANDATE = "create_mandate"
READ_MANDATE = "read_mandate"
END_MANDATE = "end_mandate"
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
    """Create an authorisation and its link. `tries` is how often it failed before."""

    account: str
    subscription: str
    generation: int
    terms: Terms
    tries: int = 0
    business_at: datetime


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
