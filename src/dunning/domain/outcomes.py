"""Scripted outcomes: the words in which a customer's future is written down.

The sandbox consumes one word for each distinct charge that reaches the provider and `dunning preview
--outcomes` one for each attempt, in order, across all cycles; when the words run out, every further charge
succeeds. SPEC 17.

    SUCCEEDED               paid
    INSUFFICIENT_FUNDS      a raw decline code, whichever alphabet the provider uses
    CODE/wait=10d           a decline that advises to wait
    OUTAGE/36h              the provider refuses requests for so long; nothing is charged
    TIMEOUT_COMMITTED       paid, but the answer never arrives
    PENDING/2h/SUCCEEDED    undecided for so long, then paid (or /CODE: declined)

Durations are a whole number with s, m, h or d. All of them are business time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from dunning.domain.base import Value

_DURATION = re.compile(r"^(\d{1,6})([smhd])$")
_CODE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_KEYWORDS = frozenset({"SUCCEEDED", "OUTAGE", "TIMEOUT_COMMITTED", "PENDING"})


class OutcomeSyntaxError(ValueError):
    """A scripted outcome that cannot be read; the message says which word and why."""

    def __init__(self, text: str, because: str) -> None:
        super().__init__(f"outcome {text!r}: {because}")
        self.text = text
        self.because = because


class ScriptedSuccess(Value):
    """The charge is paid."""

    kind: Literal["succeeded"] = "succeeded"

    def __str__(self) -> str:
        return "SUCCEEDED"


class ScriptedDecline(Value):
    """The charge is declined with `code`; `wait` is how long the answer advises to wait, from the decline."""

    kind: Literal["declined"] = "declined"
    code: str
    wait: timedelta | None = None

    def __str__(self) -> str:
        return self.code if self.wait is None else f"{self.code}/wait={format_duration(self.wait)}"


class ScriptedOutage(Value):
    """Requests are refused until `lasts` has passed since the first refused one; nothing is charged."""

    kind: Literal["outage"] = "outage"
    lasts: timedelta

    def __str__(self) -> str:
        return f"OUTAGE/{format_duration(self.lasts)}"


class ScriptedTimeout(Value):
    """The charge is paid and the caller never hears of it in the answer."""

    kind: Literal["timeout_committed"] = "timeout_committed"

    def __str__(self) -> str:
        return "TIMEOUT_COMMITTED"


class ScriptedPending(Value):
    """The charge stays undecided for `lasts`, then becomes `then`."""

    kind: Literal["pending"] = "pending"
    lasts: timedelta
    then: Annotated[ScriptedSuccess | ScriptedDecline, Field(discriminator="kind")]

    def __str__(self) -> str:
        return f"PENDING/{format_duration(self.lasts)}/{self.then}"


_Outcome = ScriptedSuccess | ScriptedDecline | ScriptedOutage | ScriptedTimeout | ScriptedPending
ScriptedOutcome = Annotated[_Outcome, Field(discriminator="kind")]


def parse_outcome(text: str) -> ScriptedOutcome:
    """Read one scripted outcome.

    Raises:
        OutcomeSyntaxError: the word is not of the vocabulary above.
    """
    word = text.strip()
    head, *rest = word.split("/")
    if not head:
        raise OutcomeSyntaxError(text, "it is empty")
    match head:
        case "SUCCEEDED" | "TIMEOUT_COMMITTED" if rest:
            raise OutcomeSyntaxError(text, f"{head} takes nothing after it")
        case "SUCCEEDED":
            return ScriptedSuccess()
        case "TIMEOUT_COMMITTED":
            return ScriptedTimeout()
        case "OUTAGE":
            if len(rest) != 1:
                raise OutcomeSyntaxError(text, "write how long it lasts, as OUTAGE/36h")
            return ScriptedOutage(lasts=_duration(rest[0], text))
        case "PENDING":
            return _pending(rest, text)
        case _:
            return _decline(head, rest, text)


def parse_outcomes(words: str | Iterable[str]) -> tuple[ScriptedOutcome, ...]:
    """Read a script: a list of words, or one string with commas between them. Blank entries are skipped.

    Raises:
        OutcomeSyntaxError: at the first word that cannot be read.
    """
    entries = words.split(",") if isinstance(words, str) else words
    return tuple(parse_outcome(entry) for entry in entries if entry.strip())


def parse_duration(text: str) -> timedelta:
    """Read `36h`, `10d`, `90m` or `45s`.

    Raises:
        OutcomeSyntaxError: it is not a whole number with one of these units.
    """
    return _duration(text.strip(), text)


def format_duration(value: timedelta) -> str:
    """The shortest exact way to write a duration that `parse_duration` reads back."""
    seconds = int(value.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _pending(rest: list[str], text: str) -> ScriptedPending:
    if len(rest) < 2:
        raise OutcomeSyntaxError(text, "write how long and what follows, as PENDING/2h/SUCCEEDED")
    lasts = _duration(rest[0], text)
    then = parse_outcome("/".join(rest[1:]))
    if not isinstance(then, ScriptedSuccess | ScriptedDecline):
        raise OutcomeSyntaxError(text, "PENDING ends in SUCCEEDED or in a decline code")
    return ScriptedPending(lasts=lasts, then=then)


def _decline(code: str, rest: list[str], text: str) -> ScriptedDecline:
    if not _CODE.match(code):
        raise OutcomeSyntaxError(text, "a decline code is letters, digits and _ . : -")
    if code.upper() in _KEYWORDS:
        raise OutcomeSyntaxError(text, f"write {code.upper()} in capitals")
    if not rest:
        return ScriptedDecline(code=code)
    if len(rest) > 1 or not rest[0].startswith("wait="):
        raise OutcomeSyntaxError(text, f"only an advised wait may follow a code, as {code}/wait=10d")
    return ScriptedDecline(code=code, wait=_duration(rest[0].removeprefix("wait="), text))


def _duration(part: str, text: str) -> timedelta:
    found = _DURATION.match(part)
    if found is None:
        raise OutcomeSyntaxError(text, f"{part!r} is not a duration; write 36h, 10d, 90m or 45s")
    length = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if not length:
        raise OutcomeSyntaxError(text, "a duration is longer than zero")
    return length
