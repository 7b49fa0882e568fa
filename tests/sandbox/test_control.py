"""The control API itself: the backend double, settings, reset."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from standardwebhooks import Webhook

from dunning.sandbox import SandboxServer, SandboxSettings

from .conftest import WEBHOOK_SECRET, Shop

pytestmark = pytest.mark.server

BACKEND = "/_sandbox/backend/events"


def signed(
    body: dict[str, object],
    *,
    event_id: str = "evt_1",
    secret: str = WEBHOOK_SECRET,
    age: timedelta = timedelta(),
) -> tuple[dict[str, str], bytes]:
    raw = json.dumps(body)
    at = datetime.now(UTC) - age
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(event_id, at, raw),
    }
    return headers, raw.encode()


async def post(shop: Shop, headers: dict[str, str], body: bytes) -> httpx.Response:
    return await shop.client.post(BACKEND, content=body, headers=headers)


async def test_the_backend_keeps_every_verified_delivery_also_a_repeated_one(shop: Shop) -> None:
    await shop.control("configure", backend_secret=WEBHOOK_SECRET)
    event = {"type": "payment.failed", "subscription_id": "ours-1", "sequence": 4}
    for _ in range(2):
        assert (await post(shop, *signed(event))).status_code == 204
    assert (await post(shop, *signed({"type": "payment.succeeded", "subscription_id": "ours-2"}))).status_code == 204
    found = (await shop.client.get(BACKEND, params={"subscription": "ours-1"})).json()["events"]
    assert [(one["webhook_id"], one["type"], one["sequence"]) for one in found] == [("evt_1", "payment.failed", 4)] * 2
    by_type = (await shop.client.get(BACKEND, params={"type": "payment.succeeded"})).json()["events"]
    assert [one["subscription_id"] for one in by_type] == ["ours-2"]


async def test_the_backend_refuses_what_is_not_signed_by_its_secret_or_is_old(shop: Shop) -> None:
    await shop.control("configure", backend_secret=WEBHOOK_SECRET)
    other = "whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldA=="
    headers, body = signed({"type": "x"})
    bad = [
        signed({"type": "x"}, secret=other),
        signed({"type": "x"}, age=timedelta(minutes=6)),
        (headers, body + b" "),
        ({**headers, "webhook-signature": "v1,,x"}, body),
        ({**headers, "webhook-signature": "nonsense"}, body),
        ({}, body),
    ]
    assert [(await post(shop, *one)).status_code for one in bad] == [401] * len(bad)
    found = (await shop.client.get(BACKEND)).json()
    assert (found["events"], len(found["refused"])) == ([], len(bad))


async def test_the_backend_fails_as_often_as_it_is_told(shop: Shop) -> None:
    await shop.control("configure", backend_secret=WEBHOOK_SECRET)
    await shop.control("backend/fail", times=2, status=503)
    delivery = signed({"type": "x"})
    assert [(await post(shop, *delivery)).status_code for _ in range(3)] == [503, 503, 204]


async def test_the_backend_without_a_secret_acknowledges_nothing(shop: Shop) -> None:
    assert (await post(shop, *signed({"type": "x"}))).status_code == 503


async def test_no_answer_of_the_control_api_shows_a_secret(shop: Shop) -> None:
    changed = await shop.control("configure", backend_secret="whsec_c2VjcmV0", settle_seconds=0)
    shown = (await shop.client.get("/_sandbox/configuration")).text
    assert "c2VjcmV0" not in json.dumps(changed) + shown
    assert WEBHOOK_SECRET not in shown
    assert json.loads(shown)["settle_seconds"] == 0


async def test_a_setting_that_does_not_exist_is_refused(shop: Shop) -> None:
    answer = await shop.client.post("/_sandbox/configure", json={"webhook_ulr": "x"})
    assert answer.status_code == 422


async def test_reset_forgets_everything_but_the_settings(shop: Shop) -> None:
    await shop.control("configure", minimum_amount=7, settle_seconds=60, webhooks={"mode": "lose"})
    await shop.register(script=["DO_NOT_HONOR"])
    await shop.faults({"on": "lookup", "kind": "429"})
    await shop.charge()
    assert (await shop.client.post("/_sandbox/reset")).status_code == 204
    assert (await shop.client.get("/_sandbox/quiet")).json() == {
        "quiet": True,
        "pending_webhooks": 0,
        "in_flight": 0,
    }
    assert await shop.book() == []
    assert (await shop.client.get("/subscriptions/sub_1")).status_code == 404
    settings = (await shop.client.get("/_sandbox/configuration")).json()
    assert (settings["minimum_amount"], settings["webhooks"]["mode"]) == (7, "normal")
    await shop.control("configure", settle_seconds=0)
    await shop.register()
    assert (await shop.settled())["status"] == "succeeded", "the old script is gone"


async def test_a_registered_subscription_is_found_by_either_name_and_the_newest_answers(shop: Shop) -> None:
    await shop.register("sub_1")
    await shop.register("sub_2")
    for name in ("ours-1", "sub_2"):
        found = (await shop.client.get(f"/_sandbox/subscriptions/{name}")).json()
        assert found["subscription_id"] == "sub_2"
    assert (await shop.client.get("/_sandbox/subscriptions/nobody")).status_code == 404


async def test_two_sandboxes_know_nothing_of_each_other(shop: Shop) -> None:
    await shop.register()
    async with SandboxServer.start() as other, httpx.AsyncClient(base_url=other.url) as client:
        assert other.url != shop.sandbox.url
        assert (await client.get("/_sandbox/subscriptions")).json() == {"items": []}
        assert (await client.get("/healthz")).json() == {"status": "ok"}
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient(base_url=other.url) as client:
            await client.get("/healthz")


def test_settings_come_from_the_environment_and_hide_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUNNING_SANDBOX_WEBHOOK_URL", "http://127.0.0.1:1/hook")
    monkeypatch.setenv("DUNNING_SANDBOX_WEBHOOK_SECRET", WEBHOOK_SECRET)
    monkeypatch.setenv("DUNNING_SANDBOX_BACKEND_SECRET", "whsec_YmFja2VuZA==")
    settings = SandboxSettings()
    assert settings.webhook_url == "http://127.0.0.1:1/hook"
    assert settings.webhook_secret is not None
    assert settings.webhook_secret.get_secret_value() == WEBHOOK_SECRET
    assert "YmFja2VuZA" not in repr(settings)


async def test_a_calendar_that_a_provider_runs_follows_its_own_subscriptions_clock(shop: Shop) -> None:
    due, retry = "2099-12-15T01:30:00+00:00", "2099-12-16T01:30:00+00:00"
    script = ["insufficient_fund"]
    for own in ("cust_1", "cust_2"):
        known = {
            "provider": "omise",
            "payment_method_id": "card_1",
            "script": script,
            "metadata": {"subscription": f"ours-{own}"},
        }
        await shop.register(own, **known)
        charge = {"customer": own, "amount": 2_000, "currency": "thb"}
        body = {
            "every": 1,
            "period": "month",
            "on": {"days_of_month": [15]},
            "start_date": "2099-12-15",
            "end_date": "2100-03-15",
        }
        made = await shop.client.post("/omise/schedules", json={**body, "charge": charge}, auth=("skey_test_k", ""))
        assert made.status_code == 200, made.text

    async def told(business_now: str, name: str = "ours-cust_1") -> object:
        return (await shop.control("clock", subscription=name, business_now=business_now))["next_at"]

    assert await told("2099-12-15T01:29:59Z") == due
    assert await shop.book() == []
    assert await told("2099-12-15T01:30:00Z") == retry
    assert [row["status"] for row in await shop.book()] == ["failed"]
    assert await told("2099-12-15T01:30:00Z") == retry, "told again, nothing is collected again"
    assert len(await shop.book()) == 1
    assert await told("2099-12-01T00:00:00Z", "cust_2") == due
    assert await told("2099-12-01T00:00:00Z", "nobody") is None
