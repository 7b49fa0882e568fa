"""The door for Google Play's notifications: who may push, every type, repeats, unreadable ones, chains of purchases."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from dunning.gateway.app import create_app
from dunning.gateway.dispatcher import Dispatcher
from dunning.gateway.play_push import PlayDoor, key_source
from dunning.intake import parse_subscription
from dunning.ledger import Ledger
from dunning.providers.base import ProviderUnavailable
from dunning.providers.google_play import GooglePlayProvider
from dunning.providers.google_play_push import (
    SUBSCRIPTION_TYPES,
    FetchedKeys,
    FixedKeys,
    PushVerifier,
    message_of,
    read_push,
)
from dunning.sandbox import SandboxServer
from dunning.sandbox.play_push import SigningKey, envelope, notification
from dunning.sandbox.serving import serving
from dunning.settings import GooglePlaySettings
from tests.builders import subscription_data
from tests.gateway.house import PostBox
from tests.providers.google_play.rig import PACKAGE, START, PlayRig, service_account

pytestmark = pytest.mark.server

AUDIENCE, EMAIL = "https://billing.example.com/webhooks/google_play/demo", "push@project.iam.gserviceaccount.com"
KEY = SigningKey()
NOW = datetime(2026, 8, 1, tzinfo=UTC)


def token(**other: Any) -> str:
    given = {"audience": AUDIENCE, "email": EMAIL, "now": datetime.now(UTC), **other}
    return KEY.token(**given)


def about(number: int = 2, purchase: str = "token-1", package: str = PACKAGE) -> dict[str, Any]:
    said = {"version": "1.0", "notificationType": number, "purchaseToken": purchase}
    return notification(package, NOW, subscriptionNotification=said)


@dataclass
class House:
    http: httpx.AsyncClient
    ledger: Ledger
    box: PostBox
    dispatcher: Dispatcher
    play: PlayRig

    async def push(self, body: bytes, bearer: str | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {bearer or token()}"}
        return await self.http.post("/webhooks/google_play/demo", content=body, headers=headers)

    async def told(self) -> list[Any]:
        while await self.dispatcher.drain():
            pass
        return self.box.got


@pytest.fixture
async def house(ledger_url: str) -> AsyncIterator[House]:
    ledger = await Ledger.open(ledger_url)
    box = PostBox()
    dispatcher = Dispatcher(ledger, box.signal)
    async with SandboxServer.start(play_push_url=None) as sandbox, httpx.AsyncClient(base_url=sandbox.url) as control:
        play = PlayRig(sandbox, control)
        provider = GooglePlayProvider(
            service_account(), package_name=PACKAGE, is_test=True, base_url=play.url, token_url=f"{play.url}/token"
        )
        verifier = PushVerifier(FixedKeys({KEY.key_id: KEY.certificate}), audience=AUDIENCE, email=EMAIL)

        async def is_well() -> bool:
            return True

        doors = {"demo": PlayDoor(provider, verifier)}
        app = create_app({}, ledger, dispatcher, is_temporal_well=is_well, play=doors)
        given = parse_subscription(
            subscription_data(
                provider="google_play",
                collection="provider",
                provider_options={"purchase_token": "token-1", "package_name": PACKAGE},
                payment_methods=[],
                currency="USD",
            )
        )
        await ledger.create_subscription(given, now=NOW)
        async with serving(app) as base, httpx.AsyncClient(base_url=base, timeout=20) as http:
            yield House(http, ledger, box, dispatcher, play)
        await play.close()
        await provider.aclose()
    await ledger.aclose()


async def test_every_type_is_taken_and_tells_the_workflow_to_read(house):
    for number in (*SUBSCRIPTION_TYPES, 14, 99):
        answer = await house.push(envelope(about(number), f"m-{number}"))
        assert (answer.status_code, answer.json()) == (200, {"result": "stored"}), number
    got = await house.told()
    assert len(got) == len(SUBSCRIPTION_TYPES) + 2
    assert set(SUBSCRIPTION_TYPES) == {*range(1, 14), 17, 18, 19, 20, 22}


async def test_a_repeated_message_is_told_once(house):
    body = envelope(about(), "m-1")
    answers = [(await house.push(body)).json()["result"] for _ in range(3)]
    assert answers == ["stored", "repeated", "repeated"]
    assert len(await house.told()) == 1


@pytest.mark.parametrize(
    "bearer",
    [
        pytest.param(lambda: token(audience="https://other.example.com"), id="audience"),
        pytest.param(lambda: token(aud=[AUDIENCE]), id="a-list-of-audiences"),
        pytest.param(lambda: token(iss="https://evil.example.com"), id="issuer"),
        pytest.param(lambda: token(email="other@project.iam.gserviceaccount.com"), id="email"),
        pytest.param(lambda: token(email_verified=False), id="email-not-verified"),
        pytest.param(lambda: token(email_verified="true"), id="email-verified-is-a-text"),
        pytest.param(lambda: token(now=datetime.now(UTC) - timedelta(hours=3)), id="expired"),
        pytest.param(lambda: token(now=datetime.now(UTC) + timedelta(hours=1)), id="from-the-future"),
        pytest.param(lambda: token()[:-6] + "AAAAAA", id="signature"),
        pytest.param(lambda: SigningKey().token(audience=AUDIENCE, email=EMAIL, now=datetime.now(UTC)), id="key"),
        pytest.param(lambda: "not.a.token", id="no-token"),
        pytest.param(lambda: "x", id="one-part"),
        pytest.param(lambda: "e30.e30.e30", id="empty-parts"),
        pytest.param(lambda: "bnVsbA.e30.e30", id="header-is-null"),
    ],
)
async def test_a_push_of_anybody_else_is_refused_and_leaves_nothing(house, bearer):
    answer = await house.push(envelope(about(), "m-1"), bearer())
    assert (answer.status_code, await house.told()) == (401, [])


async def test_a_push_without_a_token_is_refused(house):
    answer = await house.http.post("/webhooks/google_play/demo", content=envelope(about(), "m-1"))
    assert answer.status_code == 401


def _wrapped(data: Any) -> bytes:
    return json.dumps({"message": {"data": data, "messageId": "m-1"}, "subscription": "s"}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\xff",
        b"[]",
        b'{"message": {}}',
        b"[" * 5_000,
        _wrapped("not base64!"),
        _wrapped(base64.b64encode(b"not json").decode()),
        _wrapped(base64.b64encode(b'{"packageName": 1}').decode()),
        _wrapped(base64.b64encode(json.dumps({"packageName": PACKAGE, "eventTimeMillis": "9" * 30}).encode()).decode()),
        _wrapped(17),
    ],
)
async def test_a_genuine_push_that_cannot_be_read_is_acknowledged_and_never_a_500(house, body):
    answer = await house.push(body)
    assert (answer.status_code, answer.json()) == (200, {"result": "unreadable"})


async def test_another_apps_notification_is_nobodys(house):
    answer = await house.push(envelope(about(package="com.other.app"), "m-1"))
    assert (answer.json()["result"], await house.told()) == ("another app's", [])


async def test_a_purchase_that_nobody_knows_is_recorded(house):
    answer = await house.push(envelope(about(purchase="stranger"), "m-1"))
    assert (answer.json()["result"], await house.told()) == ("stored", [])


async def test_a_new_purchase_is_followed_back_to_the_one_that_we_know(house):
    await house.play.buy(token="token-1", start=START)
    await house.play.buy(token="token-2", linked_token="token-1", start=START)
    await house.play.buy(token="token-3", linked_token="token-2", start=START)
    answer = await house.push(envelope(about(4, "token-3"), "m-1"))
    assert answer.json()["result"] == "stored"
    ((account, subscription, fact),) = await house.told()
    assert (account, subscription) == ("demo", "sub-1")
    assert (fact.plan.plan_id, fact.plan.takes_place_of) == ("token-3", "token-1")


async def test_a_purchase_made_again_in_google_play_names_the_one_that_expired(house):
    await house.play.buy(token="token-2", revived_token="token-1", start=START)
    await house.push(envelope(about(4, "token-2"), "m-1"))
    ((_, subscription, fact),) = await house.told()
    assert (subscription, fact.plan.takes_place_of) == ("sub-1", "token-1")


async def test_without_google_play_a_new_token_is_asked_for_again(house):
    await house.play.control.post("/_sandbox/faults", json=[{"kind": "429", "on": "lookup"}])
    answer = await house.push(envelope(about(4, "token-9"), "m-1"))
    assert answer.status_code == 503


@pytest.mark.parametrize(
    ("part", "raw_type"),
    [
        ({"testNotification": {"version": "1.0"}}, "TEST"),
        (
            {"oneTimeProductNotification": {"notificationType": 1, "purchaseToken": "o", "sku": "s"}},
            "ONE_TIME_PRODUCT_PURCHASED",
        ),
        (
            {"oneTimeProductNotification": {"notificationType": 2, "purchaseToken": "o", "sku": "s"}},
            "ONE_TIME_PRODUCT_CANCELED",
        ),
        (
            {
                "voidedPurchaseNotification": {
                    "purchaseToken": "o",
                    "orderId": "GPA.1",
                    "productType": 2,
                    "refundType": 1,
                }
            },
            "VOIDED:GPA.1",
        ),
        ({"pendingRefundReviewNotification": {}}, "PENDING_REFUND_REVIEW"),
    ],
)
async def test_what_is_no_subscriptions_is_recorded_under_its_name(house, part, raw_type):
    body = envelope(notification(PACKAGE, NOW, **part), "m-1")
    assert message_of(*read_push(body)).raw_type == raw_type
    answer = await house.push(body)
    assert (answer.status_code, await house.told()) == (200, [])


async def test_a_voided_order_of_a_subscription_is_read(house):
    voided = {"purchaseToken": "token-1", "orderId": "GPA.1", "productType": 1, "refundType": 1}
    await house.push(envelope(notification(PACKAGE, NOW, voidedPurchaseNotification=voided), "m-1"))
    assert len(await house.told()) == 1


async def test_keys_are_fetched_once_an_hour_and_for_a_new_key_id_at_most_each_minute():
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={f"k{len(asked)}": "pem"})

    keys = FetchedKeys("https://keys.example.com", transport=httpx.MockTransport(answer))
    assert await keys.keys(NOW) == await keys.keys(NOW + timedelta(minutes=59)) == {"k1": "pem"}
    assert await keys.keys(NOW + timedelta(seconds=59), missing="k2") == {"k1": "pem"}
    assert await keys.keys(NOW + timedelta(seconds=61), missing="k2") == {"k2": "pem"}
    assert await keys.keys(NOW + timedelta(hours=2)) == {"k3": "pem"}


@pytest.mark.parametrize("answer", [httpx.Response(500), httpx.Response(200, text="x"), httpx.Response(200, json=[])])
async def test_without_keys_a_push_is_to_come_again(answer):
    keys = FetchedKeys("https://keys.example.com", transport=httpx.MockTransport(lambda _: answer))
    with pytest.raises(ProviderUnavailable, match="keys that sign"):
        await keys.keys(NOW)


async def test_keys_may_come_from_a_file(tmp_path):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({KEY.key_id: KEY.certificate}))
    source = key_source(GooglePlaySettings(package_name=PACKAGE, push_keys_file=file))
    assert KEY.key_id in await source.keys(NOW)
