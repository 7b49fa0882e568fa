"""The calendar agrees with an independent library on thousands of random schedules. SPEC 5."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from dunning.domain.calendar import Calendar, Interval, On, open_calendar
from tests.domain.oracle import FORMS, Given, cycles, is_clamped, random_given

PER_FORM = 1_000
PER_CLAMPED_FORM = 500
CLAMPING = ("MONTH", "YEAR", "days_of_month")
CYCLES = 16


def opened(given: Given) -> Calendar:
    return open_calendar(
        anchor_at=given.anchor,
        interval=Interval(given.interval),
        interval_count=given.interval_count,
        on=None if given.on is None else On.model_validate(given.on),
        start_at=given.start_at,
        end_at=given.end_at,
        total_cycles=given.total_cycles,
        trial_ends_at=given.trial_ends_at,
        authorized_at=given.authorized_at,
        immediate=given.immediate,
    )


def disagreement(given: Given, expected: list[datetime]) -> str | None:
    calendar = opened(given)
    found = [calendar.due(n) for n in range(1, len(expected) + 1)]
    if found != expected:
        return f"{given}: {found} instead of {expected}"
    ends = len(expected) < CYCLES
    if ends and calendar.has_cycle(len(expected) + 1):
        return f"{given}: goes on after cycle {len(expected)}"
    if not all(calendar.has_cycle(n) for n in range(1, len(expected) + 1)):
        return f"{given}: ends before cycle {len(expected)}"
    last = calendar.last_number()
    if ends and last != len(expected):
        return f"{given}: the last number is {last}, not {len(expected)}"
    if last is not None and (calendar.has_cycle(last + 1) or (last > 0 and not calendar.has_cycle(last))):
        return f"{given}: {last} is not the last number"
    return None


@pytest.mark.parametrize("form", FORMS)
def test_a_thousand_random_calendars_of_each_form_agree_with_dateutil(form):
    rng = random.Random(f"calendar {form}")
    checked = clamped = ended = immediate = 0
    faults = []
    for _ in range(PER_FORM):
        given = random_given(form, rng)
        expected = cycles(given, CYCLES)
        fault = disagreement(given, expected)
        if fault is not None:
            faults.append(fault)
        checked += 1
        clamped += is_clamped(given, expected)
        ended += len(expected) < CYCLES
        immediate += given.immediate

    assert faults == [], f"{len(faults)} of {checked} differ, the first: {faults[0]}"
    assert checked == PER_FORM
    # the draw is no monoculture: ends, first payments and full calendars all occur often
    assert 150 <= ended <= PER_FORM - 150
    assert 200 <= immediate <= PER_FORM - 200
    assert clamped > 0 or form not in CLAMPING


@pytest.mark.parametrize("form", CLAMPING)
def test_five_hundred_calendars_with_a_clamped_instant_agree_with_dateutil(form):
    rng = random.Random(f"clamped {form}")
    clamped = drawn = 0
    while clamped < PER_CLAMPED_FORM:
        given = random_given(form, rng)
        expected = cycles(given, CYCLES)
        drawn += 1
        if not is_clamped(given, expected):
            continue
        clamped += 1
        assert disagreement(given, expected) is None
    assert clamped == PER_CLAMPED_FORM
    assert drawn <= 8 * PER_CLAMPED_FORM


@pytest.mark.parametrize("form", FORMS)
def test_skipping_ahead_finds_the_number_that_walking_finds(form):
    rng = random.Random(f"skipping {form}")
    checked = 0
    while checked < 200:
        given = random_given(form, rng)
        dues = cycles(given, 40)
        if len(dues) < 40:
            continue
        calendar = opened(given)
        after = rng.randint(0, 30)
        instant = rng.choice(dues[:39])
        expected = next(n for n in range(after + 1, 41) if dues[n - 1] >= instant)
        assert calendar.first_number_at_or_after(instant, after_number=after) == expected, given
        checked += 1
    assert checked == 200


def test_the_oracle_notices_a_calendar_that_drifts():
    # a guard against an oracle that agrees with everything: one that counts from the due instant before
    given = Given(
        anchor=datetime(2027, 1, 31, 9, tzinfo=UTC),
        interval="MONTH",
        interval_count=1,
        on=None,
        authorized_at=datetime(2027, 1, 31, 9, tzinfo=UTC),
    )
    drifted = [datetime(2027, 1, 31, 9, tzinfo=UTC), datetime(2027, 2, 28, 9, tzinfo=UTC)]
    drifted.append(datetime(2027, 3, 28, 9, tzinfo=UTC))
    assert disagreement(given, drifted) is not None
    assert disagreement(given, cycles(given, CYCLES)) is None
