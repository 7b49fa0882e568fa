"""The ladder rule, case by case. SPEC 6. Every instant was computed by hand; the sums stand beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from dunning.domain.ladder import (
    Base,
    Planned,
    effective_base,
    remaining_plan,
    rung_instant,
    rungs_of,
    spread_of,
    uniform_days,
)
from dunning.domain.window import foreseen_window
from tests.builders import live, planned
from tests.domain.calendars import at, dues, opened

DEFAULT = (3, 10, 17)


@dataclass(frozen=True)
class Case:
    """One obligation whose every attempt is declined softly.

    `ran` and `waits` go by attempt number (1 is the first): when it ran if not on plan, and the wait it advised.
    """

    first: str
    anchor: str
    expected: tuple[str, ...]
    days: tuple[int, ...] = DEFAULT
    ran: Mapping[int, str] = field(default_factory=dict)
    waits: Mapping[int, timedelta] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    starts: Mapping[int, str] = field(default_factory=dict)


def walk(case: Case) -> list[Planned]:
    """Attempt after attempt, as the machine does it."""
    base = Base(planned_at=at(case.first), ran_at=at(case.ran.get(1, case.first)), days=0)
    found = []
    for number, days in enumerate(case.days, start=2):
        wait = case.waits.get(number - 1)
        rung = rung_instant(
            base,
            days,
            at(case.anchor),
            not_before=base.ran_at + wait if wait is not None else None,
            others=[at(other) for other in case.others],
        )
        found.append(rung)
        ran = case.ran.get(number)
        base = Base(planned_at=rung.at, ran_at=at(ran) if ran is not None else rung.at, days=days)
    return found


L1 = "2026-03-05T13:10"

TABLE = {
    # 5+3 = 8; 8+7 = 15; 15+7 = 22
    "L1": Case(L1, L1, ("2026-03-08T13:10", "2026-03-15T13:10", "2026-03-22T13:10")),
    # 40 s late is not 12 h late: the base is the planned instant
    "L2": Case(
        L1,
        L1,
        ("2026-03-08T13:10", "2026-03-15T13:10", "2026-03-22T13:10"),
        ran={1: "2026-03-05T13:10:40"},
    ),
    # attempt 2 ran 36 h 50 min late, so its actual time is the base: 10+7 = 17 (7 d 11 h 10 min later); 17+7 = 24
    "L3": Case(
        L1,
        L1,
        ("2026-03-08T13:10", "2026-03-17T13:10", "2026-03-24T13:10"),
        ran={2: "2026-03-10T02:00"},
    ),
    # 5+3 = 8 at 13:10 is 2 d 17 h 10 min after 20:00: not sooner than 2 d 12 h
    "L4": Case(
        "2026-03-05T20:00",
        "2026-02-01T13:10",
        ("2026-03-08T13:10", "2026-03-15T13:10", "2026-03-22T13:10"),
    ),
    # gaps 3, 3, 3: 8, 11, 14
    "L6": Case(L1, L1, ("2026-03-08T13:10", "2026-03-11T13:10", "2026-03-14T13:10"), days=uniform_days(3, 3)),
    # Mar 31 + 3 = 34 - 31 = Apr 3; +7 = 10; +7 = 17 (the due instant itself: test_l8 below)
    "L8": Case(
        "2027-03-31T09:00",
        "2027-01-31T09:00",
        ("2027-04-03T09:00", "2027-04-10T09:00", "2027-04-17T09:00"),
    ),
    # 5 13:10:04 + 10 d = 15 13:10:04; the first 13:10 not more than 10 min before is 15 13:10:00; 15+7, 22+7 = 29
    "L9": Case(
        L1,
        L1,
        ("2026-03-15T13:10", "2026-03-22T13:10", "2026-03-29T13:10"),
        ran={1: "2026-03-05T13:10:04", 2: "2026-03-15T13:10:04"},
        waits={1: timedelta(days=10)},
        starts={2: "2026-03-15T13:10:04"},
    ),
    # 5+3 = 8 at 13:10 is 3 d 13 h 10 min after 00:00; then 7 days from 13:10 to 13:10
    "L10": Case(
        "2026-03-05T00:00",
        "2026-02-01T13:10",
        ("2026-03-08T13:10", "2026-03-15T13:10", "2026-03-22T13:10"),
    ),
    # ran at 00:00:05 of the 6th, but the base is the planned 5th: 8, 15, 22
    "L11": Case(
        "2026-03-05T23:59:50",
        "2026-03-05T23:59:50",
        ("2026-03-08T23:59:50", "2026-03-15T23:59:50", "2026-03-22T23:59:50"),
        ran={1: "2026-03-06T00:00:05"},
    ),
    # 8 at 07:00 is 2 d 11 h after 20:00, sooner than 2 d 12 h: 9; 9+7 = 16; 16+7 = 23: days 4, 11, 18
    "L12": Case(
        "2026-03-05T20:00",
        "2026-02-01T07:00",
        ("2026-03-09T07:00", "2026-03-16T07:00", "2026-03-23T07:00"),
    ),
    # the last success was planned 08:30:00 and ran 08:30:07: due 13:10 on Apr 5; 8 at 08:30 is 2 d 19 h 20 min later
    "L13": Case(
        "2026-04-05T13:10",
        effective_base(Base(planned_at=at("2026-03-05T08:30"), ran_at=at("2026-03-05T08:30:07"), days=0)).isoformat(),
        ("2026-04-08T08:30", "2026-04-15T08:30", "2026-04-22T08:30"),
    ),
    # 15 13:10 is 4 h 10 min after the operator's attempt: 16; 16+7 = 23
    "L14": Case(
        L1,
        L1,
        ("2026-03-08T13:10", "2026-03-16T13:10", "2026-03-23T13:10"),
        others=("2026-03-15T09:00",),
    ),
    # --- edges of the same rule ---
    # 8 at 08:00 is exactly 2 d 12 h after 20:00: not sooner
    "exactly the gap minus 12 h stays": Case("2026-03-05T20:00", "2026-02-01T08:00", ("2026-03-08T08:00",), (3,)),
    "a second less moves a day": Case("2026-03-05T20:00:01", "2026-02-01T08:00", ("2026-03-09T08:00",), (3,)),
    # 12 h late is late: base 6 01:10; 6+3 = 9 (3 d 12 h later); one second less and the base is the 5th
    "12 h late is the base by its actual time": Case(L1, L1, ("2026-03-09T13:10",), (3,), ran={1: "2026-03-06T01:10"}),
    "a second less is not late": Case(L1, L1, ("2026-03-08T13:10",), (3,), ran={1: "2026-03-06T01:09:59"}),
    # an outage until the evening, anchor in the morning: base 7 22:00; 7+3 = 10 at 07:00 is 2 d 9 h: 11
    "a late base can be too close as well": Case(
        "2026-03-05T07:00", "2026-03-05T07:00", ("2026-03-11T07:00",), (3,), ran={1: "2026-03-07T22:00"}
    ),
    # daily gaps: 6, 7, 8
    "rungs on consecutive days": Case(L1, L1, ("2026-03-06T13:10", "2026-03-07T13:10", "2026-03-08T13:10"), (1, 2, 3)),
    # 15 13:10 minus 24 h is 14 13:10: not less than 24 h
    "24 h after another attempt stays": Case(
        L1, L1, ("2026-03-08T13:10", "2026-03-15T13:10"), (3, 10), others=("2026-03-14T13:10",)
    ),
    "a second less than 24 h moves": Case(
        L1, L1, ("2026-03-08T13:10", "2026-03-16T13:10"), (3, 10), others=("2026-03-14T13:10:01",)
    ),
    # several tries by hand move the rung once: the last one is what counts, 14 20:00 -> 16
    "several other attempts move it one day": Case(
        L1,
        L1,
        ("2026-03-08T13:10", "2026-03-16T13:10"),
        (3, 10),
        others=("2026-03-14T14:00", "2026-03-14T20:00"),
    ),
    # the wait ends 8 13:20:00, 10 min after the rung: it stays, and starts then
    "a wait ending 10 min after the rung lets it stay": Case(
        L1,
        L1,
        ("2026-03-08T13:10",),
        (3,),
        waits={1: timedelta(days=3, minutes=10)},
        starts={2: "2026-03-08T13:20"},
    ),
    # 8 13:20:01: 9 13:10 is the first not more than 10 min before
    "a wait ending a second later moves it a day": Case(
        L1,
        L1,
        ("2026-03-09T13:10",),
        (3,),
        waits={1: timedelta(days=3, minutes=10, seconds=1)},
    ),
    # 23:59:50 + 10 d 0 h 5 min 10 s = 16 00:05; 15 23:59:50 is 5 min 10 s before: over midnight
    "a wait that ends after midnight": Case(
        "2026-03-05T23:59:50",
        "2026-03-05T23:59:50",
        ("2026-03-15T23:59:50", "2026-03-22T23:59:50"),
        (3, 10),
        waits={1: timedelta(days=10, minutes=5, seconds=10)},
        starts={2: "2026-03-16T00:05"},
    ),
    # a day's wait ends before day 3: nothing to move
    "a wait shorter than the gap changes nothing": Case(
        L1, L1, ("2026-03-08T13:10", "2026-03-15T13:10"), (3, 10), waits={1: timedelta(days=1)}
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_ladder_of(name):
    case = TABLE[name]
    found = walk(case)

    assert [rung.at for rung in found] == [at(text) for text in case.expected]
    for number, start in case.starts.items():
        rung = found[number - 2]
        assert max(rung.at, rung.not_before or rung.at) == at(start)
    assert all(rung.because.startswith("day ") for rung in found)


def test_l5_a_hard_decline_ends_the_automatic_attempts():
    # 5 13:10 declines softly, 8 13:10 with DO_NOT_HONOR: nothing on the 15th or the 22nd
    assert planned(live("INSUFFICIENT_FUNDS", "DO_NOT_HONOR")) == ["03-05T13:10:00", "03-08T13:10:00"]


def test_l7_weekly_keeps_the_day_3_rung_and_names_the_others():
    # next due 5+7 = 12 13:10; 8 is before, 15 and 22 are after
    window = foreseen_window(opened(L1, "WEEK"), 1, days=DEFAULT, anchor=at(L1))
    assert [(rung.index, rung.at) for rung in window.kept] == [(1, at("2026-03-08T13:10"))]
    assert [(rung.index, rung.days, rung.at) for rung in window.dropped] == [
        (2, 10, at("2026-03-15T13:10")),
        (3, 17, at("2026-03-22T13:10")),
    ]


def test_l8_the_third_cycle_of_a_month_end_calendar_fails():
    calendar = opened("2027-01-31T09:00")
    assert dues(calendar, 3, 3) == ["2027-03-31T09:00"]
    # next due Apr 30 (30 days in April), after the last rung on the 17th: nothing is dropped
    window = foreseen_window(calendar, 3, days=DEFAULT, anchor=at("2027-01-31T09:00"))
    assert [rung.at for rung in window.kept] == [at(text) for text in TABLE["L8"].expected]
    assert window.dropped == ()


def test_l15_daylight_saving_moves_the_display_not_the_instants():
    # New York is -5 until 2026-03-08 07:00Z, then -4
    instants = [at(L1), *(rung.at for rung in walk(TABLE["L1"]))]
    shown = [f"{i.astimezone(ZoneInfo('America/New_York')):%m-%d %H:%M}" for i in instants]
    assert shown == ["03-05 08:10", "03-08 09:10", "03-15 09:10", "03-22 09:10"]
    assert {i.astimezone(UTC).time() for i in instants} == {time(13, 10)}


def test_the_table_of_the_specification_is_whole():
    here = {name for name in TABLE if name.startswith("L")}
    assert here | {"L5", "L7", "L15"} == {f"L{number}" for number in range(1, 16)}


def test_the_anchor_may_be_a_time_of_day_in_utc():
    base = Base(planned_at=at(L1), ran_at=at(L1), days=0)
    assert rung_instant(base, 3, time(13, 10)) == rung_instant(base, 3, at(L1))
    # 20:10+07:00 is 13:10Z
    assert rung_instant(base, 3, at("2026-01-01T20:10+07:00")).at == at("2026-03-08T13:10")


class TestReasons:
    BASE = Base(planned_at=at("2026-03-05T20:00"), ran_at=at("2026-03-05T20:00"), days=0)

    def test_a_plain_rung_says_its_day(self):
        assert rung_instant(self.BASE, 3, time(13, 10)).because == "day 3 of the ladder"

    def test_a_rung_that_would_be_too_soon_says_so(self):
        assert "3 days after its base, 07:00 UTC would be too soon" in rung_instant(self.BASE, 3, time(7)).because

    def test_a_rung_moved_by_another_attempt_says_so(self):
        moved = rung_instant(self.BASE, 3, time(13, 10), others=[at("2026-03-08T09:00")])
        assert "another attempt was made less than 24 hours before" in moved.because

    def test_a_rung_moved_by_advice_says_until_when(self):
        wait = at("2026-03-09T00:00:04")
        moved = rung_instant(self.BASE, 3, time(13, 10), not_before=wait)
        assert "advised wait until 2026-03-09 00:00:04 UTC" in moved.because


class TestSpread:
    HOUR = timedelta(hours=1)

    def test_every_rung_is_later_by_the_spread(self):
        base = Base(planned_at=at(L1) + self.HOUR, ran_at=at(L1) + self.HOUR, days=0)
        plan = remaining_plan(base, rungs_of(DEFAULT), at(L1), spread=self.HOUR)
        # 14:10 instead of 13:10, on the same days
        assert [rung.at for rung in plan] == [
            at("2026-03-08T14:10"),
            at("2026-03-15T14:10"),
            at("2026-03-22T14:10"),
        ]

    def test_over_midnight_the_spread_keeps_the_days_of_the_ladder(self):
        # due 23:30 + 1 h = 6 00:30; the ladder is that of the 5th: 8 23:30 + 1 h = 9 00:30
        base = Base(planned_at=at("2026-03-06T00:30"), ran_at=at("2026-03-06T00:30"), days=0)
        assert rung_instant(base, 3, time(23, 30), spread=self.HOUR).at == at("2026-03-09T00:30")

    def test_an_advised_wait_is_measured_on_the_spread_instants(self):
        # ran 14:10:04, 10 days: 15 14:10:04; the spread rung of 15 14:10 is 4 s before and not a day later
        base = Base(planned_at=at("2026-03-05T14:10"), ran_at=at("2026-03-05T14:10:04"), days=0)
        moved = rung_instant(base, 3, at(L1), not_before=at("2026-03-15T14:10:04"), spread=self.HOUR)
        assert moved.at == at("2026-03-15T14:10")

    def test_the_distance_to_other_attempts_is_measured_on_the_spread_instants(self):
        # the spread rung of 15 14:10 is exactly 24 h after 14 14:10, and a second less after 14 14:10:01
        base = Base(planned_at=at("2026-03-08T14:10"), ran_at=at("2026-03-08T14:10"), days=3)
        for other, expected in (("14:10", "2026-03-15T14:10"), ("14:10:01", "2026-03-16T14:10")):
            tried = [at(f"2026-03-14T{other}")]
            assert rung_instant(base, 10, at(L1), others=tried, spread=self.HOUR).at == at(expected)

    def test_it_is_the_hash_of_the_id_on_every_machine(self):
        # printf sub-1 | sha256sum begins with 0a80627d4936eb43; 0x0a80627d4936eb43 mod 3600 = 2515
        assert spread_of("sub-1", 3600) == timedelta(seconds=2515)

    def test_it_is_zero_by_default_and_below_its_bound(self):
        assert spread_of("sub-1", 0) == timedelta(0)
        spreads = {spread_of(f"sub-{n}", 60) for n in range(2_000)}
        assert spreads == {timedelta(seconds=s) for s in range(60)}


class TestPolicy:
    def test_a_uniform_policy_is_expanded(self):
        assert uniform_days(3, 3) == (3, 6, 9)
        assert uniform_days(7, 1) == (7,)

    def test_rungs_are_numbered_from_one(self):
        assert [(rung.index, rung.days) for rung in rungs_of(DEFAULT)] == [(1, 3), (2, 10), (3, 17)]
        assert rungs_of(()) == ()

    @pytest.mark.parametrize("days", [(3, 3), (3, 2), (10, 3, 17)])
    def test_days_that_do_not_increase_are_refused(self, days):
        with pytest.raises(ValueError, match="increase strictly"):
            rungs_of(days)

    def test_day_zero_is_refused(self):
        with pytest.raises(ValueError, match="from 1 or more"):
            rungs_of((0, 3))

    def test_a_rung_not_later_than_its_base_is_refused(self):
        base = Base(planned_at=at(L1), ran_at=at(L1), days=10)
        with pytest.raises(ValueError, match="later than the base's day 10"):
            rung_instant(base, 10, at(L1))


def test_the_plan_ahead_starts_after_the_bases_rung():
    # rung 1 (day 3) ran on the 8th: 8+7 = 15, 15+7 = 22
    base = Base(planned_at=at("2026-03-08T13:10"), ran_at=at("2026-03-08T13:10"), days=3)
    plan = remaining_plan(base, rungs_of(DEFAULT), at(L1))
    assert [(rung.index, rung.days, rung.at) for rung in plan] == [
        (2, 10, at("2026-03-15T13:10")),
        (3, 17, at("2026-03-22T13:10")),
    ]


def test_the_plan_ahead_takes_advice_for_the_next_rung_only():
    # as L9: 15, then the gaps 7 and 7
    base = Base(planned_at=at(L1), ran_at=at("2026-03-05T13:10:04"), days=0)
    wait = datetime(2026, 3, 15, 13, 10, 4, tzinfo=UTC)
    plan = remaining_plan(base, rungs_of(DEFAULT), at(L1), not_before=wait)
    assert [rung.at for rung in plan] == [at(text) for text in TABLE["L9"].expected]
