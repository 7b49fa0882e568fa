"""Price changes of Play subscribers, by the dated cases of the guide (GP1-GP8)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from dunning.domain.play_prices import (
    Migration,
    PriceChangeState,
    at_renewal,
    authorized_from,
    charge_on,
    confirm,
    is_frozen,
    is_migrated,
    proposed,
    register,
    told_together,
)
from tests.domain.calendars import at


def day(text):
    return date.fromisoformat(f"2026-{text}")


def monthly(first, count=9):
    start = day(first)
    return [
        date(start.year + (start.month - 1 + n) // 12, (start.month - 1 + n) % 12 + 1, start.day) for n in range(count)
    ]


def rise(start="03-03", old=100, new=200, product="a", **given):
    return Migration(product_id=product, old_amount=old, new_amount=new, started_on=day(start), **given)


@pytest.mark.parametrize(
    ("renewals", "first", "notices"),
    [
        pytest.param(monthly("03-05"), "05-05", "04-05", id="monthly-on-the-5th"),
        pytest.param(monthly("03-29"), "04-29", "03-30", id="monthly-on-the-29th"),
        pytest.param([day("03-05"), day("06-05")], "06-05", "05-06", id="quarterly-next-on-mar-5"),
        pytest.param([day("04-11"), day("07-11")], "04-11", "03-12", id="quarterly-next-on-apr-11"),
        pytest.param([day("03-06") + timedelta(days=7 * n) for n in range(9)], "04-10", "03-11", id="weekly"),
    ],
)
def test_an_opt_in_increase_is_charged_at_the_first_renewal_after_37_days(renewals, first, notices):
    assert rise().effective_on == day("04-09")
    change = proposed(rise(), renewals)
    assert (change.charge_on, change.notices_from) == (day(first), day(notices))
    assert change.state is PriceChangeState.OUTSTANDING


def test_a_second_increase_takes_the_place_of_the_first_and_alone_is_told():
    renewals = monthly("03-05")
    first = register(proposed(rise(), renewals), ())
    second = rise("03-10", 200, 300)
    assert second.effective_on == day("04-16")
    changes = register(proposed(second, renewals), first)
    assert [one.state for one in changes] == [PriceChangeState.CANCELED, PriceChangeState.OUTSTANDING]
    (told,) = told_together(changes)
    assert (told[0], [one.new_amount for one in told[1]]) == (day("05-05"), [300])
    assert told[1][0].notices_from == day("04-05")


def test_with_instalments_the_price_changes_at_the_end_of_the_commitment():
    change = proposed(rise(), monthly("03-10"), commitment_ends_on=day("06-10"))
    assert (change.charge_on, change.notices_from) == (day("06-10"), day("05-11"))


def test_an_opt_out_increase_needs_no_consent_and_has_the_notice_of_its_country():
    thirty = rise("01-02", 100, 130, is_opt_out=True)
    change = proposed(thirty, monthly("01-14"))
    assert (thirty.effective_on, change.charge_on, change.notices_from) == (day("02-01"), day("02-14"), day("01-15"))
    assert change.state is PriceChangeState.CONFIRMED
    assert rise("01-02", 100, 130, is_opt_out=True, notice_days=60).effective_on == day("03-03")


def test_a_decrease_needs_no_consent_and_comes_at_the_next_payment():
    change = proposed(rise("03-03", 200, 100), monthly("03-05"))
    assert (change.state, change.charge_on) == (PriceChangeState.CONFIRMED, day("03-05"))
    assert at_renewal([change], day("03-05")).applied == (change,)
    # authorised before the decrease was known: this renewal costs what it did
    assert at_renewal([change], day("03-05"), is_authorized_before=True).applied == ()


def test_an_authorisation_is_placed_up_to_two_days_before_and_up_to_five_in_india_and_brazil():
    renews = at("2026-03-05T00:00")
    assert authorized_from(renews, "DE") == at("2026-03-03T00:00")
    assert authorized_from(renews, "IN") == authorized_from(renews, "BR") == at("2026-02-28T00:00")


@pytest.fixture
def item_a():
    """A rises from $7 to $10, expected on Jul 7; the purchase renews on the 7th."""
    change = proposed(rise("05-20", 700, 1_000, "A"), monthly("06-07"))
    assert change.charge_on == day("07-07")
    return change


@pytest.fixture
def item_b():
    """B rises from $5 to $6; started on Jun 2, so it is earliest on Aug 7."""
    migration = rise("06-02", 500, 600, "B")
    assert migration.effective_on == day("07-09")
    return proposed(migration, monthly("06-07"))


def test_while_a_is_unconfirmed_b_is_not_registered(item_a, item_b):
    assert item_b.charge_on == day("08-07")
    assert register(item_b, [item_a]) == (item_a,)


def test_once_a_is_confirmed_b_is_registered_for_aug_7_and_waits_for_its_own_consent(item_a, item_b):
    a, b = register(item_b, confirm([item_a]))
    assert a.state is PriceChangeState.CONFIRMED
    assert (b.state, b.charge_on, b.notices_from) == (PriceChangeState.OUTSTANDING, day("08-07"), day("07-08"))


def test_an_increase_at_the_same_renewal_is_registered_beside_an_unconfirmed_one(item_a):
    same = proposed(rise("05-25", 500, 600, "B"), monthly("06-07"))
    assert [one.product_id for one in register(same, [item_a])] == ["A", "B"]


def test_the_customer_confirms_all_unconfirmed_increases_at_once(item_a):
    changes = register(proposed(rise("05-25", 500, 600, "B"), monthly("06-07")), [item_a])
    assert {one.state for one in confirm(changes)} == {PriceChangeState.CONFIRMED}


def test_a_decrease_of_another_item_is_registered_whatever_is_unconfirmed(item_a):
    down = proposed(rise("06-02", 600, 500, "B"), monthly("06-07"))
    assert register(down, [item_a]) == (item_a, down)


def test_one_message_lists_all_items_of_a_day(item_a):
    down = proposed(rise("06-10", 600, 500, "B"), monthly("07-07"))
    (told,) = told_together([item_a, down])
    assert (told[0], [one.product_id for one in told[1]]) == (day("07-07"), ["A", "B"])


def test_without_consent_the_purchase_is_canceled_at_the_renewal(item_a):
    before = at_renewal([item_a], day("06-07"))
    assert (before.is_canceled, before.changes) == (False, (item_a,))
    lapsed = at_renewal([item_a], day("07-07"))
    assert lapsed.is_canceled
    assert lapsed.changes[0].state is PriceChangeState.CANCELED


def test_a_confirmed_increase_is_applied_at_its_renewal_and_not_before(item_a):
    (change,) = confirm([item_a])
    assert at_renewal([change], day("06-07")).applied == ()
    done = at_renewal([change], day("07-07"))
    assert (done.applied, done.changes[0].state) == ((change,), PriceChangeState.APPLIED)


def test_cohorts_older_than_the_given_instant_are_moved_and_newer_ones_are_not():
    limit = at("2026-03-01T00:00")
    assert is_migrated(at("2026-02-28T23:59"), limit)
    assert not is_migrated(limit, limit)


def test_taken_back_within_seven_days_an_increase_was_never_noticed():
    assert is_frozen(rise(), day("03-09"))
    assert not is_frozen(rise(), day("03-10"))
    assert not is_frozen(rise(is_opt_out=True), day("03-04"))


def test_a_list_of_renewals_that_ends_too_early_is_refused():
    with pytest.raises(ValueError, match="none on or after 2026-04-09"):
        charge_on(rise(), [day("04-08")])
