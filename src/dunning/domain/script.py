"""The `script:` block of a subscription file: what a scripted customer does, with instants. SPEC 17.

    script:
      outcomes: [INSUFFICIENT_FUNDS, SUCCEEDED]
      mandate: complete | never | fail        (default complete)
      mandate_after: 10m                     (default 1m)
      do:
        - {at: "2026-03-10T09:00:00Z", action: update_payment_method, with: {token: pm_2}}
        - {at: "+5d", action: pay_by_link}

`at` is an instant with an offset, or `+` a duration counted from creation. `action` is a command's name, or
`pay_by_link`; `with` holds the command's own fields. Of a purchase at Google Play, where the customer acts in the app:
`buy_add_on` (with `product_id`, `unit_amount`, `quantity`, `trial_days`, `grace_days`, `hold_days`) and
`repair_payment`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field, TypeAdapter

from dunning.domain.base import Value
from dunning.domain.commands import Command
from dunning.domain.outcomes import ScriptedOutcome, parse_duration, parse_outcomes

PAY_BY_LINK = "pay_by_link"
BUY_ADD_ON = "buy_add_on"
REPAIR_PAYMENT = "repair_payment"
"""What the customer does in the provider's own app, where that runs the calendar and states access (Play)."""
DEEDS = frozenset({PAY_BY_LINK, BUY_ADD_ON, REPAIR_PAYMENT})
"""Actions that are no commands."""

_COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


class ScriptedAction(Value):
    """One thing that happens at an instant."""

    at: str
    action: str
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")

    def instant(self, created_at: datetime) -> datetime:
        """When, in business time."""
        if self.at.startswith("+"):
            return created_at + parse_duration(self.at[1:])
        return datetime.fromisoformat(self.at)

    def command(self, number: int, at: datetime) -> Command:
        """The command itself; its id is the script's own, its `requested_at` the instant."""
        data = {
            "name": self.action,
            "command_id": f"script-{number}",
            "requested_at": at.isoformat(),
            **self.with_,
        }
        return _COMMAND.validate_python(data)


class Script(Value):
    """A scripted customer."""

    outcomes: tuple[str, ...] = ()
    mandate: Literal["complete", "never", "fail"] = "complete"
    mandate_after: str = "1m"
    do: tuple[ScriptedAction, ...] = ()

    @property
    def parsed(self) -> tuple[ScriptedOutcome, ...]:
        """The outcomes; `OutcomeSyntaxError` names the word that cannot be read."""
        return parse_outcomes(self.outcomes)

    @property
    def mandate_delay(self) -> timedelta:
        """How long after the link the customer completes it."""
        return parse_duration(self.mandate_after)
