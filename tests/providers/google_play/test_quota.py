"""Each kind of call has a quota of its own, by the minute; what is over is put off, unsent. Sheet G.1."""

from __future__ import annotations

import json

import httpx
import pytest

from dunning.domain.commands import CancelType
from dunning.providers.base import ProviderUnavailable
from dunning.providers.google_play import CAPABILITIES
from dunning.providers.google_play_client import PlayClient
from dunning.providers.google_play_quota import Meter, Quota
from tests.providers.google_play.rig import PACKAGE, service_account

KINDS = {"subscriptions", "subscription_updates", "orders", "monetization"}
TOKEN = "1a2b3c4d5e6f7g8h9i0j"
APP = f"/androidpublisher/v3/applications/{PACKAGE}"


def test_the_adapter_declares_3000_calls_a_minute_for_each_kind() -> None:
    assert CAPABILITIES.quotas == dict.fromkeys(KINDS, 3000)
    assert CAPABILITIES.requests_per_second == 50


def test_a_minute_is_any_sixty_seconds_and_kinds_do_not_share() -> None:
    now = 100.0
    meter = Meter({**dict.fromkeys(Quota, 9), Quota.ORDERS: 2}, clock=lambda: now)
    for at in (100.0, 130.0):
        now = at
        meter.take(Quota.ORDERS)
    with pytest.raises(ProviderUnavailable) as full:
        meter.take(Quota.ORDERS)
    assert full.value.retry_after_seconds == 31
    meter.take(Quota.SUBSCRIPTIONS)
    now = 160.0
    meter.take(Quota.ORDERS)


class Google:
    """Answers everything with an empty object, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, object]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 3600})
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, request.url.raw_path.decode(), body))
        return httpx.Response(200, json={})


def client(google: Google, meter: Meter) -> PlayClient:
    return PlayClient(
        service_account(),
        package_name=PACKAGE,
        is_test=False,
        token_url="https://oauth2.googleapis.com/token",
        transport=httpx.MockTransport(google),
        meter=meter,
    )


async def test_a_call_over_its_quota_is_not_sent_and_the_others_are() -> None:
    google = Google()
    play = client(google, Meter({**dict.fromkeys(Quota, 9), Quota.SUBSCRIPTION_UPDATES: 1}))
    await play.revoke(TOKEN)
    with pytest.raises(ProviderUnavailable, match="subscription_updates"):
        await play.revoke(TOKEN)
    await play.refund("GPA.1", revokes=False)
    assert len(google.asked) == 2
    await play.aclose()


async def test_the_requests_of_the_guide_are_sent_as_it_writes_them() -> None:
    """Its token and package; the cancel by the newer call that the sheet prefers, in the documented spelling."""
    google = Google()
    play = client(google, Meter())
    await play.cancel(TOKEN, CancelType.USER_REQUESTED_STOP_RENEWALS)
    await play.revoke(TOKEN, is_prorated=True)
    await play.revoke(TOKEN)
    await play.revoke(TOKEN, product_id="addon")
    purchase = f"{APP}/purchases/subscriptionsv2/tokens/{TOKEN}"
    assert google.asked == [
        ("POST", f"{purchase}:cancel", {"cancellationContext": {"cancellationType": "USER_REQUESTED_STOP_RENEWALS"}}),
        ("POST", f"{purchase}:revoke", {"revocationContext": {"proratedRefund": {}}}),
        ("POST", f"{purchase}:revoke", {"revocationContext": {"fullRefund": {}}}),
        ("POST", f"{purchase}:revoke", {"revocationContext": {"itemBasedRefund": {"productId": "addon"}}}),
    ]
    await play.aclose()
