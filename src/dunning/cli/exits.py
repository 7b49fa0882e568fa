"""Exit codes, and which error becomes which.

0 done · 1 differences, or a command that was refused · 2 bad input · 3 not found · 4 a server cannot be reached.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from dunning.cli.output import complain
from dunning.errors import (
    ConfigurationError,
    Conflict,
    DunningError,
    InvalidInput,
    LedgerError,
    NotFound,
    ProviderError,
    StackError,
)

OK = 0
REFUSED = 1
BAD_INPUT = 2
NOT_FOUND = 3
UNREACHABLE = 4

_CODES: tuple[tuple[type[DunningError], int], ...] = (
    (InvalidInput, BAD_INPUT),
    (ConfigurationError, BAD_INPUT),
    (Conflict, REFUSED),
    (NotFound, NOT_FOUND),
    (LedgerError, UNREACHABLE),
    (ProviderError, UNREACHABLE),
    (StackError, UNREACHABLE),
)


class Ended(TyperGroup):
    """A group whose commands end with a documented code and a sentence, never with a traceback of the expected."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what we raise on purpose, and servers that are away, become exit codes."""
        try:
            return super().invoke(ctx)
        except DunningError as error:
            lines = [str(fault) for fault in error.faults] if isinstance(error, InvalidInput) else [str(error)]
            complain(*lines)
            raise typer.Exit(_code_of(error)) from None
        except Exception as error:
            away = _away(error)
            if away is None:
                raise
            complain(away)
            raise typer.Exit(UNREACHABLE) from None


def _code_of(error: DunningError) -> int:
    return next((code for kind, code in _CODES if isinstance(error, kind)), REFUSED)


def _away(error: Exception) -> str | None:
    """What to say when a server did not answer; None for anything else.

    Names of classes, so that commands which need no server need not import its client.
    """
    name, module = type(error).__name__, type(error).__module__
    if module.startswith("temporalio") and name == "RPCError":
        status = getattr(getattr(error, "status", None), "name", "")
        if status in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"):
            return f"Temporal does not answer: {error}"
        return None
    if name == "RuntimeError" and "connect" in str(error).lower():
        return f"Temporal cannot be reached: {error}"
    if module.startswith("sqlalchemy") and name in ("OperationalError", "InterfaceError", "TimeoutError"):
        return "the ledger cannot be reached: is PostgreSQL up, and is DUNNING_LEDGER_URL right?"
    if module.startswith("httpx") and name.endswith(("Error", "Timeout")):
        return f"the sandbox cannot be reached: {error}"
    return None
