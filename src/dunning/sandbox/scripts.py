"""Which outcome the next charge of a scripted customer has."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from dunning.domain.outcomes import ScriptedOutage, ScriptedOutcome, ScriptedSuccess, ScriptedTimeout

MandateStory = Literal["complete", "never", "fail"]


@dataclass
class Script:
    """One customer's future, consumed by distinct charges: a key that comes again meets the outcome it met
    before.

    Attributes:
        remaining: outcomes not met yet; after them every charge succeeds.
        mandate: what becomes of a link of this customer without a person; None waits for one.
        mandate_delay: machine seconds until it does.
        dues: outcomes of charges that the provider makes by itself after a method update.
    """

    remaining: deque[ScriptedOutcome] = field(default_factory=deque)
    mandate: MandateStory | None = None
    mandate_delay: float = 0.0
    dues: deque[ScriptedOutcome] = field(default_factory=deque)
    outage_since: datetime | None = None
    met: dict[str, ScriptedOutcome] = field(default_factory=dict)

    def replace(self, outcomes: Iterable[ScriptedOutcome]) -> None:
        """Forget what was to come, an outage under way included, and go on with these."""
        self.remaining = deque(outcomes)
        self.outage_since = None

    def refuses(self, business_at: datetime) -> bool:
        """Whether an outage refuses a charge request of this business instant; the first one refused starts
        it.
        """
        while self.remaining and isinstance(outage := self.remaining[0], ScriptedOutage):
            since = self.outage_since or business_at
            if self.outage_since is None or business_at - since < outage.lasts:
                self.outage_since = since
                return True
            self.remaining.popleft()
            self.outage_since = None
        return False

    def next_outcome(self, key: str | None) -> ScriptedOutcome:
        """The outcome of a charge that reached the provider; call `refuses` first."""
        if key is not None and key in self.met:
            known = self.met[key]
            return ScriptedSuccess() if isinstance(known, ScriptedTimeout) else known
        outcome = self.remaining.popleft() if self.remaining else ScriptedSuccess()
        if key is not None:
            self.met[key] = outcome
        return outcome

    def next_dues(self) -> ScriptedOutcome:
        """The outcome of the provider's own charge after a method update."""
        return self.dues.popleft() if self.dues else ScriptedSuccess()


class Scripts:
    """Scripts by our own subscription reference, and by the provider's id where there is no reference."""

    def __init__(self) -> None:
        self._scripts: dict[str, Script] = {}

    def of(self, name: str) -> Script:
        """The script under this name; an empty one (everything succeeds) is made when there is none."""
        return self._scripts.setdefault(name, Script())

    def clear(self) -> None:
        """Forget all of them."""
        self._scripts.clear()
