"""Every call of the client against the sandbox, each request and answer held against Google's discovery document."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr

from dunning.domain.commands import CancelType
from dunning.domain.play_actions import CanceledBy, PlayState, ReadPurchase, access_until
from dunning.providers.base import ProviderRefused, ProviderUnavailable
from dunning.providers.following import PlanUnclear
from dunning.providers.google_play_auth import ServiceAccount
from dunning.providers.google_play_client import PlayClient, required
from dunning.providers.google_play_wire import WireMoney, price_changes_of, purchase_of
from dunning.providers.http import Reply
from tests.domain.calendars import at
from tests.providers.google_play.rig import PACKAGE, START, PlayRig, service_account

pytestmark = pytest.mark.server


async def read(play: PlayRig, token: str, when: str | None = None) -> ReadPurchase:
    wire = await play.client.purchase(token, business_at=at(when) if when else None)
    found = purchase_of(wire)
    assert found is not None
    return found


def ends(purchase):
    return {item.product_id: f"{item.until:%m-%d}" for item in purchase.items}


async def test_a_purchase_is_read_whole_and_acknowledged_once(play):
    token = await play.buy({}, {})
    before = await read(play, token)
    assert (before.state, before.is_acknowledged) == (PlayState.ACTIVE, False)
    await play.client.acknowledge(token, "base")
    after = await read(play, token)
    assert after.is_acknowledged
    assert ends(after) == {"base": "09-01", "addon1": "09-01"}


async def test_a_purchase_that_is_not_acknowledged_within_three_days_is_taken_back_and_a_renewal_needs_none(play):
    lost, kept = await play.buy(), await play.acknowledged(token="token-2")
    assert (await read(play, lost, "2026-08-03T23:59")).state is PlayState.ACTIVE
    assert (await read(play, lost, "2026-08-04T00:00")).state is PlayState.EXPIRED
    assert (await read(play, kept, "2026-12-15T00:00")).state is PlayState.ACTIVE
    assert play.checked.seen.count("androidpublisher.purchases.subscriptions.acknowledge") == 1


@pytest.mark.parametrize("kind", list(CancelType))
async def test_both_kinds_of_cancel_keep_access_to_the_end_of_the_period(play, kind):
    token = await play.acknowledged({}, {})
    await play.client.cancel(token, kind)
    found = await read(play, token)
    assert (found.state, found.canceled_by) == (PlayState.CANCELED, CanceledBy.DEVELOPER)
    assert access_until(found, at("2026-08-20T00:00")) == at("2026-09-01T00:00")
    assert (await read(play, token, "2026-09-01T00:00")).state is PlayState.EXPIRED


async def test_a_user_requested_cancel_can_be_restored_in_google_play_and_a_developers_cannot(play):
    soft, hard = await play.acknowledged(), await play.acknowledged(token="token-2")
    await play.client.cancel(soft, CancelType.USER_REQUESTED_STOP_RENEWALS)
    await play.client.cancel(hard, CancelType.DEVELOPER_REQUESTED_STOP_PAYMENTS)
    await play.deed(soft, "restore")
    assert (await read(play, soft)).state is PlayState.ACTIVE
    answer = await play.control.post(f"/_sandbox/play/purchases/{hard}/deeds", json={"deed": "restore"})
    assert answer.status_code == 422


async def test_instalments_run_on_after_a_users_cancel(play):
    token = await play.acknowledged({"installments": 2})
    await play.client.cancel(token, CancelType.USER_REQUESTED_STOP_RENEWALS)
    assert (await read(play, token)).state is PlayState.ACTIVE
    assert (await read(play, token, "2026-09-01T00:00")).items[0].commitment_left == 1
    done = await read(play, token, "2026-10-02T00:00")
    assert (done.state, ends(done)) == (PlayState.CANCELED, {"base": "11-01"})


async def test_fitness_goals_defers_everybody_by_a_month_and_nothing_is_charged_meanwhile(play):
    """The guide's case: won in February, on Mar 1 every purchase is put off by a month."""
    token = await play.acknowledged(start=at("2026-02-15T00:00"))
    wire = await play.client.purchase(token, business_at=at("2026-03-01T00:00"))
    month = timedelta(days=31)
    tried = await play.client.defer(token, month, wire.etag or "", is_dry_run=True)
    assert ends(await read(play, token)) == {"base": "03-15"}  # a dry run changes nothing
    done = await play.client.defer(token, month, wire.etag or "")
    assert tried == done
    assert ends(await read(play, token)) == {"base": "04-15"}
    orders = (await play.control.get("/_sandbox/play/orders")).json()["orders"]
    await read(play, token, "2026-04-14T23:59")
    assert (await play.control.get("/_sandbox/play/orders")).json()["orders"] == orders
    again = await play.client.purchase(token)
    await play.client.defer(token, timedelta(days=1), again.etag or "")  # and again, for longer
    assert ends(await read(play, token)) == {"base": "04-16"}


