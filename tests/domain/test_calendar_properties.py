"""What holds for every calendar, whatever its numbers. SPEC 5."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from dunning.domain.calendar import WEEKDAYS_OF_MONTH, Calendar, Interval, On, Weekday, open_calendar

OFFSETS = st.integers(-12 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))
ANCHORS = st.datetimes(datetime.fromisoformat("1990-01-01"), datetime.fromisoformat("2090-12-31"), timezones=OFFSETS)
PLAIN = st.tuples(st.sampled_from(Interval), st.none())
MONTHLY = st.sampled_from([Interval.MONTH, Interval.YEAR])
DAYS = st.lists(st.integers(1, 31), min_size=1, max_size=6).map(lambda d: On(days_of_month=tuple(d)))
WEEKDAYS = st.lists(st.sampled_from(Weekday), min_size=1).map(lambda d: On(weekdays=tuple(d)))
WEEKDAY_OF_MONTH = st.sampled_from(WEEKDAYS_OF_MONTH).map(lambda name: On(weekday_of_month=name))
LISTED = st.one_of(
    st.tuples(MONTHLY, DAYS),
    st.tuples(st.just(Interval.WEEK), WEEKDAYS),
    st.tuples(MONTHLY, WEEKDAY_OF_MONTH),
)
LATER = st.timedeltas(timedelta(days=-400), timedelta(days=4000))


@st.composite
def calendars(draw: st.DrawFn, forms: st.SearchStrategy[tuple[Interval, On | None]]) -> Calendar:
    interval, on = draw(forms)
    anchor = draw(ANCHORS)
    return open_calendar(
        anchor_at=anchor,
        interval=interval,
        interval_count=draw(st.integers(1, 2 if interval is Interval.YEAR else 24)),  # within the range of dates
        on=on,
        start_at=draw(st.none() | LATER.map(lambda d: anchor + d)),
        end_at=None,
        total_cycles=None,
        trial_ends_at=draw(st.none() | LATER.map(lambda d: anchor + d)),
        authorized_at=anchor + draw(LATER),
        immediate=draw(st.booleans()),
    )


ANY = calendars(PLAIN | LISTED)
NUMBERS = st.integers(1, 400)


def is_instant_of(calendar: Calendar, instant: datetime) -> bool:
    return calendar.due(calendar.first_number_at_or_after(instant, after_number=0)) == instant


def is_formula(calendar: Calendar, number: int) -> bool:
    return number > 1 or calendar.immediate_at is None


@given(ANY, NUMBERS)
@settings(max_examples=500, deadline=None)
def test_due_instants_strictly_increase(calendar, number):
    assert calendar.due(number) < calendar.due(number + 1)


@given(ANY, NUMBERS)
@settings(max_examples=500, deadline=None)
def test_the_anchors_time_of_day_is_kept_in_its_own_offset(calendar, number):
    assume(is_formula(calendar, number))
    due = calendar.due(number)
    assert due.tzinfo is UTC
    assert due.astimezone(calendar.anchor_at.tzinfo).timetz() == calendar.anchor_at.timetz()


@given(ANY, NUMBERS)
@settings(max_examples=500, deadline=None)
def test_nothing_is_billed_before_authorisation_start_trial_or_anchor(calendar, number):
    due = calendar.due(number)
    assert calendar.not_before is not None
    assert due >= calendar.not_before
    assert due >= calendar.anchor_at or not is_formula(calendar, number)


@given(calendars(PLAIN), st.integers(2, 400))
@settings(max_examples=500, deadline=None)
def test_plain_instants_never_drift(calendar, number):
    """Over any number of cycles the distance is exactly that many intervals, or clamped to the month's end."""
    first, later = (calendar.due(n).astimezone(calendar.anchor_at.tzinfo) for n in (2, number))
    steps = (number - 2) * calendar.interval_count
    if calendar.interval in (Interval.DAY, Interval.WEEK):
        days = steps * (7 if calendar.interval is Interval.WEEK else 1)
        assert later - first == timedelta(days=days)
        return
    months = steps * (12 if calendar.interval is Interval.YEAR else 1)
    assert (later.year * 12 + later.month) - (first.year * 12 + first.month) == months
    is_last_of_month = (later + timedelta(days=1)).day == 1
    assert later.day == calendar.anchor_at.day or (later.day < calendar.anchor_at.day and is_last_of_month)


