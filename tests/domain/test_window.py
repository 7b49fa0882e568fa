"""The recovery window, by hand. SPEC 6, 8."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dunning.domain.ladder import Base, PlannedRung, remaining_plan, rungs_of
from dunning.domain.window import (
    Window,
    foreseen_window,
    recovery_window,
    warnings_for,
    window_start,
)
from tests.domain.calendars import at, opened

DUE = "2026-03-05T13:10"
DEFAULT = (3, 10, 17)


def ladder(due: str = DUE, days: tuple[int, ...] = DEFAULT, anchor: str = DUE) -> tuple[PlannedRung, ...]:
    base = Base(planned_at=at(due), ran_at=at(due), days=0)
    return remaining_plan(base, rungs_of(days), at(anchor))


def window(due: str = DUE, rungs: tuple[PlannedRung, ...] | None = None, **given: Any) -> Window:
    for name in ("next_due_at", "first_attempt_at"):
        given[name] = at(given[name]) if name in given else None
    return recovery_window(due_at=at(due), rungs=ladder() if rungs is None else rungs, **given)


def kept(found: Window) -> list[int]:
    return [rung.days for rung in found.kept]


def dropped(found: Window) -> list[int]:
    return [rung.days for rung in found.dropped]


class TestWithoutGraceAndHold:
    def test_it_ends_with_the_last_rung(self):
        # 5+17 = 22; next due Apr 5
        found = window(next_due_at="2026-04-05T13:10")
        assert (found.end, kept(found), dropped(found)) == (at("2026-03-22T13:10"), [3, 10, 17], [])
        assert found.grace_ends_at is None
        assert found.hold_from is None

    def test_it_moves_with_the_last_rung(self):
        # L3: an outage moved the last rung to the 24th
        late = (*ladder()[:2], ladder()[2]._replace(at=at("2026-03-24T13:10")))
        assert window(rungs=late, next_due_at="2026-04-05T13:10").end == at("2026-03-24T13:10")

    def test_weekly_keeps_what_lies_before_the_next_due_instant(self):
        # L7: next due 12; 8 is kept, 15 and 22 are not
        found = window(next_due_at="2026-03-12T13:10")
        assert (found.end, kept(found), dropped(found)) == (at("2026-03-08T13:10"), [3], [10, 17])
        assert [rung.because for rung in found.dropped] == ["the next cycle is due 2026-03-12 13:10 UTC"] * 2

    def test_a_rung_at_the_next_due_instant_is_dropped(self):
        # day 7 of a weekly subscription is the next due instant itself
        found = window(rungs=ladder(days=(3, 7)), next_due_at="2026-03-12T13:10")
        assert (kept(found), dropped(found)) == ([3], [7])

    def test_without_a_kept_rung_it_is_three_days(self):
        # 5+3 = 8
        assert window(rungs=(), next_due_at="2026-04-05T13:10").end == at("2026-03-08T13:10")

    def test_three_days_never_pass_the_next_due_instant(self):
        # daily: the next is due on the 6th; day 3 is dropped
        found = window(rungs=ladder(days=(3,)), next_due_at="2026-03-06T13:10")
        assert (found.end, kept(found), dropped(found)) == (at("2026-03-06T13:10"), [], [3])

    def test_the_last_cycle_of_a_calendar_has_its_whole_ladder(self):
        found = window()
        assert (found.end, dropped(found)) == (at("2026-03-22T13:10"), [])

    def test_on_hold_nothing_is_cut_by_the_next_due_instant(self):
        # a policy without hold that took effect while on hold: no cycle opens on the 12th
        found = window(next_due_at="2026-03-12T13:10", on_hold=True)
        assert (found.end, dropped(found)) == (at("2026-03-22T13:10"), [])


class TestWithGraceAndHold:
    def test_it_is_due_plus_grace_plus_hold(self):
        # grace to 5+7 = 12, hold to 12+14 = 26
        found = window(grace_days=7, hold_days=14, next_due_at="2026-04-05T13:10")
        assert found.grace_ends_at == found.hold_from == at("2026-03-12T13:10")
        assert found.end == at("2026-03-26T13:10")
        assert kept(found) == [3, 10, 17]

    def test_rungs_after_its_last_day_are_dropped(self):
        # 5+5+5 = 15: day 10 is the 15th, day 17 the 22nd
        found = window(grace_days=5, hold_days=5, next_due_at="2026-04-05T13:10")
        assert (kept(found), dropped(found)) == ([3, 10], [17])
        assert found.dropped[0].because == "the recovery window ends 2026-03-15 13:10 UTC"

    def test_its_last_day_counts_whole(self):
        # due 07:00, anchor 13:10: the window would end 15 07:00, but the rung of 15 13:10 is on that date
        rungs = ladder("2026-03-05T07:00")
        found = window("2026-03-05T07:00", rungs, grace_days=10, next_due_at="2026-04-05T07:00")
        assert (found.end, kept(found)) == (at("2026-03-15T13:10"), [3, 10])
        assert found.grace_ends_at == found.end  # without a hold access lasts to the end
        assert found.hold_from is None

    def test_a_rung_on_the_date_after_is_outside(self):
        # due 23:00, anchor 00:30: 5+3 = 8 00:30 is 2 d 1 h 30 later, so 9 00:30; the window ends 8 23:00
        rungs = ladder("2026-03-05T23:00", (3,), "2026-03-01T00:30")
        assert rungs[0].at == at("2026-03-09T00:30")
        found = window("2026-03-05T23:00", rungs, grace_days=3)
        assert (found.end, dropped(found)) == (at("2026-03-08T23:00"), [3])

    def test_grace_alone_never_passes_the_next_due_instant(self):
        # weekly, grace 10: cut at the 12th
        found = window(grace_days=10, next_due_at="2026-03-12T13:10")
        assert (found.end, found.grace_ends_at, found.hold_from) == (
            at("2026-03-12T13:10"),
            at("2026-03-12T13:10"),
            None,
        )
        assert (kept(found), dropped(found)) == ([3], [10, 17])

    def test_a_later_rung_on_the_next_due_date_is_dropped_all_the_same(self):
        # due 07:00 weekly, grace 7: the end's date is the 12th, but 12 13:10 is past the next due 12 07:00
        rungs = ladder("2026-03-05T07:00", (3, 7))
        found = window("2026-03-05T07:00", rungs, grace_days=7, next_due_at="2026-03-12T07:00")
        assert (found.end, kept(found), dropped(found)) == (at("2026-03-12T07:00"), [3], [7])

    def test_on_hold_it_passes_the_next_due_instant(self):
        # weekly, grace 3, hold 14: on hold from the 8th, so no cycle opens on the 12th; ends 5+17 = 22
        found = window(grace_days=3, hold_days=14, next_due_at="2026-03-12T13:10")
        assert (found.hold_from, found.end) == (at("2026-03-08T13:10"), at("2026-03-22T13:10"))
        assert (kept(found), dropped(found)) == ([3, 10, 17], [])

    def test_grace_to_the_very_next_due_instant_reaches_the_hold(self):
        # weekly, grace 7: grace_ended comes before the next due at one instant
        found = window(grace_days=7, hold_days=7, next_due_at="2026-03-12T13:10")
        assert (found.hold_from, found.end) == (at("2026-03-12T13:10"), at("2026-03-19T13:10"))

    def test_grace_past_the_next_due_instant_never_reaches_the_hold(self):
        # weekly, grace 8, hold 7: given up at the 12th, before the hold of the 13th
        found = window(grace_days=8, hold_days=7, next_due_at="2026-03-12T13:10")
        assert (found.hold_from, found.end) == (None, at("2026-03-12T13:10"))

    def test_hold_alone_begins_at_the_due_instant(self):
        found = window(hold_days=10, next_due_at="2026-04-05T13:10")
        assert (found.hold_from, found.end) == (at(DUE), at("2026-03-15T13:10"))

    def test_no_days_at_all_end_it_at_once(self):
        found = window(grace_days=0, hold_days=0, next_due_at="2026-04-05T13:10")
        assert (found.end, kept(found), dropped(found)) == (at(DUE), [], [3, 10, 17])

    def test_a_subscription_on_hold_already_opens_no_cycle(self):
        found = window(grace_days=10, next_due_at="2026-03-12T13:10", on_hold=True)
        assert (found.end, kept(found)) == (at("2026-03-15T13:10"), [3, 10])


class TestStart:
    def test_seconds_of_lateness_do_not_move_it(self):
        late = window(grace_days=5, first_attempt_at="2026-03-05T13:10:40")
        assert late.end == at("2026-03-10T13:10")

    def test_after_downtime_it_begins_with_the_first_real_attempt(self):
        # two days late: 7 13:10 + 5 = 12
        assert window(grace_days=5, first_attempt_at="2026-03-07T13:10").end == at("2026-03-12T13:10")
        # without rungs: 7 + 3 = 10
        assert window(rungs=(), first_attempt_at="2026-03-07T13:10").end == at("2026-03-10T13:10")

    def test_twelve_hours_are_the_border(self):
        assert window_start(at(DUE), at("2026-03-06T01:09:59")) == at(DUE)
        assert window_start(at(DUE), at("2026-03-06T01:10")) == at("2026-03-06T01:10")
        assert window_start(at(DUE), None) == at(DUE)


class TestWarnings:
    def test_a_monthly_subscription_with_the_default_ladder_has_none(self):
        assert warnings_for(opened(DUE), days=DEFAULT, anchor=at(DUE)) == ()

    def test_weekly_names_each_dropped_rung_with_its_instant(self):
        found = warnings_for(opened(DUE, "WEEK"), days=DEFAULT, anchor=at(DUE))
        assert found == (
            (
                "retry.ladder_days: rung 2 (day 10) is dropped, first in cycle 1, where it would run "
                "2026-03-15 13:10 UTC: the next cycle is due 2026-03-12 13:10 UTC"
            ),
            (
                "retry.ladder_days: rung 3 (day 17) is dropped, first in cycle 1, where it would run "
                "2026-03-22 13:10 UTC: the next cycle is due 2026-03-12 13:10 UTC"
            ),
        )

    def test_a_rung_that_only_a_short_month_drops_is_foreseen(self):
        # Dec 31 + 28 = Jan 28, before Jan 31; Jan 31 + 28 = Feb 28, which is cycle 3's due instant
        found = warnings_for(opened("2026-12-31T13:10"), days=(3, 28), anchor=at(DUE))
        assert len(found) == 1
        assert "rung 2 (day 28) is dropped, first in cycle 2" in found[0]
        assert "2027-02-28 13:10 UTC: the next cycle is due 2027-02-28 13:10 UTC" in found[0]

    def test_grace_and_hold_say_why_as_well(self):
        # 5+4 = 9
        found = warnings_for(opened(DUE), days=(3, 10), anchor=at(DUE), grace_days=4)
        assert found == (
            (
                "retry.ladder_days: rung 2 (day 10) is dropped, first in cycle 1, where it would run "
                "2026-03-15 13:10 UTC: the recovery window ends 2026-03-09 13:10 UTC"
            ),
        )

    def test_the_last_cycle_drops_nothing(self):
        assert warnings_for(opened(DUE, "WEEK", total_cycles=1), days=DEFAULT, anchor=at(DUE)) == ()

    def test_a_first_payment_has_no_ladder_and_no_warning(self):
        # authorised Mar 28, next due Apr 1: days 10 and 17 of cycle 1 would be outside, but it is never retried
        calendar = opened("2026-01-01T13:10", authorized_at="2026-03-28T13:10", immediate=True)
        assert warnings_for(calendar, days=DEFAULT, anchor=at(DUE)) == ()

    def test_the_spread_moves_the_instants_named(self):
        found = warnings_for(opened(DUE, "WEEK"), days=(3, 10), anchor=at(DUE), spread=timedelta(minutes=5))
        assert "2026-03-15 13:15 UTC: the next cycle is due 2026-03-12 13:15 UTC" in found[0]


def test_a_foreseen_window_is_that_of_its_cycle():
    # cycle 2: due Apr 5; 8, 15, 22
    found = foreseen_window(opened(DUE), 2, days=DEFAULT, anchor=at(DUE))
    assert found.end == at("2026-04-22T13:10")


DAYS = st.lists(st.integers(1, 40), max_size=6, unique=True).map(lambda d: tuple(sorted(d)))
INSTANTS = st.datetimes(
    datetime.fromisoformat("2020-01-01"), datetime.fromisoformat("2060-01-01"), timezones=st.just(UTC)
)


@given(
    INSTANTS,
    INSTANTS,
    DAYS,
    st.none() | st.integers(0, 30),
    st.none() | st.integers(0, 60),
    st.none() | st.timedeltas(timedelta(hours=13), timedelta(days=60)),
    st.booleans(),
)
@settings(max_examples=1_000, deadline=None)
def test_every_window_keeps_its_promises(due, anchor, days, grace, hold, next_in, on_hold):
    rungs = remaining_plan(Base(planned_at=due, ran_at=due, days=0), rungs_of(days), anchor)
    next_due = due + next_in if next_in is not None else None
    found = recovery_window(
        due_at=due,
        rungs=rungs,
        grace_days=grace,
        hold_days=hold,
        next_due_at=next_due,
        on_hold=on_hold,
    )

    # every rung is kept or dropped, never both, and what is kept comes before what is dropped
    assert [r.index for r in found.kept] + [r.index for r in found.dropped] == [r.index for r in rungs]
    assert all(rung.at <= found.end for rung in found.kept)
    assert found.end >= due
    # never past the next due instant, unless on hold then
    if next_due is not None and not on_hold and (found.hold_from is None or found.hold_from > next_due):
        assert found.end <= next_due
        assert all(rung.at < next_due for rung in found.kept)
    if grace is None and hold is None:
        assert found.grace_ends_at is None
    else:
        assert found.grace_ends_at is not None
        assert due <= found.grace_ends_at <= found.end
        assert found.hold_from in (None, found.grace_ends_at)
    assert found.hold_from is None or hold