async def test_a_prepaid_purchase_is_deferred_too(play):
    token = await play.acknowledged({"is_prepaid": True})
    wire = await play.client.purchase(token)
    await play.client.defer(token, timedelta(days=7), wire.etag or "")
    assert ends(await read(play, token)) == {"base": "09-08"}


async def test_a_deferral_with_an_old_etag_changes_nothing(play):
    token = await play.acknowledged()
    wire = await play.client.purchase(token)
    await play.client.defer(token, timedelta(days=1), wire.etag or "")
    with pytest.raises(ProviderRefused, match="etagMismatch"):
        await play.client.defer(token, timedelta(days=1), wire.etag or "")
    assert ends(await read(play, token)) == {"base": "09-02"}


@pytest.mark.parametrize("days", [0, 367])
async def test_a_deferral_is_of_one_day_to_one_year(play, days):
    token = await play.acknowledged()
    wire = await play.client.purchase(token)
    with pytest.raises(ProviderRefused, match="one day to one year"):
        await play.client.defer(token, timedelta(days=days), wire.etag or "")


async def test_maria_gets_all_her_money_back_on_day_3(play):
    """The guide's case: a full refund, and she is not subscribed any more."""
    token = await play.acknowledged({"period": "P30D"}, start=at("2026-09-01T00:00"))
    await read(play, token, "2026-09-03T00:00")
    await play.client.revoke(token)
    assert (await read(play, token)).state is PlayState.EXPIRED
    order = (await play.client.orders([(await read(play, token)).items[0].order_id or ""]))[0]
    assert (order.state, order.order_history.refund_event.refund_details.total.minor()) == ("REFUNDED", 2_000)


async def test_maria_gets_half_of_her_money_back_on_day_15(play):
    """The guide's case: prorated, access ends at once."""
    token = await play.acknowledged({"period": "P30D"}, start=at("2026-09-01T00:00"))
    await read(play, token, "2026-09-16T00:00")  # 15 of 30 days are used
    await play.client.revoke(token, is_prorated=True)
    found = await read(play, token)
    assert (found.state, access_until(found, at("2026-09-16T00:00"))) == (PlayState.EXPIRED, None)
    order = await play.client.order(found.items[0].order_id or "")
    assert order.order_history.partial_refund_events[0].refund_details.total.minor() == 1_000


async def test_a_prorated_revoke_refunds_the_latest_order_of_each_item(play):
    token = await play.acknowledged({"period": "P30D"}, start=at("2026-09-01T00:00"))
    item = {"product_id": "addon", "price": 3_000, "period": "P30D"}
    await play.post(f"purchases/{token}/items", {"at": "2026-09-11T00:00:00Z", "item": item})
    await read(play, token, "2026-09-21T00:00")
    await play.client.revoke(token, is_prorated=True)
    orders = (await play.control.get("/_sandbox/play/orders")).json()["orders"]
    parts = [one["orderHistory"]["partialRefundEvents"][0]["refundDetails"]["total"] for one in orders]
    # base: 10 of 30 days of $20.00 are left; the add-on paid 19/30 of $30.00 for 20 days, of which 10 are left
    assert [(one["units"], one["nanos"]) for one in parts] == [("6", 670_000_000), ("9", 500_000_000)]


