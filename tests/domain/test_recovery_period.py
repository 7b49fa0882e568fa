"""The recovery period of a purchase with add-ons: both outcomes of the guide by hand, and what never may happen."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dunning.domain.recovery_period import HeldItem, Phase, choose, declined, not_recovered, recovered
from tests.domain.calendars import at

D = at("2026-08-22T00:00")


def item(name="a", grace=0, hold=30, until=D, to=None, **given_too):
    until = at(until) if isinstance(until, str) else until
    to = at(to) if isinstance(to, str) else to or until + timedelta(days=30)
    given_too = {"grace_days": grace, "hold_days": hold, "paid_until": until, "renews_to": to, **given_too}
    return HeldItem(product_id=name, **given_too)


def g1():
    """The base renews on the 1st; the add-on's trial ends on Aug 22, then it is charged up to Aug 31."""
    base = item("base", until="2026-09-01T00:00", to="2026-10-01T00:00")
    return declined([base, item("addon", until=D, to="2026-09-01T00:00")], D)


def test_g1_the_hold_begins_at_the_decline_and_suspends_the_base_item_too():
    decline = g1()
    assert decline.phase(D) is Phase.HOLD
    assert (decline.grace_until, decline.hold_until) == (D, at("2026-09-21T00:00"))
    for moment in ("2026-08-22T00:00", "2026-08-25T00:00", "2026-09-20T23:59"):
        assert [decline.has_access(one, at(moment)) for one in decline.items] == [False, False]


def test_g1_recovered_on_aug_25_both_items_are_back_and_the_next_billing_is_sep_4():
    base, addon = recovered(g1(), at("2026-08-25T00:00"))
    assert base.until == addon.until == at("2026-09-04T00:00")
    assert (base.charged_at, addon.charged_at) == (None, at("2026-08-25T00:00"))


def test_g1_not_recovered_it_is_canceled_on_sep_21_and_the_base_runs_through_sep_30():
    decline = g1()
    assert decline.phase(at("2026-09-21T00:00")) is Phase.OVER
    base, addon = not_recovered(decline)
    assert base.until == at("2026-10-01T00:00")  # Sep 30 is its last day
    assert addon.until is None


def test_g1_canceled_during_the_hold_the_base_gets_its_unused_time_back():
    base, addon = not_recovered(g1(), at("2026-09-05T00:00"))  # 14 days stood still
    assert (base.until, addon.until) == (at("2026-09-15T00:00"), None)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param([item("a", 7, 30), item("b", 3, 40), item("c", 3, 45)], (3, 45, ("c",)), id="tie-longest-hold"),
        pytest.param([item("a", 7, 30), item("b", 0, 60, is_new=True)], (7, 30, ("a",)), id="new-has-no-say"),
        pytest.param([item("a", 7, 30), item("b", 0, 60, is_removed=True)], (7, 30, ("a",)), id="removed-has-no-say"),
        pytest.param([item("a", 7, 30), item("b", 0, 60, until="2026-08-21T00:00")], (7, 30, ("a",)), id="expired"),
        pytest.param([item("a", 7, 30), item("b", 2, 28, until="2026-09-05T00:00")], (2, 28, ("b",)), id="not-due"),
        pytest.param([item("a", 3, 30), item("b", 3, 30)], (3, 30, ("a", "b")), id="equal"),
    ],
)
def test_the_minimum_grace_among_active_items_and_of_several_the_longest_hold(items, expected):
    found = choose(items, D)
    assert found is not None
    assert (found.grace_days, found.hold_days, found.product_ids) == expected


def test_without_an_active_item_there_is_nothing_to_recover():
    assert choose([item(is_new=True), item("b", is_removed=True)], D) is None
    assert declined([item(is_new=True)], D) is None


