"""What holds for every ladder. SPEC 6."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from dunning.domain.ladder import (
    ADVICE_TOLERANCE,
    LATE,
    TOO_CLOSE,
    Base,
    effective_base,
    remaining_plan,
    rung_instant,
    rungs_of,
)

INSTANTS = st.datetimes(
    datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2090-12-31"), timezones=st.just(UTC)
)
LADDERS = st.lists(st.integers(1, 60), min_size=1, max_size=8, unique=True).map(lambda d: tuple(sorted(d)))
PUNCTUAL = st.timedeltas(timedelta(0), LATE - timedelta(seconds=1))
ANY_LATENESS = PUNCTUAL | st.timedeltas(LATE, timedelta(days=9))
SPREADS = st.integers(0, 86_400).map(lambda seconds: timedelta(seconds=seconds))
WAITS = st.none() | st.timedeltas(timedelta(0), timedelta(days=40))
DAY = timedelta(days=1)


def clock(instant):
    return instant.astimezone(UTC).timetz()


@given(INSTANTS, INSTANTS, LADDERS, st.lists(ANY_LATENESS, min_size=9, max_size=9), SPREADS)
@settings(max_examples=500, deadline=None)
def test_a_ladder_increases_strictly_and_keeps_its_time_of_day_however_late_attempts_run(
    due, anchor, days, lateness, spread
):
    base = Base(planned_at=due + spread, ran_at=due + spread + lateness[0], days=0)
    found = []
    for rung, late in zip(rungs_of(days), lateness[1:], strict=False):
        planned = rung_instant(base, rung.days, anchor, spread=spread)
        assert clock(planned.at - spread) == clock(anchor)
        assert planned.at > base.ran_at  # never before the attempt that it follows has run
        gap = timedelta(days=rung.days - base.days)
        assert gap - LATE <= planned.at - effective_base(base) < gap + DAY
        base = Base(planned_at=planned.at, ran_at=planned.at + late, days=rung.days)
        found.append(planned.at)
    assert all(a < b for a, b in pairwise(found))
    assert len(found) == len(days)


@given(INSTANTS, INSTANTS, LADDERS, PUNCTUAL)
@settings(max_examples=500, deadline=None)
def test_lateness_below_twelve_hours_never_moves_a_rung(due, anchor, days, late):
    on_time = Base(planned_at=due, ran_at=due, days=0)
    a_little_late = Base(planned_at=due, ran_at=due + late, days=0)
    plan = remaining_plan(on_time, rungs_of(days), anchor)
    assert remaining_plan(a_little_late, rungs_of(days), anchor) == plan


@given(INSTANTS, INSTANTS, LADDERS, WAITS, SPREADS)
@settings(max_examples=500, deadline=None)
def test_the_plan_ahead_has_each_rung_once_and_in_order(due, anchor, days, wait, spread):
    base = Base(planned_at=due + spread, ran_at=due + spread, days=0)
    not_before = due + spread + wait if wait is not None else None
    plan = remaining_plan(base, rungs_of(days), anchor, not_before=not_before, spread=spread)
    assert [(rung.index, rung.days) for rung in plan] == list(enumerate(days, start=1))
    assert all(a.at < b.at for a, b in pairwise(plan))
    assert {clock(rung.at - spread) for rung in plan} == {clock(anchor)}
    assert all(a.at + timedelta(days=b.days - a.days) == b.at for a, b in pairwise(plan))  # later gaps are kept


@given(INSTANTS, INSTANTS, LADDERS, st.integers(0, 7))
@settings(deadline=None)
def test_no_more_rungs_than_are_left(due, anchor, days, used):
    rungs = rungs_of(days)
    after = rungs[min(used, len(rungs)) - 1].days if used else 0
    plan = remaining_plan(Base(planned_at=due, ran_at=due, days=after), rungs, anchor)
    assert len(plan) == max(len(rungs) - used, 0)
    assert all(rung.days > after for rung in plan)


@given(INSTANTS, INSTANTS, st.integers(1, 60), st.timedeltas(timedelta(0), timedelta(days=60)), SPREADS)
@settings(max_examples=500, deadline=None)
def test_an_advised_wait_always_wins_and_takes_the_first_possible_day(due, anchor, days, wait, spread):
    base = Base(planned_at=due + spread, ran_at=due + spread, days=0)
    not_before = due + spread + wait
    plain = rung_instant(base, days, anchor, spread=spread)
    moved = rung_instant(base, days, anchor, not_before=not_before, spread=spread)

    assert moved.at >= max(plain.at, not_before - ADVICE_TOLERANCE)
    assert max(moved.at, moved.not_before or moved.at) >= not_before
    assert clock(moved.at) == clock(plain.at)
    assert moved.at == plain.at or moved.at - DAY < not_before - ADVICE_TOLERANCE


@given(INSTANTS, INSTANTS, st.integers(1, 60), st.data())
@settings(max_examples=500, deadline=None)
def test_a_rung_keeps_a_day_from_other_attempts_and_moves_at_most_one(due, anchor, days, data):
    base = Base(planned_at=due, ran_at=due, days=0)
    plain = rung_instant(base, days, anchor).at
    before = st.timedeltas(timedelta(0), plain - due).map(lambda ago: plain - ago)
    others = data.draw(st.lists(before, max_size=4))
    moved = rung_instant(base, days, anchor, others=others).at

    is_close = any(plain - other < TOO_CLOSE for other in others)
    assert moved == (plain + DAY if is_close else plain)
    assert all(moved - other >= TOO_CLOSE for other in others)


@given(INSTANTS, INSTANTS, st.integers(1, 60), ANY_LATENESS, WAITS, SPREADS, st.data())
@settings(max_examples=500, deadline=None)
def test_a_spread_ladder_is_the_same_ladder_later(due, anchor, days, late, wait, spread, data):
    others = data.draw(st.lists(st.timedeltas(timedelta(0), timedelta(days=60)), max_size=3))

    def planned(shift):
        return rung_instant(
            Base(planned_at=due + shift, ran_at=due + shift + late, days=0),
            days,
            anchor,
            not_before=due + shift + wait if wait is not None else None,
            others=[due + shift + other for other in others],
            spread=shift,
        )

    assert planned(spread).at == planned(timedelta(0)).at + spread
