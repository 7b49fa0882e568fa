"""An attempt that never reached the provider costs its customer no rung, whatever it delays. SPEC 6, 13, 19.

Found by `make bench ARGS="--only chaos --seed 7"`: a rung whose day passed while an attempt was being closed as absent
was dropped, and a cycle that would have been paid on it was lost. All instants here were computed by hand.
"""

from __future__ import annotations

import pytest

from dunning.domain import facts
from dunning.domain.apply import apply
from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.beginning import new_state
from dunning.domain.decide import Do, decide
from dunning.domain.declines import DeclineClass
from dunning.domain.state import State
from dunning.domain.tables import CycleStatus
from tests.builders import at, subscription

SHORT = {"ladder_days": [2, 5, 9]}
EVEN = {"interval": "DAY", "interval_count": 3, "total": 3}


class Cycle:
    """The first cycle of a subscription that is due on 2026-03-05 at 13:10."""

    def __init__(self, **terms: object) -> None:
        given = subscription(**terms)
        created = at("2026-03-01T00:00")
        self.state: State = new_state(
            account="demo", subscription="sub-1", generation=1, terms=given.terms(), created_at=created
        ).state
        while (decision := decide(self.state, at("2026-03-05T13:10"))) is not None and decision.do is not Do.CHARGE:
            self.state = apply(self.state, facts.TimeCame(what=decision.do.value), decision.at).state

    def try_at(self, start: str, end: str, kind: OutcomeKind) -> str:
        """Charge at `start`, come to `kind` at `end`; the instant planned next, or the cycle's status."""
        self.state = apply(self.state, facts.AttemptStarted(obligation="1"), at(start)).state
        number = len(self.state.obligation("1").attempts)
        if kind is OutcomeKind.ABSENT:
            self._conclude(number, Outcome(kind=OutcomeKind.UNKNOWN, at=at(start)), start)
        klass = DeclineClass.SOFT if kind is OutcomeKind.DECLINED else None
        self._conclude(number, Outcome(kind=kind, at=at(end), klass=klass), end)
        cycle = self.state.obligation("1")
        return f"{cycle.next.planned_at:%m-%dT%H:%M:%S}" if cycle.next is not None else cycle.status.value

    def _conclude(self, number: int, outcome: Outcome, when: str) -> None:
        fact = facts.AttemptConcluded(obligation="1", number=number, outcome=outcome, is_look_up=False)
        self.state = apply(self.state, fact, at(when)).state


def test_a_rung_on_the_day_of_the_attempt_made_again_runs_a_day_later_and_the_gaps_are_kept() -> None:
    cycle = Cycle(retry=SHORT)
    assert cycle.try_at("2026-03-05T13:10:01", "2026-03-06T13:10:01", OutcomeKind.ABSENT) == "03-07T13:10:00"
    # Day 2 is 03-07 itself; then 3 and 4 days on.
    assert cycle.try_at("2026-03-07T13:10:01", "2026-03-07T13:10:02", OutcomeKind.DECLINED) == "03-08T13:10:00"
    assert cycle.try_at("2026-03-08T13:10:01", "2026-03-08T13:10:02", OutcomeKind.DECLINED) == "03-11T13:10:00"
    assert cycle.try_at("2026-03-11T13:10:01", "2026-03-11T13:10:02", OutcomeKind.DECLINED) == "03-15T13:10:00"
    assert cycle.state.obligation("1").dropped == ()
    assert cycle.try_at("2026-03-15T13:10:01", "2026-03-15T13:10:02", OutcomeKind.SUCCEEDED) == "succeeded"


@pytest.mark.parametrize("terms", [{}, {"grace_days": 5, "hold_days": 20}], ids=["ladder", "grace and hold"])
def test_a_rung_that_two_absences_in_a_row_have_passed_is_not_lost(terms: dict[str, object]) -> None:
    cycle = Cycle(retry=EVEN, **terms)
    assert cycle.try_at("2026-03-05T13:10:01", "2026-03-05T13:10:02", OutcomeKind.DECLINED) == "03-08T13:10:00"
    assert cycle.try_at("2026-03-08T13:10:01", "2026-03-09T13:10:01", OutcomeKind.ABSENT) == "03-10T13:10:00"
    assert cycle.try_at("2026-03-10T13:10:01", "2026-03-11T13:10:01", OutcomeKind.ABSENT) == "03-12T13:10:00"
    # Day 6 was 03-11: it waits for a day after the attempt that was made again, and day 9 keeps its three days.
    assert cycle.try_at("2026-03-12T13:10:01", "2026-03-12T13:10:02", OutcomeKind.DECLINED) == "03-13T13:10:00"
    assert cycle.try_at("2026-03-13T13:10:01", "2026-03-13T13:10:02", OutcomeKind.DECLINED) == "03-16T13:10:00"
    assert cycle.state.obligation("1").dropped == ()
    assert cycle.state.obligation("1").status is CycleStatus.RETRYING


def test_a_rung_a_whole_day_after_the_attempt_made_again_stays_where_it_is() -> None:
    cycle = Cycle()
    assert cycle.try_at("2026-03-05T13:10:01", "2026-03-06T13:10:01", OutcomeKind.ABSENT) == "03-07T13:10:00"
    # Seconds of lateness do not count: from 03-07 13:10:01 to 03-08 13:10:00 is a day.
    assert cycle.try_at("2026-03-07T13:10:01", "2026-03-07T13:10:02", OutcomeKind.DECLINED) == "03-08T13:10:00"
    assert cycle.try_at("2026-03-08T13:10:01", "2026-03-08T13:10:02", OutcomeKind.DECLINED) == "03-15T13:10:00"


def test_a_rung_that_would_lie_beyond_the_next_due_instant_is_dropped_with_its_reason() -> None:
    cycle = Cycle(retry={"ladder_days": [6]}, schedule={"anchor_at": "2026-03-05T13:10:00Z", "interval": "WEEK",
                                                        "interval_count": 1})  # fmt: skip
    assert cycle.try_at("2026-03-05T13:10:01", "2026-03-09T14:00:00", OutcomeKind.ABSENT) == "03-10T13:10:00"
    assert cycle.try_at("2026-03-10T13:10:01", "2026-03-11T13:10:01", OutcomeKind.ABSENT) == "03-12T13:10:00"
    assert cycle.try_at("2026-03-12T13:10:01", "2026-03-12T13:10:02", OutcomeKind.DECLINED) == "failed"
    (dropped,) = cycle.state.obligation("1").dropped
    assert (dropped.at, dropped.because) == (at("2026-03-13T13:10"), "the next cycle is due 2026-03-12 13:10 UTC")
