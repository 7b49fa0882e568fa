"""The schedule of a subscription, as the backend gives it. SPEC 4, 5."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from dunning.domain.base import Value
from dunning.domain.calendar import Interval, On
from dunning.domain.fields import AnchorInstant, BrokenRule, Instant, Whole, broken

_Count = Annotated[Whole, Field(ge=1, le=32_000)]

_ON_FORMS = {
    "days_of_month": (Interval.MONTH, Interval.YEAR),
    "weekday_of_month": (Interval.MONTH, Interval.YEAR),
    "weekdays": (Interval.WEEK,),
}
"""Which periods each form of `on` divides."""

_SHORTEST = {Interval.DAY: 1, Interval.WEEK: 7, Interval.MONTH: 28, Interval.YEAR: 365}


class Schedule(Value):
    """When cycles are due.

    Attributes:
        anchor_at: fixes phase, time of day and (its offset) what a day is; a trial's end by default.
        on: which days of a period, instead of the anchor's own.
        end_at: inclusive.
        total_cycles: how many cycles there are; absent: no end.
        commitment_cycles: how many are owed even after the user's cancel.
    """

    anchor_at: AnchorInstant
    interval: Interval
    interval_count: Annotated[Whole, Field(ge=1, le=1_000)] = 1
    on: On | None = None
    start_at: Instant | None = None
    end_at: Instant | None = None
    total_cycles: _Count | None = None
    trial_ends_at: Instant | None = None
    commitment_cycles: _Count | None = None

    @property
    def shortest_period_days(self) -> int:
        """Days between two cycles, at least."""
        return 1 if self.on is not None else _SHORTEST[self.interval] * self.interval_count

    @model_validator(mode="before")
    @classmethod
    def _anchor_at_the_trials_end(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("anchor_at") is None and data.get("trial_ends_at") is not None:
            return {**data, "anchor_at": data["trial_ends_at"]}
        return data

    @model_validator(mode="after")
    def _keeps_its_rules(self) -> Self:
        broken([*self._of_on(), *self._of_order(), *self._of_counts()])
        return self

    def _of_on(self) -> Iterator[BrokenRule]:
        for form, intervals in _ON_FORMS.items():
            if self.on is not None and getattr(self.on, form) is not None and self.interval not in intervals:
                allowed = " or ".join(intervals)
                yield BrokenRule(f"on.{form}", f"needs interval {allowed}", self.interval.value, ("interval",))

    def _of_order(self) -> Iterator[BrokenRule]:
        if self.end_at is not None:
            for name in ("anchor_at", "start_at", "trial_ends_at"):
                other = getattr(self, name)
                if other is not None and self.end_at < other:
                    yield BrokenRule("end_at", f"must not be before {name}", self.end_at.isoformat(), (name,))
        if self.trial_ends_at is not None and self.start_at is not None and self.trial_ends_at < self.start_at:
            yield BrokenRule("trial_ends_at", "must not be before start_at", self.trial_ends_at.isoformat())

    def _of_counts(self) -> Iterator[BrokenRule]:
        if self.commitment_cycles is not None and self.commitment_cycles > (self.total_cycles or 32_000):
            yield BrokenRule("commitment_cycles", "must not exceed total_cycles", self.commitment_cycles)
