"""Google Play end to end: notification -> gateway -> workflow -> what `show` answers, on the purchase's own clock."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from dunning.domain.access import access
from tests.providers.google_play.rig import PACKAGE
from tests.workflows.play_world import Purchase, S, granted, open_play
from tests.workflows.world import ACCOUNT

pytestmark = pytest.mark.server


@pytest.fixture
async def play(temporal_env: WorkflowEnvironment, ledger_url: str) -> AsyncIterator[Purchase]:
    """The time-skipping server is taken to the next August 1."""
    async with open_play(temporal_env, ledger_url) as opened:
        yield opened


async def test_g1_hold_on_aug_22_recovered_on_aug_25_next_billing_on_sep_4(play: Purchase) -> None:
    active = await play.begin(["DECLINED"])
    await play.go("08-15T00:00")
    await play.add_on()
    trial = await play.life.state()
    assert granted(trial, play.on("08-15T01:00")) == {"base": "09-01", "addon": "08-22"}
    assert access(active, play.on("08-02T00:00")).is_granted

    held = await play.go("08-22T01:00")
    assert (held.status, granted(held, play.on("08-22T01:00"))) == (S.ON_HOLD, {})
    assert not access(held, play.on("08-22T01:00")).is_granted
    assert held.obligation("2").amount == 290

    await play.go("08-25T00:00")
    await play.deed("repair")
    back = await play.life.state()
    assert back.status is S.ACTIVE
    assert granted(back, play.on("08-25T01:00")) == {"base": "09-04", "addon": "09-04"}
    now = access(back, play.on("08-25T01:00"))
    assert now.is_granted
    assert now.until is not None
    assert f"{now.until:%m-%d %H:%M}" == "09-04 00:00"
    assert back.plan is not None
    assert {f"{due:%m-%d}" for due in back.plan.next_due} == {"09-04"}

    renewed = await play.go("09-04T01:00")
    assert granted(renewed, play.on("09-04T01:00")) == {"base": "10-04", "addon": "10-04"}


async def test_g1_hold_not_recovered_canceled_on_sep_21_base_through_sep_30(play: Purchase) -> None:
    await play.begin(["DECLINED"])
    await play.go("08-15T00:00")
    await play.add_on()
    assert (await play.go("09-20T23:00")).status is S.ON_HOLD
    lost = await play.go("09-22T01:00")
    assert (lost.status, granted(lost, play.on("09-22T01:00"))) == (S.CANCELED, {"base": "10-01"})
    assert access(lost, play.on("09-30T12:00")).is_granted
    over = await play.go("10-01T01:00")
    assert (over.status, access(over, play.on("10-01T01:00")).is_granted) == (S.INACTIVE, False)


async def test_grace_keeps_access_and_a_payment_in_it_closes_the_cycle(play: Purchase) -> None:
    base = {"product_id": "base", "price": 2_000, "is_base": True, "grace_days": 3, "hold_days": 30}
    await play.begin(["DECLINED"], items=[base])
    late = await play.go("09-02T00:00")
    assert (late.status, granted(late, play.on("09-02T00:00"))) == (S.PAST_DUE, {"base": "09-04"})
    await play.deed("repair")
    paid = await play.life.state()
    assert (paid.status, granted(paid, play.on("09-02T01:00"))) == (S.ACTIVE, {"base": "10-01"})
    assert [o.status.value for o in paid.obligations if o.is_cycle][-1] == "succeeded"


async def test_everything_is_found_out_when_every_notification_is_lost(play: Purchase) -> None:
    await play.begin(["DECLINED"])
    lose = {"webhooks": {"mode": "lose"}}
    (await play.world.http.post("/_sandbox/configure", json=lose)).raise_for_status()
    held = await play.go("09-01T01:00")
    assert held.status is S.ON_HOLD
    await play.deed("repair")
    back = await play.go("09-03T01:00")
    assert (back.status, granted(back, play.on("09-03T01:00"))) == (S.ACTIVE, {"base": "10-01"})


async def test_cancel_and_defer_are_asked_of_google_play_and_read_back(play: Purchase) -> None:
    await play.begin([])
    deferred = await play.life.command("defer", "cmd-defer", days=7)
    assert deferred.status == "done", deferred
    assert granted(await play.life.state(), play.on("08-02T00:00")) == {"base": "09-08"}
    assert await play.life.command("defer", "cmd-defer", days=7) == deferred
    canceled = await play.life.command("cancel", type="USER_REQUESTED_STOP_RENEWALS")
    assert canceled.status == "done", canceled
    after = await play.life.state()
    assert (after.status, granted(after, play.on("08-02T00:00"))) == (S.CANCELED, {"base": "09-08"})
    await play.deed("restore")
    assert (await play.life.state()).status is S.ACTIVE


async def test_an_order_is_refunded_once_and_access_stays(play: Purchase) -> None:
    state = await play.begin([])
    (order,) = [o.provider_cycle for o in state.obligations if o.is_cycle]
    for _ in range(2):
        done = await play.life.command("refund", "cmd-refund", order=order)
        assert done.status == "done", done
    after = await play.life.state()
    assert (after.status, granted(after, play.on("08-02T00:00"))) == (S.ACTIVE, {"base": "09-01"})
    rows = await play.world.ledger.booked(ACCOUNT, subscription=play.life.name)
    assert [(row.kind.value, row.amount) for row in rows if row.kind.value == "refund"] == [("refund", 2_000)]


async def test_what_only_the_customer_can_do_is_refused_with_the_place_where(play: Purchase) -> None:
    await play.begin([])
    for name, fields in (("pause", {}), ("update_payment_method", {"token": "pm_2"}), ("skip_cycle", {})):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await play.life.command(name, **fields)
        link = f"https://play.google.com/store/account/subscriptions?sku=base&package={PACKAGE}"
        assert link in str(refused.value.cause), name


async def test_a_purchase_made_in_place_of_another_is_followed_from_then_on(play: Purchase) -> None:
    await play.begin([])
    old, play.token = play.token, f"{play.token}-new"
    base = {"product_id": "base", "price": 2_500, "is_base": True}
    at = (await play.world.now()).isoformat()
    body = {"token": play.token, "package": PACKAGE, "at": at, "linked_token": old, "items": [base]}
    await play.post("purchases", body)
    changed = await play.heard()
    assert changed.plan is not None
    assert (changed.status, changed.plan.plan_id, changed.reference) == (S.ACTIVE, play.token, play.token)


async def test_a_pause_in_google_play_gives_no_access_and_its_end_gives_it_back(play: Purchase) -> None:
    await play.begin([])
    await play.deed("pause", days=30)
    paused = await play.go("09-02T00:00")
    assert (paused.status, granted(paused, play.on("09-02T00:00"))) == (S.PAUSED, {})
    resumed = await play.go("10-01T12:00")
    assert (resumed.status, list(granted(resumed, play.on("10-01T12:00")))) == (S.ACTIVE, ["base"])