@given(calendars(LISTED), st.integers(2, 400))
@settings(max_examples=500, deadline=None)
def test_listed_instants_are_on_listed_days(calendar, number):
    local = calendar.due(number).astimezone(calendar.anchor_at.tzinfo)
    on = calendar.on
    assert on is not None
    event(on.form)
    is_last_of_month = (local + timedelta(days=1)).day == 1
    if on.days_of_month is not None:
        assert local.day in on.days_of_month or (is_last_of_month and max(on.days_of_month) > local.day)
    elif on.weekdays is not None:
        assert list(Weekday)[local.weekday()] in on.weekdays
    elif on.weekday_of_month is not None:
        ordinal, name = on.weekday_of_month.split("_")
        assert list(Weekday)[local.weekday()] == name
        if ordinal == "last":
            assert (local + timedelta(days=7)).month != local.month
        else:
            assert (local.day - 1) // 7 == ["first", "second", "third", "fourth"].index(ordinal)


@given(ANY, NUMBERS, st.integers(1, 365))
@settings(max_examples=500, deadline=None)
def test_a_deferral_moves_its_instant_exactly_and_keeps_the_order(calendar, number, days):
    moved = calendar.deferred(number, days)
    assert moved.due(number) == calendar.due(number) + timedelta(days=days)
    dues = [moved.due(n) for n in range(number, number + 5)]
    assert dues == sorted(set(dues))
    # nobody is charged sooner than without the deferral; after a first payment the phase may be another one
    compared = 5 if is_formula(calendar, number) else 2
    assert all(moved.due(n) >= calendar.due(n) for n in range(number, number + compared))


@given(calendars(LISTED), NUMBERS, st.integers(1, 365))
@settings(max_examples=300, deadline=None)
def test_after_a_deferral_listed_calendars_stay_on_their_own_days(calendar, number, days):
    moved = calendar.deferred(number, days)
    assert all(is_instant_of(calendar, moved.due(n)) for n in range(number + 1, number + 5))


@given(ANY, st.integers(2, 400), st.timedeltas(timedelta(0), timedelta(days=90)))
@settings(max_examples=500, deadline=None)
def test_after_a_recovery_in_hold_the_next_cycle_is_later_than_the_recovery(calendar, number, later):
    recovered = calendar.due(number - 1) + later
    again = calendar.reanchored(number, recovered)
    assert recovered < again.due(number) < again.due(number + 1)
    if calendar.on is None:
        assert again.anchor_at == recovered
    else:
        assert is_instant_of(calendar, again.due(number))


@given(ANY, st.integers(0, 60), st.integers(1, 60), st.integers(-1, 1))
@settings(max_examples=500, deadline=None)
def test_skipping_to_an_instant_finds_the_very_first_number(calendar, after, ahead, nudge):
    instant = calendar.due(after + ahead) + timedelta(microseconds=nudge)
    number = calendar.first_number_at_or_after(instant, after_number=after)
    assert number > after
    assert calendar.due(number) >= instant
    assert number == after + 1 or calendar.due(number - 1) < instant


@given(ANY, st.integers(1, 60), st.none() | st.integers(1, 60))
@settings(max_examples=300, deadline=None)
def test_the_last_number_is_the_last_that_exists(calendar, ends_with, total):
    ended = calendar.but(end_at=calendar.due(ends_with), total_cycles=total)
    last = ended.last_number()
    assert last == min(ends_with, total or ends_with)
    assert ended.has_cycle(last)
    assert not ended.has_cycle(last + 1)


@given(ANY)
@settings(max_examples=300, deadline=None)
def test_json_keeps_the_calendar_and_its_offset(calendar):
    read = Calendar.model_validate_json(calendar.model_dump_json())
    assert read == calendar
    assert read.anchor_at.utcoffset() == calendar.anchor_at.utcoffset()
    assert [read.due(n) for n in range(1, 9)] == [calendar.due(n) for n in range(1, 9)]
