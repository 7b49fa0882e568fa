"""Defer, recovery in hold, ends, numbers, and what a calendar refuses. SPEC 5, 8. All sums by hand."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from dunning.domain.calendar import END_OF_DATES, Calendar, Interval, On
from tests.domain.calendars import at, dues, opened


class TestDefer:
    def test_the_calendar_is_anchored_at_the_deferred_instant(self):
        # Mar 15 + 10 = Mar 25, then the 25th for ever
        calendar = opened("2026-01-15T10:00").deferred(3, 10)
        assert dues(calendar, 3, 6) == [
            "2026-03-25T10:00",
            "2026-04-25T10:00",
            "2026-05-25T10:00",
            "2026-06-25T10:00",
        ]

    def test_a_clamped_instant_is_deferred_from_where_it_stood(self):
        # Jan 31 -> Feb 28 + 2 = Mar 2, then the 2nd: the 31st is forgotten
        calendar = opened("2027-01-31T09:00").deferred(2, 2)
        assert dues(calendar, 2, 4) == ["2027-03-02T09:00", "2027-04-02T09:00", "2027-05-02T09:00"]

    def test_it_can_be_repeated(self):
        # Mar 15 + 10 = 25, + 10 = Apr 4 (25 + 10 - 31)
        calendar = opened("2026-01-15T10:00").deferred(3, 10).deferred(3, 10)
        assert dues(calendar, 3, 4) == ["2026-04-04T10:00", "2026-05-04T10:00"]

    def test_the_offset_of_the_anchor_is_kept(self):
        # Mar 31 02:00+07:00 - in UTC Mar 30 19:00 - moves 1 day to Apr 1 02:00+07:00: the 1st in Jakarta
        calendar = opened("2026-01-31T02:00+07:00").deferred(3, 1)
        assert calendar.anchor_at.isoformat() == "2026-04-01T02:00:00+07:00"
        assert dues(calendar, 3, 5) == ["2026-03-31T19:00", "2026-04-30T19:00", "2026-05-31T19:00"]

    def test_with_listed_days_only_that_instant_moves(self):
        # Mar 15 + 5 = Mar 20; the next is still Apr 1
        calendar = opened("2026-03-01T08:00", on={"days_of_month": [1, 15]}).deferred(2, 5)
        assert dues(calendar, 2, 4) == ["2026-03-20T08:00", "2026-04-01T08:00", "2026-04-15T08:00"]

    def test_listed_days_that_a_deferral_passes_are_swallowed(self):
        # Mar 15 + 20 = Apr 4 passes Apr 1; charging cycle 3 before cycle 2, or both at once, would be absurd
        calendar = opened("2026-03-01T08:00", on={"days_of_month": [1, 15]}).deferred(2, 20)
        assert dues(calendar, 2, 4) == ["2026-04-04T08:00", "2026-04-15T08:00", "2026-05-01T08:00"]

    def test_a_deferral_onto_a_listed_day_takes_its_place(self):
        # Mar 15 + 17 = Apr 1, which is not billed twice
        calendar = opened("2026-03-01T08:00", on={"days_of_month": [1, 15]}).deferred(2, 17)
        assert dues(calendar, 2, 4) == ["2026-04-01T08:00", "2026-04-15T08:00", "2026-05-01T08:00"]

    def test_listed_days_can_be_deferred_again_and_later_ones_too(self):
        listed = opened("2026-03-01T08:00", on={"days_of_month": [1, 15]})
        twice = listed.deferred(2, 5).deferred(2, 5)  # Mar 25
        assert dues(twice, 2, 3) == ["2026-03-25T08:00", "2026-04-01T08:00"]
        both = listed.deferred(2, 5).deferred(3, 3)  # Mar 20 stays, Apr 1 -> Apr 4
        assert dues(both, 2, 4) == ["2026-03-20T08:00", "2026-04-04T08:00", "2026-04-15T08:00"]

    def test_exceptions_do_not_pile_up_in_the_state(self):
        calendar = opened("2026-03-01T08:00", on={"days_of_month": [1, 15]})
        for number in range(1, 40):
            calendar = calendar.deferred(number, 1)
        assert len(calendar.moved) <= 2

    def test_a_first_payment_can_be_deferred(self):
        calendar = opened("2026-01-01T00:00", authorized_at="2026-03-10T07:30", immediate=True)
        assert dues(calendar.deferred(1, 2), 1, 2) == ["2026-03-12T07:30", "2026-04-12T07:30"]

    def test_deferring_a_first_payment_never_brings_the_second_forward(self):
        # paid Mar 10, the weeks begin on Apr 1: 10 + 2 = 12; a week later, the 19th, nothing was agreed
        calendar = opened("2026-04-01T00:00", "WEEK", authorized_at="2026-03-10T07:30", immediate=True)
        assert dues(calendar.deferred(1, 2), 1, 3) == [
            "2026-03-12T07:30",
            "2026-04-01T00:00",
            "2026-04-08T00:00",
        ]


class TestRecoveryInHold:
    def test_the_next_cycle_is_one_interval_after_the_recovery(self):
        # Apr 20 18:30:05 + 1 month, + 2 months
        calendar = opened("2026-01-15T10:00").reanchored(4, at("2026-04-20T18:30:05"))
        assert dues(calendar, 4, 5) == ["2026-05-20T18:30:05", "2026-06-20T18:30:05"]

    def test_a_recovery_at_month_end_clamps_from_its_own_day(self):
        # Jan 31 -> Feb 28 -> Mar 31: the recovery is the anchor
        calendar = opened("2026-11-10T10:00").reanchored(3, at("2027-01-31T09:00"))
        assert dues(calendar, 3, 4) == ["2027-02-28T09:00", "2027-03-31T09:00"]

    def test_with_listed_days_the_next_listed_one_follows(self):
        # after Apr 24 17:00 (itself a last Friday) comes May 29; the time of day stays the anchor's
        calendar = opened("2026-01-01T17:00", on={"weekday_of_month": "last_friday"})
        assert dues(calendar.reanchored(5, at("2026-04-24T17:00")), 5, 6) == [
            "2026-05-29T17:00",
            "2026-06-26T17:00",
        ]
        assert dues(calendar.reanchored(5, at("2026-04-24T16:59")), 5, 5) == ["2026-04-24T17:00"]

    def test_the_date_is_that_of_the_anchors_offset(self):
        # recovered Feb 27 20:00Z = Feb 28 03:00 in Jakarta: next Mar 28 03:00 there = Mar 27 20:00Z
        calendar = opened("2026-01-31T02:00+07:00").reanchored(3, at("2026-02-27T20:00"))
        assert dues(calendar, 3, 4) == ["2026-03-27T20:00", "2026-04-27T20:00"]


class TestEnds:
    def test_the_end_is_inclusive(self):
        exactly = opened("2026-01-15T10:00", end_at="2026-03-15T10:00")
        assert [exactly.has_cycle(n) for n in (0, 1, 3, 4)] == [False, True, True, False]
        assert exactly.last_number() == 3
        short = opened("2026-01-15T10:00", end_at="2026-03-15T09:59:59")
        assert short.last_number() == 2
        assert not short.has_cycle(3)

    def test_total_cycles_counts_numbers_also_skipped_ones(self):
        calendar = opened("2026-01-15T10:00", total_cycles=3)
        assert (calendar.last_number(), calendar.has_cycle(3), calendar.has_cycle(4)) == (3, True, False)
        # a deferral moves instants, not the count
        assert calendar.deferred(2, 40).last_number() == 3

    def test_the_earlier_of_both_ends_holds(self):
        assert opened("2026-01-15T10:00", total_cycles=2, end_at="2027-01-01T00:00").last_number() == 2
        assert opened("2026-01-15T10:00", total_cycles=9, end_at="2026-03-01T00:00").last_number() == 2

    def test_no_end_has_no_last_number(self):
        assert opened("2026-01-15T10:00").last_number() is None

    def test_an_end_before_the_first_cycle_leaves_none(self):
        calendar = opened("2026-01-15T10:00", authorized_at="2026-05-01T00:00", end_at="2026-05-02T00:00")
        assert calendar.last_number() == 0
        assert not calendar.has_cycle(1)

    def test_a_recovery_in_hold_moves_the_end_of_the_calendar_too(self):
        # until Jun 1: number 4 was Apr 15, now May 20; number 5, Jun 20, is outside
        calendar = opened("2026-01-15T10:00", end_at="2026-06-01T00:00").reanchored(4, at("2026-04-20T10:00"))
        assert calendar.last_number() == 4

    def test_the_end_is_sought_among_instants_that_still_stand(self):
        # Mondays from Jan 5: 2 is Jan 12 + 30 = Feb 11; 3 is Feb 16 + 30 = Mar 18; the end lies between them
        listed = opened("2026-01-01T09:00", "WEEK", on={"weekdays": ["monday"]}, end_at="2026-02-20T00:00")
        deferred = listed.deferred(2, 30).deferred(3, 30)
        assert dues(deferred, 2, 3) == ["2026-02-11T09:00", "2026-03-18T09:00"]
        assert (deferred.has_cycle(2), deferred.has_cycle(3), deferred.last_number()) == (True, False, 2)

    def test_numbers_before_the_first_date_are_long_past(self):
        # re-anchored at number 4, 1,000 years apart: 1 to 3 would lie before year 1 or at least in the past
        calendar = opened("2026-01-15T10:00", "YEAR", 1000).reanchored(5, at("2026-03-01T10:00"))
        assert calendar.first_number_at_or_after(at("2026-03-01T10:00"), after_number=0) == 4

    def test_beyond_the_range_of_dates_the_calendar_has_simply_ended(self):
        calendar = opened("2026-01-15T10:00", "YEAR", 1500)  # 2026, 3526, 5026
        assert [calendar.has_cycle(n) for n in (1, 2, 3)] == [True, True, False]
        assert calendar.period(2) == (at("3526-01-15T10:00"), END_OF_DATES)
        assert calendar.first_number_at_or_after(at("2026-02-01T00:00"), after_number=2) == 3
        with pytest.raises(OverflowError):
            calendar.due(3)
        assert not opened("2026-01-15T10:00", "DAY", 1000).has_cycle(100_000_000_000)


class TestNumbers:
    def test_the_first_number_at_or_after_an_instant(self):
        calendar = opened("2026-01-15T10:00")
        april = at("2026-04-15T10:00")
        assert calendar.first_number_at_or_after(april, after_number=1) == 4
        assert calendar.first_number_at_or_after(april + timedelta(seconds=1), after_number=1) == 5
        assert calendar.first_number_at_or_after(april, after_number=6) == 7

    def test_a_period_runs_to_the_next_due_instant(self):
        assert opened("2027-01-31T09:00").period(2) == (at("2027-02-28T09:00"), at("2027-03-31T09:00"))
        only = opened("2027-01-31T09:00", total_cycles=1)
        assert only.period(1) == (at("2027-01-31T09:00"), at("2027-02-28T09:00"))

    def test_far_numbers_are_counted_not_walked(self):
        # 9,999 months = 833 years and 3 months after Jan 2026: Apr 2859
        assert dues(opened("2026-01-31T09:00"), 10_000, 10_000) == ["2859-04-30T09:00"]
        # [30, 31]: 12 months hold 7 months of 31 days (2 instants) + 5 short ones (1) = 19 a year, in any year;
        # 19 x 800 = 15,200 instants later it is Jan 30, 2826
        calendar = opened("2026-01-30T09:00", on={"days_of_month": [30, 31]})
        assert dues(calendar, 15_201, 15_202) == ["2826-01-30T09:00", "2826-01-31T09:00"]

    def test_a_far_instant_costs_a_few_dozen_looks(self):
        looks = []

        class Counting(Calendar):
            def due(self, number: int) -> datetime:
                looks.append(number)
                return super().due(number)

        calendar = Counting(anchor_at=at("2026-01-30T09:00"), interval=Interval.DAY)
        # 1,000 years of days: 365,242 or so of them, doubled into in 19 steps and halved back in as many
        number = calendar.first_number_at_or_after(at("3026-01-30T09:00"), after_number=1)
        assert calendar.due(number) == at("3026-01-30T09:00")
        assert calendar.due(number - 1) < at("3026-01-30T09:00")
        assert len(looks) < 60


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "on",
        [
            {},
            {"days_of_month": []},
            {"days_of_month": [0]},
            {"days_of_month": [32]},
            {"weekdays": []},
            {"weekdays": ["Monday"]},
            {"weekday_of_month": "fifth_monday"},
            {"weekday_of_month": "last"},
            {"days_of_month": [1], "weekdays": ["monday"]},
            {"day": 1},
        ],
    )
    def test_listed_days_that_mean_nothing(self, on):
        with pytest.raises(ValueError, match="validation error"):
            On.model_validate(on)

    @pytest.mark.parametrize(
        ("interval", "on"),
        [
            ("DAY", {"weekdays": ["monday"]}),
            ("MONTH", {"weekdays": ["monday"]}),
            ("YEAR", {"weekdays": ["monday"]}),
            ("DAY", {"days_of_month": [1]}),
            ("WEEK", {"days_of_month": [1]}),
            ("WEEK", {"weekday_of_month": "last_friday"}),
        ],
    )
    def test_listed_days_that_do_not_divide_the_interval(self, interval, on):
        with pytest.raises(ValueError, match="does not divide"):
            opened("2026-01-15T10:00", interval, on=on)

    def test_naive_instants(self):
        with pytest.raises(ValueError, match="timezone"):
            Calendar(anchor_at=datetime.fromisoformat("2026-01-15T10:00"), interval=Interval.DAY)

    def test_a_schedule_without_anything_to_anchor_it(self):
        with pytest.raises(ValueError, match="anchor_at"):
            opened(None, authorized_at="2026-01-15T10:00")

    def test_an_offset_that_json_would_cut(self):
        odd = timezone(timedelta(hours=7, minutes=7, seconds=12))
        with pytest.raises(ValueError, match="whole minutes"):
            Calendar(anchor_at=datetime(2026, 1, 15, tzinfo=odd), interval=Interval.DAY)
