"""Everything that the library raises on purpose.

* DunningError
  x InvalidInput            the caller's input breaks rules; carries every fault, nothing has started
  x Conflict                the same id with other terms, or an expectation that no longer holds
  x NotFound                no such subscription, attempt, account
  x ConfigurationError      settings, credentials or files are absent or contradict each other
  x LedgerError             the ledger cannot be reached or cannot be used
    + LedgerSchemaError     its schema is not the one of this release
  x ProviderError           a provider did not do what was asked; the first three are in `dunning.providers.base`
    + ProviderUnavailable   it could not be asked, or said to come back
    + ProviderRefused       it understood and refused
    + WebhookRefused        a message that is not the provider's, is too old, or cannot be read
    + PlanUnclear           a plan was perhaps made or changed: no answer came (`dunning.providers.following`)
  x StackError              a service of the development stack did not start or went away

Messages name fields and rules, never secrets or contacts, because they reach logs and histories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError


class DunningError(Exception):
    """The root of all errors that are raised on purpose."""


@dataclass(frozen=True)
class Fault:
    """One broken rule: the field's path (`retry.ladder_days.2`), the rule in words, the value given."""

    field: str
    rule: str
    value: Any = None

    def __str__(self) -> str:
        return f"{self.field}: {self.rule} (got {self.value!r})"


class InvalidInput(DunningError):
    """The input breaks rules. All of them are listed, and nothing has started. SPEC 4."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        if not faults:
            raise ValueError("invalid input needs at least one fault")
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = tuple(faults)

    @classmethod
    def from_validation(cls, error: ValidationError) -> InvalidInput:
        """Take over every fault that pydantic found."""
        return cls(
            [
                Fault(".".join(str(part) for part in found["loc"]) or "(whole)", found["msg"], found["input"])
                for found in error.errors(include_url=False, include_context=False)
            ]
        )


class Conflict(DunningError):
    """The same id was used before with other terms, or what was expected no longer holds."""


class NotFound(DunningError):
    """There is no such thing, or it belongs to another merchant account."""


class ConfigurationError(DunningError):
    """Settings, credentials or files are absent or contradict each other. The message says what to change."""


class LedgerError(DunningError):
    """The ledger cannot be reached or cannot be used."""


class LedgerSchemaError(LedgerError):
    """The ledger's schema is not the one of this release; migrations bring it there."""


class ProviderError(DunningError):
    """A provider did not do what was asked, or what came in its name is not its own. SPEC 12, 18."""


class StackError(DunningError):
    """A service of the development stack did not start, or went away."""
