"""The guide's worked examples at the sandbox: declines, grace, hold and recovery, each read at its own instant."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from dunning.domain.play_actions import PlayState, access_until, has_access
from dunning.providers.google_play_wire import purchase_of
from tests.domain.calendars import at

pytestmark = pytest.mark.server


async def read(play, token, when):
    found = purchase_of(await play.client.purchase(token, business_at=at(when)))
    assert found is not None
    return found


async def ledger(play):
    rows = (await play.control.get("/_sandbox/play/orders")).json()["orders"]
    return [
        [(line["productId"], line["total"]["units"], line["total"]["nanos"]) for line in one["lineItems"]]
        for one in rows
    ]


async def kinds(play, mailbox):
    await play.sandbox.state.until_quiet()
    found = [json.loads(base64.b64decode(json.loads(one.body)["message"]["data"])) for one in mailbox.got]
    return [one["subscriptionNotification"]["notificationType"] for one in found if "subscriptionNotification" in one]


def access(purchase, when):
    return {item.product_id: has_access(purchase, item, at(when)) for item in purchase.items}


async def test_ga1_before_the_trial_ends_both_items_give_access(play):
    token = await play.g1()
    found = await read(play, token, "2026-08-21T23:59")
    assert access(found, "2026-08-21T23:59") == {"base": True, "addon": True}
    assert {item.product_id: item.until for item in found.items}["addon"] == at("2026-08-22T00:00")


async def test_ga2_the_declined_2_90_puts_the_whole_purchase_on_hold_on_aug_22(play, mailbox):
    token = await play.g1()
    found = await read(play, token, "2026-08-22T00:00")
    assert found.state is PlayState.ON_HOLD
    assert access(found, "2026-08-22T00:00") == {"base": False, "addon": False}
    assert access_until(found, at("2026-08-22T00:00")) is None
    assert await kinds(play, mailbox) == [4, 17, 5]


async def test_ga3_recovered_on_aug_25_both_are_back_and_both_renew_on_sep_4(play, mailbox):
    token = await play.g1()
    await play.deed(token, "repair", "2026-08-25T00:00")
    found = await read(play, token, "2026-08-25T00:00")
    assert (found.state, {item.until for item in found.items}) == (PlayState.ACTIVE, {at("2026-09-04T00:00")})
    assert await ledger(play) == [[("base", "20", 0)], [("addon", "2", 900_000_000)]]
    assert await kinds(play, mailbox) == [4, 17, 5, 1]
    after = await read(play, token, "2026-09-04T00:00")
    assert {item.until for item in after.items} == {at("2026-10-04T00:00")}


async def test_ga4_not_recovered_it_is_canceled_on_sep_21_and_the_base_goes_on_through_sep_30(play, mailbox):
    token = await play.g1()
    assert (await read(play, token, "2026-09-20T23:59")).state is PlayState.ON_HOLD
    found = await read(play, token, "2026-09-21T00:00")
    assert (found.state, found.canceled_by) == (PlayState.CANCELED, "system")
    assert access(found, "2026-09-21T00:00") == {"base": True, "addon": False}
    assert access_until(found, at("2026-09-21T00:00")) == at("2026-10-01T00:00")
    assert (await read(play, token, "2026-10-01T00:00")).state is PlayState.EXPIRED
    assert await kinds(play, mailbox) == [4, 17, 5, 3, 13]


async def test_a_script_may_repair_the_payment_by_itself(play):
    token = await play.acknowledged(script=["DECLINED/3d"])
    assert (await read(play, token, "2026-09-03T23:59")).state is PlayState.ON_HOLD
    found = await read(play, token, "2026-09-04T00:00")
    # one item on hold: the billing date moves to the day of the recovery
    assert (found.state, found.items[0].until) == (PlayState.ACTIVE, at("2026-10-04T00:00"))


async def test_grace_comes_first_keeps_access_and_a_recovery_in_it_keeps_the_billing_date(play, mailbox):
    token = await play.acknowledged({"grace_days": 3, "hold_days": 30}, script=["DECLINED"])
    found = await read(play, token, "2026-09-01T00:00")
    assert (found.state, found.items[0].until) == (PlayState.IN_GRACE_PERIOD, at("2026-09-04T00:00"))
    await play.deed(token, "repair", "2026-09-02T00:00")
    found = await read(play, token, "2026-09-02T00:00")
    assert (found.state, found.items[0].until) == (PlayState.ACTIVE, at("2026-10-01T00:00"))
    assert await kinds(play, mailbox) == [4, 6, 2]


async def test_grace_then_hold_then_the_end(play, mailbox):
    token = await play.acknowledged({"grace_days": 3, "hold_days": 30}, script=["DECLINED"])
    assert (await read(play, token, "2026-09-04T00:00")).state is PlayState.ON_HOLD
    assert (await read(play, token, "2026-10-04T00:00")).state is PlayState.EXPIRED
    assert await kinds(play, mailbox) == [4, 6, 5, 3, 13]


async def test_a_pause_begins_at_the_end_of_the_period_and_gives_no_access(play, mailbox):
    token = await play.acknowledged()
    await play.deed(token, "pause", "2026-08-10T00:00", days=30)
    assert (await read(play, token, "2026-08-31T23:59")).state is PlayState.ACTIVE
    paused = await read(play, token, "2026-09-01T00:00")
    assert (paused.state, access_until(paused, at("2026-09-01T00:00"))) == (PlayState.PAUSED, None)
    assert (await read(play, token, "2026-10-01T00:00")).items[0].until == at("2026-11-01T00:00")
    assert await kinds(play, mailbox) == [4, 11, 10, 2, 1]


async def test_a_removed_item_is_had_to_the_end_of_its_period(play, mailbox):
    token = await play.acknowledged({}, {})
    await play.control.delete(f"/_sandbox/play/purchases/{token}/items/addon1")
    found = await read(play, token, "2026-08-20T00:00")
    assert access(found, "2026-08-20T00:00") == {"base": True, "addon1": True}
    assert [item.is_renewing for item in found.items] == [True, False]
    assert [item.product_id for item in (await read(play, token, "2026-09-01T00:00")).items] == ["base"]
    assert await ledger(play) == [[("base", "20", 0), ("addon1", "10", 0)], [("base", "20", 0)]]


async def test_a_price_rise_without_consent_ends_the_purchase_at_its_renewal(play):
    token = await play.acknowledged()
    change = {"product_id": "base", "amount": 2_500, "mode": "PRICE_INCREASE", "charge_at": "2026-09-01T00:00:00Z"}
    await play.post(f"purchases/{token}/price", change)
    assert (await read(play, token, "2026-09-01T00:00")).state is PlayState.EXPIRED


async def test_a_confirmed_price_rise_is_charged_at_its_renewal(play):
    token = await play.acknowledged()
    change = {"product_id": "base", "amount": 2_500, "mode": "PRICE_INCREASE", "charge_at": "2026-09-01T00:00:00Z"}
    await play.post(f"purchases/{token}/price", change)
    await play.deed(token, "confirm_price")
    await read(play, token, "2026-09-01T00:00")
    assert await ledger(play) == [[("base", "20", 0)], [("base", "25", 0)]]


async def test_another_purchase_in_place_of_one_names_it_and_ends_it(play):
    old = await play.acknowledged()
    new = await play.buy(token="token-2", linked_token=old)
    wire = await play.client.purchase(new)
    assert wire.linked_purchase_token == old
    ended = await read(play, old, "2026-08-01T00:00")
    assert (ended.state, ended.canceled_by) == (PlayState.EXPIRED, "replacement")


async def test_purchases_have_clocks_of_their_own(play):
    one, two = await play.acknowledged(), await play.acknowledged(token="token-2")
    ahead, behind = await asyncio.gather(read(play, one, "2026-09-05T00:00"), read(play, two, "2026-08-05T00:00"))
    assert [found.items[0].until for found in (ahead, behind)] == [at("2026-10-01T00:00"), at("2026-09-01T00:00")]
