"""Google's own client runs against the sandbox, by its static discovery document, and understands every answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from dunning.sandbox.play import ACCESS_TOKEN
from tests.providers.google_play.rig import PACKAGE, START, check

pytestmark = pytest.mark.server


def google(url: str) -> Any:
    return build(
        "androidpublisher",
        "v3",
        credentials=Credentials(ACCESS_TOKEN),
        client_options={"api_endpoint": url},
        static_discovery=True,
        cache_discovery=False,
    )


async def test_googles_client_does_every_call_of_the_guides(play):
    token = await play.acknowledged({}, {})

    def talk() -> list[Any]:
        api = google(play.url)
        purchases, orders = api.purchases().subscriptionsv2(), api.orders()
        who = {"packageName": PACKAGE, "token": token}
        first = purchases.get(**who).execute()
        context = {"deferDuration": "604800s", "etag": first["etag"], "validateOnly": True}
        deferred = purchases.defer(**who, body={"deferralContext": context}).execute()
        item = {"revocationContext": {"itemBasedRefund": {"productId": "addon1"}}}
        purchases.revoke(**who, body=item).execute()
        order_id = first["lineItems"][0]["latestSuccessfulOrderId"]
        order = orders.get(packageName=PACKAGE, orderId=order_id).execute()
        many = orders.batchget(packageName=PACKAGE, orderIds=[order_id]).execute()
        orders.refund(packageName=PACKAGE, orderId=order_id, revoke=False).execute()
        kind = {"cancellationContext": {"cancellationType": "USER_REQUESTED_STOP_RENEWALS"}}
        purchases.cancel(**who, body=kind).execute()
        voided = api.purchases().voidedpurchases().list(packageName=PACKAGE, type=1).execute()
        acknowledge = api.purchases().subscriptions().acknowledge(**who, subscriptionId="base", body={})
        acknowledge.execute()
        return [first, deferred, order, many, voided, purchases.get(**who).execute()]

    first, deferred, order, many, voided, last = await asyncio.to_thread(talk)
    check("SubscriptionPurchaseV2", first)
    assert [one["productId"] for one in deferred["itemExpiryTimeDetails"]] == ["base", "addon1"]
    assert (order["total"]["units"], many["orders"]) == ("30", [order])
    assert [one["orderId"] for one in voided["voidedPurchases"]] == [order["orderId"]]
    assert last["subscriptionState"] == "SUBSCRIPTION_STATE_CANCELED"


async def test_googles_client_migrates_prices(play):
    body = {
        "regionalPriceMigrations": [{"regionCode": "US", "oldestAllowedPriceVersionTime": START.isoformat()}],
        "regionsVersion": {"version": "2022/02"},
    }

    def talk() -> Any:
        plans = google(play.url).monetization().subscriptions().basePlans()
        given = {"packageName": PACKAGE, "productId": "base", "basePlanId": "monthly", "body": body}
        return plans.migratePrices(**given).execute()

    assert await asyncio.to_thread(talk) == {}


async def test_googles_client_understands_errors(play):
    def talk() -> HttpError:
        with pytest.raises(HttpError) as refused:
            google(play.url).purchases().subscriptionsv2().get(packageName=PACKAGE, token="nobody").execute()
        return refused.value

    error = await asyncio.to_thread(talk)
    assert (error.status_code, error.error_details[0]["reason"]) == (404, "purchaseTokenNotFound")