def test_an_item_that_renews_during_grace_keeps_access_and_is_charged_only_after_the_recovery():
    other = item("b", 7, 30, until="2026-08-24T00:00", to="2026-09-24T00:00")
    decline = declined([item("a", 7, 30, to="2026-09-22T00:00"), other], D)
    assert decline is not None
    assert decline.has_access(other, at("2026-08-26T00:00"))
    a, b = recovered(decline, at("2026-08-26T00:00"))
    assert (a.until, b.until) == (at("2026-09-22T00:00"), at("2026-09-24T00:00"))  # the calendar is unchanged
    assert b.charged_at == at("2026-08-26T00:00")


def test_an_item_whose_renewal_lies_after_the_recovery_is_not_charged_by_it():
    other = item("b", 7, 30, until="2026-08-27T00:00")
    decline = declined([item("a", 7, 30), other], D)
    assert decline is not None
    _, b = recovered(decline, at("2026-08-26T00:00"))
    assert (b.charged_at, b.until) == (None, at("2026-08-27T00:00"))


def test_a_new_item_is_not_entitled_in_grace_and_is_at_the_recovery():
    new = item("b", 0, 60, is_new=True, to="2026-09-22T00:00")
    decline = declined([item("a", 7, 30), new], D)
    assert decline is not None
    assert [decline.has_access(one, D) for one in decline.items] == [True, False]
    # its 31 days begin when they are paid: not one of them passes without access
    assert recovered(decline, at("2026-08-23T00:00"))[1].until == at("2026-09-23T00:00")


def test_a_recovery_lies_between_the_decline_and_the_end_of_the_hold():
    for moment in ("2026-08-21T23:59", "2026-09-21T00:00"):
        with pytest.raises(ValueError, match="recovery lies"):
            recovered(g1(), at(moment))
    with pytest.raises(ValueError, match="nothing was declined"):
        not_recovered(g1(), at("2026-08-21T00:00"))


@st.composite
def purchases(draw):
    items = []
    for index in range(draw(st.integers(1, 6))):
        grace = draw(st.integers(0, 30))
        until = D + timedelta(hours=draw(st.integers(0, 24 * 40) | st.just(0)))
        to = until + timedelta(hours=draw(st.integers(1, 24 * 60)))
        is_new = draw(st.booleans()) if index else False
        until = D if is_new else until
        items.append(
            item(f"i{index}", grace, draw(st.integers(max(0, 30 - grace), 60 - grace)), until, to, is_new=is_new)
        )
    return declined(draw(st.permutations(items)), D)


def had(decline, one, until):
    """Access during grace, up to an instant."""
    return max(min(until, decline.grace_until) - D, timedelta(0)) if decline.has_access(one, D) else timedelta(0)


@given(purchases(), st.floats(0, 0.999))
@settings(max_examples=400, deadline=None)
def test_a_recovery_never_gives_shorter_access_than_paid_for(decline, share):
    moment = D + (decline.hold_until - D) * share
    for one, future in zip(decline.items, recovered(decline, moment), strict=True):
        is_charged = future.charged_at is not None
        paid = (one.paid_until - D) + ((one.renews_to - one.paid_until) if is_charged else timedelta(0))
        assert had(decline, one, moment) + (future.until - moment if future.until else timedelta(0)) >= paid


@given(purchases(), st.floats(0, 1))
@settings(max_examples=400, deadline=None)
def test_an_unpaid_end_gives_back_all_time_that_was_paid_and_none_that_was_not(decline, share):
    moment = D + (decline.hold_until - D) * share
    for one, future in zip(decline.items, not_recovered(decline, moment), strict=True):
        left = future.until - moment if future.until else timedelta(0)
        assert had(decline, one, moment) + left >= one.paid_until - D
        assert future.until is None or one.paid_until > D


@given(purchases())
@settings(max_examples=400, deadline=None)
def test_new_items_are_never_chosen_and_the_choice_is_of_one_item(decline):
    eligible = [one for one in decline.items if not one.is_new]
    assert set(decline.chosen.product_ids) <= {one.product_id for one in eligible}
    lengths = {(one.grace_days, one.hold_days) for one in eligible if one.product_id in decline.chosen.product_ids}
    assert lengths == {(decline.chosen.grace_days, decline.chosen.hold_days)}
    assert all(one.grace_days >= decline.chosen.grace_days for one in eligible)