async def test_one_item_is_revoked_and_the_others_go_on(play):
    token = await play.acknowledged({}, {})
    await play.client.revoke(token, product_id="addon1")
    found = await read(play, token)
    assert (found.state, ends(found)) == (PlayState.ACTIVE, {"base": "09-01"})
    await play.client.revoke(token, product_id="base")  # the last one
    assert (await read(play, token)).state is PlayState.EXPIRED


@pytest.mark.parametrize("grace", [0, 3])
async def test_no_item_is_revoked_while_a_payment_is_declined(play, grace):
    token = await play.acknowledged({"grace_days": grace, "hold_days": 30}, {"grace_days": 7}, script=["DECLINED"])
    await read(play, token, "2026-09-01T00:00")
    with pytest.raises(ProviderRefused, match="cannot be revoked"):
        await play.client.revoke(token, product_id="addon1")


async def test_football_not_soccer_gives_the_money_back_and_the_shirt_stays(play):
    """The guide's case: a one-time order refunded without revoke."""
    body = {"token": "once-1", "package": PACKAGE, "product_id": "shirt", "price": 499, "at": START.isoformat()}
    order_id = (await play.post("one-time", body))["orderId"]
    await play.client.refund(order_id, revokes=False)
    assert (await play.client.order(order_id)).state == "REFUNDED"
    voided = (await play.client.voided_page(START)).voided_purchases
    assert [(one.order_id, one.voided_source) for one in voided] == [(order_id, 1)]


async def test_a_refund_without_revoke_keeps_access_and_with_it_ends_the_subscription(play):
    token = await play.acknowledged()
    order_id = (await read(play, token)).items[0].order_id or ""
    await play.client.refund(order_id, revokes=False)
    assert (await read(play, token)).state is PlayState.ACTIVE
    other = await play.acknowledged(token="token-2")
    await play.client.refund((await read(play, other)).items[0].order_id or "", revokes=True)
    assert (await read(play, other)).state is PlayState.EXPIRED


async def test_a_refund_with_revoke_of_an_older_order_only_refunds(play):
    token = await play.acknowledged()
    first = (await read(play, token)).items[0].order_id or ""
    await read(play, token, "2026-09-02T00:00")
    await play.client.refund(first, revokes=True, business_at=at("2026-09-02T00:00"))
    assert (await read(play, token)).state is PlayState.ACTIVE
    wire = await play.client.order(first)
    assert wire.state == "REFUNDED"
    assert not wire.read(latest=("another",)).is_latest


async def test_an_order_of_more_than_three_years_is_not_refunded(play):
    token = await play.acknowledged()
    first = (await read(play, token)).items[0].order_id or ""
    with pytest.raises(ProviderRefused, match="three years"):
        await play.client.refund(first, revokes=False, business_at=at("2029-08-03T00:00"))


async def test_orders_are_read_together_and_one_unknown_fails_all(play):
    token = await play.acknowledged({}, {})
    known = (await read(play, token)).items[0].order_id or ""
    (found,) = await play.client.orders([known, known])
    assert [(one.product_id, one.total.minor()) for one in found.line_items] == [("base", 2_000), ("addon1", 1_000)]
    with pytest.raises(ProviderRefused, match="notFound"):
        await play.client.orders([known, "GPA.none"])
    assert await play.client.orders([]) == ()


async def test_a_price_migration_names_regions_cohorts_and_kind(play):
    row = {
        "regionCode": "US",
        "oldestAllowedPriceVersionTime": "2026-06-01T00:00:00Z",
        "priceIncreaseType": "PRICE_INCREASE_TYPE_OPT_IN",
    }
    await play.client.migrate_prices("base", "monthly", [row], "2022/02")
    (got,) = (await play.control.get("/_sandbox/play/migrations")).json()["migrations"]
    assert got["regionalPriceMigrations"] == [row]


async def test_price_changes_are_read_item_by_item(play):
    token = await play.acknowledged({}, {})
    charge_at = "2026-10-07T00:00:00Z"
    change = {"product_id": "addon1", "amount": 1_200, "mode": "PRICE_INCREASE", "charge_at": charge_at}
    await play.post(f"purchases/{token}/price", change)
    (found,) = price_changes_of(await play.client.purchase(token))
    assert (found.product_id, found.state, found.new_amount) == ("addon1", "OUTSTANDING", 1_200)
    await play.deed(token, "confirm_price")
    (found,) = price_changes_of(await play.client.purchase(token))
    assert found.state == "CONFIRMED"


