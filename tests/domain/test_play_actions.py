"""What Google Play can be asked for, and every refusal of the guide before anything is asked."""

from __future__ import annotations

import pytest

from dunning.domain.play_actions import (
    PlayState,
    ReadItem,
    ReadOrder,
    ReadPurchase,
    access_until,
    acknowledge_by,
    after_cancel,
    deep_link,
    ends_with,
    has_access,
    refuses_cancel,
    refuses_defer,
    refuses_refund,
    refuses_revoke,
    revokes_too,
)
from tests.domain.calendars import at

NOW = at("2026-08-25T00:00")
BASE = ReadItem(product_id="base", until=at("2026-09-01T00:00"), is_renewing=True, order_id="GPA.1")
ADDON = ReadItem(product_id="addon", until=at("2026-09-01T00:00"), is_renewing=True, order_id="GPA.2")


def purchase(state=PlayState.ACTIVE, items=(BASE, ADDON), **given):
    return ReadPurchase(state=state, items=items, **given)


@pytest.mark.parametrize("state", list(PlayState))
def test_access_is_what_was_read_state_by_state(state):
    gives = state in (PlayState.ACTIVE, PlayState.IN_GRACE_PERIOD, PlayState.CANCELED)
    assert has_access(purchase(state), BASE, NOW) is gives
    assert not has_access(purchase(state), BASE, at("2026-09-01T00:00"))


def test_after_a_hold_ended_unpaid_the_base_item_gives_access_and_the_add_on_does_not():
    lost = ADDON.but(until=at("2026-08-22T00:00"), is_renewing=False)
    read = purchase(PlayState.CANCELED, (BASE.but(until=at("2026-10-01T00:00"), is_renewing=False), lost))
    now = at("2026-09-21T00:00")
    assert [has_access(read, one, now) for one in read.items] == [True, False]
    assert access_until(read, now) == at("2026-10-01T00:00")
    assert access_until(purchase(PlayState.ON_HOLD), now) is None


def test_only_whole_purchases_are_canceled():
    assert refuses_cancel(purchase()) is None
    assert "whole purchases only" in (refuses_cancel(purchase(), ["addon"]) or "")
    assert "over" in (refuses_cancel(purchase(PlayState.EXPIRED)) or "")
    prepaid = tuple(one.but(is_prepaid=True) for one in (BASE,))
    assert "prepaid" in (refuses_cancel(purchase(items=prepaid)) or "")


def test_a_user_requested_cancel_can_be_restored_and_a_developers_cannot():
    by_user, by_us = after_cancel(purchase(), by_user=True), after_cancel(purchase(), by_user=False)
    assert (by_user.can_restore, by_user.can_resubscribe, by_user.in_app_only) == (True, True, False)
    assert (by_us.can_restore, by_us.can_resubscribe, by_us.in_app_only) == (False, False, True)


def test_resubscribing_needs_a_base_plan_that_allows_it():
    closed = purchase(items=(BASE.but(is_resubscribable=False),))
    assert not after_cancel(closed, by_user=True).can_resubscribe
    assert after_cancel(closed, by_user=True).can_restore


def test_instalments_run_on_after_a_users_cancel_and_stop_after_a_developers():
    committed = purchase(items=(BASE.but(commitment_left=5),))
    assert after_cancel(committed, by_user=True).runs_on == 5
    assert after_cancel(committed, by_user=False).runs_on == 0


@pytest.mark.parametrize(("days", "is_refused"), [(0, True), (1, False), (365, False), (366, True)])
def test_a_renewal_is_deferred_by_one_day_to_one_year(days, is_refused):
    assert (refuses_defer(purchase(), days) is not None) is is_refused


@pytest.mark.parametrize("state", [one for one in PlayState if one is not PlayState.ACTIVE])
def test_only_active_purchases_are_deferred(state):
    assert "active purchases only" in (refuses_defer(purchase(state), 30) or "")


def test_a_prepaid_purchase_is_deferred_too():
    assert refuses_defer(purchase(items=(BASE.but(is_prepaid=True, is_renewing=False),)), 30) is None


def order(**given):
    facts = {"state": "PROCESSED", "created_at": at("2026-08-01T00:00"), "total": 1_000, "currency": "USD"}
    return ReadOrder(order_id="GPA.1", **{**facts, **given})


def test_an_order_is_refunded_whole_and_a_part_is_the_consoles():
    assert refuses_refund(order(), NOW) is None
    assert refuses_refund(order(), NOW, 1_000) is None
    assert "Play Console" in (refuses_refund(order(), NOW, 400) or "")


def test_an_order_is_refunded_within_three_years():
    old = order(created_at=at("2023-08-25T00:00"))
    assert refuses_refund(old, NOW) is None
    assert "within 3 years" in (refuses_refund(old, at("2026-08-25T00:01")) or "")
    leap = order(created_at=at("2024-02-29T00:00"))
    assert refuses_refund(leap, at("2027-02-28T00:00")) is None


@pytest.mark.parametrize("state", ["REFUNDED", "PENDING_REFUND", "PENDING", "CANCELED"])
def test_what_was_not_paid_or_is_given_back_is_not_refunded(state):
    assert refuses_refund(order(state=state), NOW) is not None


def test_a_refund_revokes_only_with_the_latest_order_of_a_subscription():
    assert revokes_too(order())
    assert not revokes_too(order(is_latest=False))
    assert revokes_too(order(is_latest=False, is_subscription=False))


@pytest.mark.parametrize("state", [PlayState.IN_GRACE_PERIOD, PlayState.ON_HOLD])
def test_no_single_item_is_revoked_while_a_payment_is_declined_but_the_whole_purchase_is(state):
    assert "declined" in (refuses_revoke(purchase(state), "addon", NOW) or "")
    assert refuses_revoke(purchase(state), None, NOW) is None


def test_an_item_that_is_unknown_expired_or_not_owned_yet_is_not_revoked():
    assert "no item 'other'" in (refuses_revoke(purchase(), "other", NOW) or "")
    assert "expired" in (refuses_revoke(purchase(), "addon", at("2026-09-01T00:00")) or "")
    coming = purchase(items=(BASE, ADDON.but(order_id=None)))
    assert "not owned" in (refuses_revoke(coming, "addon", NOW) or "")
    assert refuses_revoke(purchase(), "addon", NOW) is None


def test_single_items_of_prepaid_plans_are_not_revoked():
    assert "prepaid" in (refuses_revoke(purchase(items=(BASE.but(is_prepaid=True),)), "base", NOW) or "")


@pytest.mark.parametrize("state", [PlayState.EXPIRED, PlayState.PENDING, PlayState.PENDING_PURCHASE_CANCELED])
def test_what_gives_no_access_is_not_revoked(state):
    assert refuses_revoke(purchase(state), None, NOW) is not None


def test_revoking_the_last_active_item_cancels_the_subscription():
    assert not ends_with(purchase(), "addon", NOW)
    assert ends_with(purchase(items=(BASE.but(until=at("2026-08-20T00:00")), ADDON)), "addon", NOW)


def test_a_purchase_is_to_be_acknowledged_within_three_days():
    fresh = purchase(is_acknowledged=False, started_at=at("2026-08-01T00:00"))
    assert acknowledge_by(fresh) == at("2026-08-04T00:00")
    assert acknowledge_by(fresh.but(is_acknowledged=True)) is None


def test_the_deep_link_names_package_and_product():
    link = deep_link("com.your.app", "base")
    assert link == "https://play.google.com/store/account/subscriptions?sku=base&package=com.your.app"
    assert deep_link("com.your.app") == "https://play.google.com/store/account/subscriptions?package=com.your.app"
