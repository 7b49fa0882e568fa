"""Items, prices and refunds of a Play purchase end to end: what is asked for, bought, read, and told to backend and
customer."""

from __future__ import annotations

from typing import Any

import pytest

from dunning.domain.messages import NoticeStatus
from dunning.domain.tables import SubscriptionStatus
from dunning.domain.terms import Occasion
from tests.providers.google_play.rig import PACKAGE
from tests.workflows.play_world import Purchase, granted
from tests.workflows.test_google_play import play
from tests.workflows.world import ACCOUNT

__all__ = ["play"]
pytestmark = pytest.mark.server
S = SubscriptionStatus


async def events(play: Purchase, *names: str) -> list[tuple[str, dict[str, Any]]]:
    """What the backend was told, of these kinds, in order."""
    found = await play.world.ledger.page_of_events(ACCOUNT, play.life.name, after=None, limit=100)
    told = [(one.type.removeprefix("subscription."), one.data) for one in found]
    return [(name, data) for name, data in told if name in names]


async def test_items_are_changed_by_the_customers_purchase_and_the_new_token_is_followed(play: Purchase) -> None:
    before = await play.begin([])
    items = [{"product_id": "pro", "role": "base"}, {"product_id": "seats", "role": "addon"}]
    asked = await play.life.command("change_items", "cmd-items", items=items, replacement_mode="CHARGE_PRORATED_PRICE")
    assert asked.status == "done", asked
    assert asked.billing_flow is not None
    assert asked.billing_flow.old_purchase_token == play.token
    assert await play.life.command(
        "change_items", "cmd-items", items=items, replacement_mode="CHARGE_PRORATED_PRICE"
    ) == asked  # fmt: skip
    assert (await play.life.state()).obligations == before.obligations

    old, play.token = play.token, f"{play.token}-new"
    rows = [{"product_id": "pro", "price": 2_500, "is_base": True}, {"product_id": "seats", "price": 500}]
    at = (await play.world.now()).isoformat()
    await play.post(
        "purchases", {"token": play.token, "package": PACKAGE, "at": at, "linked_token": old, "items": rows}
    )
    after = await play.heard()
    assert (after.status, after.reference, set(granted(after, play.on("08-02T00:00")))) == (
        S.ACTIVE, play.token, {"pro", "seats"},
    )  # fmt: skip
    ((_, told),) = await events(play, "items_changed")
    assert (told["added"], told["removed"], told["because"]) == (
        ["pro", "seats"], ["base"], "the customer changed the purchase",
    )  # fmt: skip
    again = await play.life.command("change_items", items=items[:1])
    assert again.billing_flow is not None
    assert (again.billing_flow.old_purchase_token, again.billing_flow.change.removed) == (play.token, ("seats",))


async def test_a_price_is_told_thirty_days_before_agreed_to_and_charged(play: Purchase) -> None:
    await play.begin([], notifications={"price_change": ["EMAIL"]})
    await play.go("08-10T00:00")
    body = {"at": play.on("08-10T00:00").isoformat(), "product_id": "base", "amount": 2_600}
    await play.post(f"purchases/{play.token}/migrations", body)
    waits = await play.heard()
    (notice,) = [n for n in waits.notices if n.occasion is Occasion.PRICE_CHANGE]
    # Aug 10 + 37 days = Sep 16, so the first charge is that of Oct 1; 30 days before it is Sep 1.
    assert (f"{notice.at:%m-%d}", notice.facts["stage"], notice.status) == ("09-01", "consent", NoticeStatus.PLANNED)
    assert notice.facts["items"] == '[["base", 2000, 2600]]'
    told = await play.go("09-02T12:00")
    assert [n.status for n in told.notices if n.key == notice.key] == [NoticeStatus.SENT]
    await play.deed("confirm_price")
    await play.go("10-01T01:00")
    rows = await events(play, "price_change_pending", "price_change_confirmed", "price_change_applied")
    assert [(name, data["state"]) for name, data in rows] == [
        ("price_change_pending", "outstanding"),
        ("price_change_confirmed", "confirmed"),
        ("price_change_applied", "applied"),
    ]
    one = {"product_id": "base", "old_amount": 2_000, "new_amount": 2_600, "currency": "USD", "kind": "increase"}
    assert [data["items"] for _, data in rows] == [[one]] * 3
    assert (await play.life.state()).obligation("3").amount == 2_600


async def test_what_was_refunded_deferred_and_revoked_is_told_once_and_read_back(play: Purchase) -> None:
    items = [{"product_id": "base", "price": 2_000, "is_base": True}, {"product_id": "seats", "price": 500}]
    state = await play.begin([], items=items)
    (order,) = [o.provider_cycle for o in state.obligations if o.is_cycle]
    deferred = await play.life.command("defer", days=7)
    assert (deferred.status, deferred.detail["until"][5:10]) == ("done", "09-08")
    gone = await play.life.command("revoke", "cmd-item", type="ITEM", item="seats")
    assert (gone.status, gone.detail["refunded"], gone.detail["status"]) == ("done", "500", "active")
    for _ in range(2):
        done = await play.life.command("refund", "cmd-refund", order=order, revoke=True)
        assert (done.status, done.detail["refunded"], done.detail["status"]) == ("done", "2000", "inactive")
    rows = await events(play, "deferred", "revoked", "refunded", "ended")
    told = [(name, data.get("item"), data.get("amount"), data.get("command_id")) for name, data in rows]
    assert told[1:] == [
        ("revoked", "seats", None, "cmd-item"),
        ("refunded", None, 500, "cmd-item"),
        ("revoked", None, None, "cmd-refund"),
        ("refunded", None, 2_000, "cmd-refund"),
        ("ended", None, None, None),
    ]
    assert (rows[0][0], rows[0][1]["days"]) == ("deferred", 7)
    assert [data["parts"] for name, data in rows if name == "refunded"] == [{"seats": 500}, {"base": 2_000}]
    booked = await play.world.ledger.booked(ACCOUNT, subscription=play.life.name)
    assert {(r.product_id, r.amount) for r in booked if r.kind == "refund"} == {("base", 2_000), ("seats", 500)}