async def test_an_unknown_token_is_refused_and_one_that_expired_long_ago_is_gone(play):
    with pytest.raises(ProviderRefused, match="purchaseTokenNotFound") as unknown:
        await play.client.purchase("nobody")
    assert unknown.value.detail == {"status": 404}
    token = await play.acknowledged()
    await play.client.cancel(token, CancelType.DEVELOPER_REQUESTED_STOP_PAYMENTS)
    with pytest.raises(ProviderRefused) as gone:
        await read(play, token, "2026-11-01T00:00")
    assert gone.value.code == "gone"


async def test_throttling_is_an_outage_and_a_lost_answer_to_a_change_is_unclear(play):
    token = await play.acknowledged()
    await play.control.post("/_sandbox/faults", json=[{"kind": "429", "on": "lookup"}])
    with pytest.raises(ProviderUnavailable, match="throttles"):
        await play.client.purchase(token)
    await play.control.post("/_sandbox/faults", json=[{"kind": "drop_after_commit", "on": "any"}])
    with pytest.raises(PlanUnclear):
        await play.client.cancel(token, CancelType.DEVELOPER_REQUESTED_STOP_PAYMENTS)
    assert (await read(play, token)).state is PlayState.CANCELED  # reading tells what became of it


@pytest.mark.parametrize(
    ("status", "reason", "is_outage"),
    [
        (403, "rateLimitExceeded", True),
        (403, "userRateLimitExceeded", True),
        (403, "permissionDenied", True),
        (401, "authError", True),
        (429, None, True),
        (400, "invalid", False),
        (404, "purchaseTokenNotFound", False),
        (410, "purchaseTokenNoLongerValid", False),
        (409, "conflict", False),
    ],
)
def test_what_an_error_body_amounts_to(status, reason, is_outage):
    body = {"error": {"code": status, "message": "m", "errors": [{"reason": reason}] if reason else []}}
    expected = ProviderUnavailable if is_outage else ProviderRefused
    with pytest.raises(expected):
        required(Reply(status=status, body=body, because=f"HTTP {status}"))


async def test_access_tokens_are_bought_once_and_again_after_a_refusal(play: PlayRig) -> None:
    bought = []

    async def watch(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            bought.append(request)
        return await play.checked.handle_async_request(request)

    client = PlayClient(
        service_account(),
        package_name=PACKAGE,
        is_test=True,
        base_url=play.url,
        token_url=f"{play.url}/token",
        transport=httpx.MockTransport(watch),
    )
    token = await play.acknowledged()
    await client.purchase(token)
    await client.purchase(token)
    assert len(bought) == 1
    await play.control.post("/_sandbox/faults", json=[{"kind": "401", "on": "lookup"}])
    with pytest.raises(ProviderUnavailable, match="let this account in"):
        await client.purchase(token)
    await client.purchase(token)
    assert len(bought) == 2


async def test_an_account_that_google_does_not_know_is_an_outage_with_attention(play):
    client = PlayClient(
        service_account(), package_name=PACKAGE, is_test=True, base_url=play.url, token_url=f"{play.url}/nothing"
    )
    with pytest.raises(ProviderUnavailable, match="attention: Google does not accept"):
        await client.purchase("token-1")
    await client.aclose()


def test_a_key_that_is_no_service_accounts_is_refused_without_telling_it():
    for text in ("", "not json", '{"client_email": "a@b.c"}', '{"client_email": "a@b.c", "private_key": "secret"}'):
        with pytest.raises(ValueError, match="service account's JSON key file") as refused:
            ServiceAccount(SecretStr(text))
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("units", "nanos", "currency", "minor"),
    [
        (2, 900_000_000, "USD", 290),
        (0, 10_000_000, "USD", 1),
        (100_000, 0, "IDR", 10_000_000),
        (1_200, 0, "JPY", 1_200),
    ],
)
def test_money_is_units_and_nanos_on_the_wire(units, nanos, currency, minor):
    assert WireMoney(currency_code=currency, units=units, nanos=nanos).minor() == minor
