"""Named calendars whose instants were computed by hand; the sums stand beside them. SPEC 5."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from dunning.domain.calendar import WEEKDAYS_OF_MONTH, Calendar, On
from tests.domain.calendars import dues, opened

GOLDEN = {
    # 31 Jan; Feb 2027 has 28 days, April 30: each clamped from the 31st, not from the one before
    "month end": (
        opened("2027-01-31T09:00"),
        ["2027-01-31T09:00", "2027-02-28T09:00", "2027-03-31T09:00", "2027-04-30T09:00", "2027-05-31T09:00"],
    ),
    # 2024 and 2028 are leap years; between them Feb 29 becomes Feb 28 and comes back
    "Feb 29 yearly": (
        opened("2024-02-29T12:00", "YEAR"),
        ["2024-02-29T12:00", "2025-02-28T12:00", "2026-02-28T12:00", "2027-02-28T12:00", "2028-02-29T12:00"],
    ),
    # 5 + 7 = 12, 19, 26, 33 - 31 = Apr 2
    "weekly": (
        opened("2026-03-05T13:10", "WEEK"),
        ["2026-03-05T13:10", "2026-03-12T13:10", "2026-03-19T13:10", "2026-03-26T13:10", "2026-04-02T13:10"],
    ),
    # 25 + 10 = 35 - 28 = Mar 7, 17, 27, 37 - 31 = Apr 6
    "every ten days over a short February": (
        opened("2026-02-25T23:59:50", "DAY", 10),
        [
            "2026-02-25T23:59:50",
            "2026-03-07T23:59:50",
            "2026-03-17T23:59:50",
            "2026-03-27T23:59:50",
            "2026-04-06T23:59:50",
        ],
    ),
    # the anchor's month has the 1st before the anchor (10th): phase only, so the 15th comes first
    "1st and 15th": (
        opened("2026-03-10T08:00", on={"days_of_month": [15, 1]}),
        ["2026-03-15T08:00", "2026-04-01T08:00", "2026-04-15T08:00", "2026-05-01T08:00", "2026-05-15T08:00"],
    ),
    # Aug 31 + 3 months = Nov 30 (30 days), Feb 28, May 31, Aug 31
    "quarterly, clamped": (
        opened("2026-08-31T10:00", count=3),
        ["2026-08-31T10:00", "2026-11-30T10:00", "2027-02-28T10:00", "2027-05-31T10:00", "2027-08-31T10:00"],
    ),
    # Jan 1 2026 is a Thursday: Fridays 2 9 16 23 30; Feb 27; Mar 27; Apr 24 (May 1 is the next); May 29
    "last Friday": (
        opened("2026-01-01T17:00", on={"weekday_of_month": "last_friday"}),
        ["2026-01-30T17:00", "2026-02-27T17:00", "2026-03-27T17:00", "2026-04-24T17:00", "2026-05-29T17:00"],
    ),
    # Mondays of 2026: Jan 5, Mar 2 (Feb 23 + 7), May 4, Jul 6, Sep 7; every second month from January
    "first Monday of every second month": (
        opened("2026-01-01T00:30", count=2, on={"weekday_of_month": "first_monday"}),
        ["2026-01-05T00:30", "2026-03-02T00:30", "2026-05-04T00:30", "2026-07-06T00:30", "2026-09-07T00:30"],
    ),
    # the 31st at 02:00 in Jakarta is the 30th 19:00Z; Feb 28 02:00 there is Feb 27 19:00Z; Apr 30 -> Apr 29
    "the 31st is the 31st in Jakarta": (
        opened("2026-01-31T02:00+07:00"),
        ["2026-01-30T19:00", "2026-02-27T19:00", "2026-03-30T19:00", "2026-04-29T19:00", "2026-05-30T19:00"],
    ),
    # the same first instant counted in UTC: the 30th, so February clamps to the 28th and April keeps the 30th
    "the same instant anchored in UTC": (
        opened("2026-01-30T19:00"),
        ["2026-01-30T19:00", "2026-02-28T19:00", "2026-03-30T19:00", "2026-04-30T19:00", "2026-05-30T19:00"],
    ),
    # 08:10 -05:00 is 13:10Z and stays so after New York's change on Mar 8
    "daylight saving moves nothing": (
        opened(datetime(2026, 3, 5, 8, 10, tzinfo=ZoneInfo("America/New_York"))),
        ["2026-03-05T13:10", "2026-04-05T13:10", "2026-05-05T13:10", "2026-06-05T13:10", "2026-07-05T13:10"],
    ),
    # Wed Mar 4 lies in the week of Mon Mar 2: Mar 2 is before the anchor; Thu Mar 5; two weeks on Mon 16, Thu 19
    "Monday and Thursday of every second week": (
        opened("2026-03-04T06:00", "WEEK", 2, on={"weekdays": ["thursday", "monday"]}),
        ["2026-03-05T06:00", "2026-03-16T06:00", "2026-03-19T06:00", "2026-03-30T06:00", "2026-04-02T06:00"],
    ),
    # both clamp to Feb 28: one instant there, not two
    "28th and 31st count once in February": (
        opened("2026-01-28T09:00", on={"days_of_month": [28, 31]}),
        ["2026-01-28T09:00", "2026-01-31T09:00", "2026-02-28T09:00", "2026-03-28T09:00", "2026-03-31T09:00"],
    ),
    # Feb 28 is all that is left of 30 and 31; April has 30 once
    "30th and 31st count once in short months": (
        opened("2026-01-31T09:00", on={"days_of_month": [30, 31]}),
        ["2026-01-31T09:00", "2026-02-28T09:00", "2026-03-30T09:00", "2026-03-31T09:00", "2026-04-30T09:00"],
    ),
    # in the anchor's month, February: 29 in 2028, 28 else
    "yearly on the 31st of February": (
        opened("2026-02-10T09:00", "YEAR", on={"days_of_month": [31]}),
        ["2026-02-28T09:00", "2027-02-28T09:00", "2028-02-29T09:00", "2029-02-28T09:00", "2030-02-28T09:00"],
    ),
    # authorised Mar 10: Jan 1, Feb 1, Mar 1 give the phase; billed at once, then on the 1st
    "full amount at the authorisation": (
        opened("2026-01-01T00:00", authorized_at="2026-03-10T07:30:15", immediate=True),
        ["2026-03-10T07:30:15", "2026-04-01T00:00", "2026-05-01T00:00", "2026-06-01T00:00", "2026-07-01T00:00"],
    ),
    # authorised at the anchor itself: the anchor is cycle 1, not 1 and 2
    "full amount where the anchor is the authorisation": (
        opened("2026-03-10T07:30:15", immediate=True),
        [
            "2026-03-10T07:30:15",
            "2026-04-10T07:30:15",
            "2026-05-10T07:30:15",
            "2026-06-10T07:30:15",
            "2026-07-10T07:30:15",
        ],
    ),
    # no anchor: the trial's end, Mar 19, is it
    "a trial's end is the anchor": (
        opened(None, trial_ends_at="2026-03-19T08:00", authorized_at="2026-03-05T13:10"),
        ["2026-03-19T08:00", "2026-04-19T08:00", "2026-05-19T08:00", "2026-06-19T08:00", "2026-07-19T08:00"],
    ),
    # the 1st is asked for: the first one at or after the trial's end is Apr 1
    "an anchor beside a trial": (
        opened("2026-01-01T00:00", trial_ends_at="2026-03-19T08:00", authorized_at="2026-03-05T13:10"),
        ["2026-04-01T00:00", "2026-05-01T00:00", "2026-06-01T00:00", "2026-07-01T00:00", "2026-08-01T00:00"],
    ),
    # nothing is taken within the trial, also not "at the authorisation"
    "full amount after a trial": (
        opened(
            None,
            trial_ends_at="2026-03-19T08:00",
            authorized_at="2026-03-05T13:10",
            immediate=True,
        ),
        ["2026-03-19T08:00", "2026-04-19T08:00", "2026-05-19T08:00", "2026-06-19T08:00", "2026-07-19T08:00"],
    ),
    # the instant of the authorisation itself is "at or after"
    "authorised exactly at a calendar instant": (
        opened("2026-01-05T13:10", authorized_at="2026-03-05T13:10"),
        ["2026-03-05T13:10", "2026-04-05T13:10", "2026-05-05T13:10", "2026-06-05T13:10", "2026-07-05T13:10"],
    ),
    "authorised one second after a calendar instant": (
        opened("2026-01-05T13:10", authorized_at="2026-03-05T13:10:01"),
        ["2026-04-05T13:10", "2026-05-05T13:10", "2026-06-05T13:10", "2026-07-05T13:10", "2026-08-05T13:10"],
    ),
    # start_at is later than the authorisation: Apr 5 is before Apr 6
    "a later start": (
        opened("2026-01-05T13:10", authorized_at="2026-03-01T00:00", start_at="2026-04-06T00:00"),
        ["2026-05-05T13:10", "2026-06-05T13:10", "2026-07-05T13:10", "2026-08-05T13:10", "2026-09-05T13:10"],
    ),
    # nothing is billed before the anchor, though weeks would fit between
    "an anchor three weeks after the authorisation": (
        opened("2026-03-26T13:10", "WEEK", authorized_at="2026-03-05T13:10"),
        ["2026-03-26T13:10", "2026-04-02T13:10", "2026-04-09T13:10", "2026-04-16T13:10", "2026-04-23T13:10"],
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_instants_computed_by_hand(name):
    calendar, expected = GOLDEN[name]
    assert dues(calendar) == expected


def test_at_least_twelve_cases_were_computed_by_hand():
    assert len(GOLDEN) >= 12


def test_every_ordinal_with_every_weekday_is_known():
    assert len(WEEKDAYS_OF_MONTH) == 35
    assert all(On(weekday_of_month=name).form == "weekday_of_month" for name in WEEKDAYS_OF_MONTH)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_calendar_survives_json_with_its_offset(name):
    calendar, expected = GOLDEN[name]
    deferred = calendar.deferred(2, 3)
    for one in (calendar, deferred):
        read = Calendar.model_validate_json(one.model_dump_json())
        assert read == one
        assert read.anchor_at.utcoffset() == one.anchor_at.utcoffset()
        assert dues(read) == dues(one)
    assert dues(Calendar.model_validate_json(calendar.model_dump_json())) == expected


def test_no_cycle_is_due_before_everything_allows_it():
    for calendar, _ in GOLDEN.values():
        assert calendar.not_before is not None
        assert calendar.due(1) >= calendar.not_before
