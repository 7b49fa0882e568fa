"""The retry policy: which days, from what anchor, how often. SPEC 4, 6."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from dunning.domain.base import Value
from dunning.domain.calendar import Interval
from dunning.domain.fields import BrokenRule, Flag, Whole, broken

DEFAULT_LADDER = (3, 10, 17)
"""Days after the first attempt. SPEC 6."""

USUAL_ATTEMPTS = 4
"""More than this needs `allow_more_than_4`, and a warning. SPEC 4."""

MAX_RUNGS = 30

_Day = Annotated[Whole, Field(ge=1, le=365)]


class LadderAnchor(StrEnum):
    """Whose time of day the ladder keeps."""

    AUTHORIZATION = "authorization"
    LAST_SUCCESS = "last_success"


class RetryPolicy(Value):
    """A ladder of cumulative days, or a uniform interval; never both. Without either: days 3, 10, 17.

    Attributes:
        ladder_days: days after the first attempt, strictly increasing; an empty list retries nothing.
        interval, interval_count, total: `total` retries, `interval_count` days apart.
        anchor: whose time of day the retries keep: the authorisation's, or the last success's.
        max_attempts: the first attempt, retries and the provider's own retries; default: rungs + 1.
        spread_seconds: every instant of this subscription moves later by `hash(id) mod` this.
    """

    ladder_days: tuple[_Day, ...] | None = Field(default=None, max_length=MAX_RUNGS)
    interval: Interval | None = None
    interval_count: _Day | None = None
    total: Annotated[Whole, Field(ge=1, le=MAX_RUNGS)] | None = None
    anchor: LadderAnchor = LadderAnchor.AUTHORIZATION
    max_attempts: Annotated[Whole, Field(ge=1, le=MAX_RUNGS + 1)] | None = None
    allow_more_than_4: Flag = False
    spread_seconds: Annotated[Whole, Field(ge=0, le=86_400)] = 0

    @property
    def days(self) -> tuple[int, ...]:
        """Days of the rungs after the first attempt, strictly increasing."""
        if self.ladder_days is not None:
            return self.ladder_days
        if self.interval_count is not None and self.total is not None:
            return tuple(self.interval_count * rung for rung in range(1, self.total + 1))
        return DEFAULT_LADDER

    @property
    def attempts_allowed(self) -> int:
        """How many attempts an obligation may have: due, ladder and the provider's own."""
        return len(self.days) + 1 if self.max_attempts is None else self.max_attempts

    @model_validator(mode="after")
    def _keeps_its_rules(self) -> Self:
        broken([*self._of_forms(), *self._of_ladder(), *self._of_attempts()])
        return self

    def _of_forms(self) -> Iterator[BrokenRule]:
        uniform = {"interval": self.interval, "interval_count": self.interval_count, "total": self.total}
        given = [name for name, value in uniform.items() if value is not None]
        if given and self.ladder_days is not None:
            rule = "must not stand beside ladder_days: give one of the two forms"
            yield BrokenRule(given[0], rule, uniform[given[0]], ("ladder_days",))
        elif given:
            for name in uniform:
                if name not in given:
                    rule = "must be given with interval, interval_count and total"
                    yield BrokenRule(name, rule, None, ("ladder_days", *uniform))
        if self.interval not in (None, Interval.DAY):
            yield BrokenRule("interval", "must be DAY: retries are counted in days", self.interval.value)

    def _of_ladder(self) -> Iterator[BrokenRule]:
        for place, (before, day) in enumerate(pairwise(self.ladder_days or ()), start=1):
            if day <= before:
                yield BrokenRule(f"ladder_days.{place}", f"must be later than day {before} before it", day)

    def _of_attempts(self) -> Iterator[BrokenRule]:
        if self.attempts_allowed > USUAL_ATTEMPTS and not self.allow_more_than_4:
            rule = f"above {USUAL_ATTEMPTS} attempts need allow_more_than_4: true"
            reads = ("ladder_days", "interval", "interval_count", "total", "allow_more_than_4")
            yield BrokenRule("max_attempts", rule, self.attempts_allowed, reads)
