"""Prorating, by hand and against exact fractions. SPEC 9, 12."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dunning.domain.prorate import day_of_period, half_even, prorated, prorated_at
from tests.domain.calendars import at

JAKARTA = timezone(timedelta(hours=7))


@pytest.mark.parametrize(
    ("amount", "period_days", "day", "expected"),
    [
        (100_000, 30, 15, 50_000),  # 100,000 x 15/30
        (1_000, 31, 22, 290),  # G1: 1,000 x 9/31 = 290.32 -> $2.90
        (1_000, 31, 1, 968),  # 1,000 x 30/31 = 967.74
        (1_000, 31, 31, 0),  # nothing is left on the last day
        (5, 2, 1, 2),  # 2.5 -> 2, the even one
        (15, 2, 1, 8),  # 7.5 -> 8, the even one
        (7, 2, 1, 4),  # 3.5 -> 4
        (1, 3, 1, 1),  # 0.67 -> 1
        (1, 3, 2, 0),  # 0.33 -> 0
        (0, 30, 1, 0),
        (1_000, 1, 1, 0),  # a period of one day has nothing left
        (9_007_199_254_740_993, 2, 1, 4_503_599_627_370_496),  # beyond what a float holds: ...496.5 -> even
    ],
)
def test_amounts_computed_by_hand(amount, period_days, day, expected):
    assert prorated(amount, period_days, day) == expected


@pytest.mark.parametrize(("amount", "days", "day"), [(-1, 30, 1), (1, 30, 0), (1, 30, 31), (1, 0, 0)])
def test_what_makes_no_sense_is_refused(amount, days, day):
    with pytest.raises(ValueError, match="must"):
        prorated(amount, days, day)


def test_g1_an_add_on_after_its_trial():
    # period Aug 1 to Sep 1, 31 days; Aug 22 is day 22: 9/31 of $10
    start, end, now = at("2026-08-01T00:00"), at("2026-09-01T00:00"), at("2026-08-22T10:00")
    assert day_of_period(start, end, now, UTC) == (31, 22)
    assert prorated_at(1_000, start, end, now, UTC) == 290


def test_days_are_those_of_the_calendars_offset():
    # Aug 21 18:00Z is Aug 22 01:00 in Jakarta; the period begins Aug 1 00:00 there = Jul 31 17:00Z
    start, end, now = at("2026-07-31T17:00"), at("2026-08-31T17:00"), at("2026-08-21T18:00")
    assert day_of_period(start, end, now, JAKARTA) == (31, 22)
    # a minute before midnight there it is still the 21st; in UTC it is day 22 of a period that begins on Jul 31
    before = at("2026-08-21T16:59")
    assert day_of_period(start, end, before, JAKARTA) == (31, 21)
    assert day_of_period(start, end, before, UTC) == (31, 22)


def test_the_last_hours_belong_to_the_last_day():
    # from the 1st 13:10 to the 31st 13:10 are 30 days; the 31st 09:00 is still the 30th day
    start, end = at("2026-03-01T13:10"), at("2026-03-31T13:10")
    assert day_of_period(start, end, at("2026-03-31T09:00"), UTC) == (30, 30)
    assert day_of_period(start, end, start, UTC) == (30, 1)


@pytest.mark.parametrize("now", ["2026-02-28T23:59:59", "2026-04-01T00:00"])
def test_an_instant_outside_the_period_is_refused(now):
    with pytest.raises(ValueError, match="must lie in the period"):
        day_of_period(at("2026-03-01T00:00"), at("2026-04-01T00:00"), at(now), UTC)


@given(st.integers(0, 10**15), st.integers(1, 800), st.data())
@settings(max_examples=1_000, deadline=None)
def test_it_is_the_exact_fraction_rounded_half_to_even(amount, period_days, data):
    day = data.draw(st.integers(1, period_days))
    part = prorated(amount, period_days, day)
    assert part == round(Fraction(amount * (period_days - day), period_days))  # round() of a fraction is half-even
    assert 0 <= part <= amount


@given(st.integers(0, 10**12), st.integers(1, 800))
@settings(deadline=None)
def test_it_never_grows_as_days_pass(amount, period_days):
    parts = [prorated(amount, period_days, day) for day in range(1, period_days + 1)]
    assert parts == sorted(parts, reverse=True)


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
@settings(max_examples=500, deadline=None)
def test_half_even_agrees_with_decimal_and_fractions(numerator, denominator):
    assert half_even(numerator, denominator) == round(Fraction(numerator, denominator))
    assert half_even(numerator, 2) == int((Decimal(numerator) / 2).to_integral_value(ROUND_HALF_EVEN))
