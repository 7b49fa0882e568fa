"""The adapter as the workflow uses it: purchases as plans, read, canceled, deferred, revoked, refunded, repeated."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dunning.domain.books import RowKind
from dunning.domain.plans import (
    CancelCycle,
    MoveNext,
    PlanCycleStatus,
    PlanPhase,
    PlanStatus,
    RefundOrder,
    RevokeAccess,
    StopRenewals,
)
from dunning.providers.base import AnswerKind, ProviderRefused, ProviderUnavailable, RefundRequest
from dunning.providers.following import PlanProvider
from dunning.providers.google_play import GooglePlayProvider
from tests.domain.calendars import at
from tests.providers.google_play.rig import PACKAGE, PlayRig, service_account

pytestmark = pytest.mark.server
NOW = at("2026-08-10T00:00")


def adapter(play: PlayRig, *, is_test: bool = True) -> GooglePlayProvider:
    return GooglePlayProvider(
        service_account(),
        package_name=PACKAGE,
        is_test=is_test,
        base_url=play.url,
        token_url=f"{play.url}/token",
        transport=play.checked,
    )


@pytest.fixture
async def provider(play: PlayRig) -> AsyncIterator[GooglePlayProvider]:
    found = adapter(play)
    yield found
    await found.aclose()


async def test_it_is_a_provider_of_plans(provider):
    assert isinstance(provider, PlanProvider)
    assert provider.plan_rules.owns_access


async def test_the_first_read_acknowledges_and_later_reads_do_not(play, provider):
    token = await play.buy()
    for _ in range(3):
        plan = await provider.read_plan(token, business_at=NOW)
    assert plan.phase is PlanPhase.OVER  # the third day passed before anybody read it
    other = await play.buy(token="token-2")
    for moment in ("2026-08-02T00:00", "2026-08-20T00:00", "2026-09-20T00:00"):
        plan = await provider.read_plan(other, business_at=at(moment))
    assert plan.phase is PlanPhase.ACTIVE
    assert play.checked.seen.count("androidpublisher.purchases.subscriptions.acknowledge") == 1


async def test_a_plan_tells_items_cycles_access_and_what_comes_next(play, provider):
    token = await play.acknowledged({}, {})
    plan = await provider.read_plan(token, business_at=NOW)
    assert (plan.status, plan.access_until, plan.next_due) == (
        PlanStatus.ACTIVE,
        at("2026-09-01T00:00"),
        (at("2026-09-01T00:00"),),
    )
    assert [(one.product_id, one.until, one.is_renewing) for one in plan.items] == [
        ("base", at("2026-09-01T00:00"), True),
        ("addon1", at("2026-09-01T00:00"), True),
    ]
    (cycle,) = plan.cycles
    assert (cycle.status, cycle.amount, cycle.currency) == (PlanCycleStatus.PAID, 3_000, "USD")


async def test_a_declined_renewal_is_a_cycle_that_is_retried(play, provider):
    token = await play.acknowledged(script=["DECLINED"])
    plan = await provider.read_plan(token, business_at=at("2026-09-02T00:00"))
    assert (plan.phase, plan.access_until) == (PlanPhase.HOLD, None)
    paid, owed = plan.cycles
    assert (paid.status, owed.status, owed.amount) == (PlanCycleStatus.PAID, PlanCycleStatus.RETRYING, 2_000)
    assert owed.tries[0].payment.code == "ON_HOLD"


async def test_an_active_purchase_past_its_expiry_keeps_access_and_is_looked_at_again(play, provider):
    token = await play.acknowledged()
    wire = await play.client.purchase(token)
    from dunning.providers.google_play_plans import plan_of

    plan = plan_of(token, wire, (), at("2026-09-01T00:30"))
    assert plan.access_until == at("2026-09-01T01:30")
    assert plan.next_due == (at("2026-09-01T01:30"),)


async def test_a_token_that_nobody_knows_is_a_plan_that_is_over(provider):
    plan = await provider.read_plan("nobody", business_at=NOW)
    assert (plan.status, plan.phase) == (PlanStatus.ENDED, PlanPhase.OVER)


async def test_test_purchases_and_live_accounts_are_never_mixed(play):
    token = await play.acknowledged()
    live = adapter(play, is_test=False)
    with pytest.raises(ProviderRefused, match="never mixed"):
        await live.read_plan(token, business_at=NOW)
    await live.aclose()


@pytest.mark.parametrize("is_by_user", [True, False])
async def test_a_cancel_is_read_back_and_repeated_it_changes_nothing(play, provider, is_by_user):
    token = await play.acknowledged()
    change = StopRenewals(is_by_user=is_by_user)
    first = await provider.change_plan(token, change, business_at=NOW)
    again = await provider.change_plan(token, change, business_at=NOW)
    assert (first.phase, first.access_until) == (PlanPhase.ENDING, at("2026-09-01T00:00"))
    assert again == first
    assert play.checked.seen.count("androidpublisher.purchases.subscriptionsv2.cancel") == 1


async def test_instalments_that_run_on_are_told(play, provider):
    token = await play.acknowledged({"installments": 3})
    plan = await provider.change_plan(token, StopRenewals(is_by_user=True), business_at=NOW)
    assert (plan.phase, plan.items[0].is_renewing) == (PlanPhase.ENDING, True)
    assert "run on" in plan.because


async def test_a_deferral_is_tried_dry_first_and_repeated_it_defers_once(play, provider):
    token = await play.acknowledged({}, {})
    change = MoveNext(to=at("2026-09-08T00:00"), days=7)
    for _ in range(2):
        plan = await provider.change_plan(token, change, business_at=NOW)
    assert {one.until for one in plan.items} == {at("2026-09-08T00:00")}
    assert (
        play.checked.seen.count("androidpublisher.purchases.subscriptionsv2.defer") == 2
    )  # dry run, then the real one


async def test_a_purchase_that_changes_between_read_and_deferral_is_asked_again(play, provider):
    token = await play.acknowledged()
    await play.control.post("/_sandbox/play/etag-conflicts?times=1")
    change = MoveNext(to=at("2026-09-08T00:00"), days=7)
    with pytest.raises(ProviderUnavailable, match="changed meanwhile"):
        await provider.change_plan(token, change, business_at=NOW)
    assert (await provider.change_plan(token, change, business_at=NOW)).access_until == at("2026-09-08T00:00")


@pytest.mark.parametrize("days", [0.4, 400])
async def test_a_deferral_outside_its_limits_is_refused_before_it_is_asked(play, provider, days):
    token = await play.acknowledged()
    to = at("2026-09-01T09:36") if days < 1 else at("2027-10-06T00:00")
    with pytest.raises(ProviderRefused, match="1 to 365 days"):
        await provider.change_plan(token, MoveNext(to=to, days=1), business_at=NOW)
    assert "androidpublisher.purchases.subscriptionsv2.defer" not in play.checked.seen


async def test_revoking_an_item_while_declined_is_refused_before_it_is_asked(play, provider):
    token = await play.acknowledged({}, {}, script=["DECLINED"])
    with pytest.raises(ProviderRefused, match="while a payment is declined"):
        await provider.change_plan(token, RevokeAccess(product_id="addon1"), business_at=at("2026-09-02T00:00"))
    assert "androidpublisher.purchases.subscriptionsv2.revoke" not in play.checked.seen


async def test_a_whole_revoke_ends_access_and_repeated_it_changes_nothing(play, provider):
    token = await play.acknowledged({}, {})
    for _ in range(2):
        plan = await provider.change_plan(token, RevokeAccess(is_prorated=True), business_at=NOW)
    assert (plan.phase, plan.access_until) == (PlanPhase.OVER, None)
    assert play.checked.seen.count("androidpublisher.purchases.subscriptionsv2.revoke") == 1


async def test_an_order_is_refunded_once_and_stands_in_the_books_item_by_item(play, provider):
    token = await play.acknowledged({}, {})
    order_id = (await provider.read_plan(token, business_at=NOW)).cycles[0].cycle_id
    for _ in range(2):
        plan = await provider.change_plan(token, RefundOrder(order_id=order_id), business_at=NOW)
    assert plan.phase is PlanPhase.ACTIVE
    assert play.checked.seen.count("androidpublisher.orders.refund") == 1
    refunds = {(row.product_id, row.amount) for row in plan.rows if row.kind is RowKind.REFUND}
    assert refunds == {("base", 2_000), ("addon1", 1_000)}


async def test_a_part_of_an_order_is_the_consoles(play, provider):
    token = await play.acknowledged()
    order_id = (await provider.read_plan(token, business_at=NOW)).cycles[0].cycle_id
    with pytest.raises(ProviderRefused, match="Play Console"):
        await provider.change_plan(token, RefundOrder(order_id=order_id, amount=1), business_at=NOW)


async def test_refunding_an_older_order_with_revoke_says_that_access_stays(play, provider):
    token = await play.acknowledged()
    older = (await provider.read_plan(token, business_at=NOW)).cycles[0].cycle_id
    later = at("2026-09-10T00:00")
    plan = await provider.change_plan(token, RefundOrder(order_id=older, revokes=True), business_at=later)
    assert (plan.phase, plan.because) == (
        PlanPhase.ACTIVE,
        "refunded; access stays, because it is not the latest order",
    )


async def test_one_time_orders_are_refunded_by_the_same_door(play, provider):
    body = {"token": "once", "package": PACKAGE, "product_id": "shirt", "price": 499, "at": NOW.isoformat()}
    order_id = (await play.post("one-time", body))["orderId"]
    request = RefundRequest(payment_id=order_id, key="k", amount=499, currency="USD")
    answer = await provider.refund(request)
    assert (answer.kind, answer.refund.amount) == (AnswerKind.PAYMENT, 499)
    found = await provider.find_refund(order_id, "k")
    assert found == answer.refund
    again = await provider.refund(request)
    assert (again.kind, "already" in again.because) == (AnswerKind.REFUSED, True)


async def test_charge_tax_and_fee_are_booked_item_by_item(play, provider):
    token = await play.acknowledged({}, {})
    plan = await provider.read_plan(token, business_at=NOW)
    rows = {(row.product_id, row.kind): row.amount for row in plan.rows}
    # 3000 with 10 % tax inside (182 + 91), Google keeps 15 % of the rest: 2727 x 15 % = 409
    assert rows == {
        ("base", RowKind.CHARGE): 2_000,
        ("base", RowKind.TAX): 182,
        ("base", RowKind.FEE): 273,
        ("addon1", RowKind.CHARGE): 1_000,
        ("addon1", RowKind.TAX): 91,
        ("addon1", RowKind.FEE): 136,
    }


async def test_what_the_api_has_not_is_refused_and_says_so(play, provider):
    token = await play.acknowledged()
    with pytest.raises(ProviderRefused, match="has no cancel_cycle"):
        await provider.change_plan(token, CancelCycle(due_at=NOW), business_at=NOW)
    change = await provider.change_method(token, "pm_1")
    assert change.link == f"https://play.google.com/store/account/subscriptions?package={PACKAGE}"


async def test_a_purchase_in_place_of_another_names_it(play, provider):
    old = await play.acknowledged()
    new = await play.buy(token="token-2", linked_token=old)
    assert (await provider.read_plan(new, business_at=at("2026-08-02T00:00"))).takes_place_of == old


async def test_a_purchase_that_was_replaced_concludes_nothing_until_the_new_one_is_heard_of(play, provider):
    old = await play.acknowledged()
    await play.buy(token="token-2", linked_token=old)
    plan = await provider.read_plan(old, business_at=at("2026-08-02T00:00"))
    assert (plan.phase, plan.status, plan.because) == (None, None, "another purchase has taken its place")
