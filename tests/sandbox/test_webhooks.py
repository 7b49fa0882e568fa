"""Webhooks: signed, retried, latest state, and spoiled on request. Sheet D.9."""

from __future__ import annotations

import json
from typing import Any

import pytest
from standardwebhooks import Webhook

from .conftest import WEBHOOK_SECRET, Receiver, Shop

pytestmark = pytest.mark.server


def bodies(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(one.body) for one in receiver.requests]


def types(receiver: Receiver) -> list[str]:
    return [body["type"] for body in bodies(receiver)]


def ids(receiver: Receiver) -> list[str]:
    return [one.headers["webhook-id"] for one in receiver.requests]


async def test_an_outcome_is_told_by_a_signed_message(shop: Shop, receiver: Receiver) -> None:
    await shop.register(script=["INSUFFICIENT_FUNDS"])
    payment = await shop.settled(dunning_key="a")
    (request,) = receiver.requests
    body = Webhook(WEBHOOK_SECRET).verify(request.body, request.headers)
    assert (body["type"], body["business_id"]) == ("payment.failed", "bus_sandbox")
    assert body["data"]["payload_type"] == "Payment"
    assert body["data"]["payment_id"] == payment["payment_id"]
    assert (body["data"]["status"], body["data"]["error_code"]) == ("failed", "INSUFFICIENT_FUNDS")
    assert body["data"]["metadata"] == {"dunning_key": "a"}


async def test_a_payment_put_off_is_told_as_processing(shop: Shop, receiver: Receiver) -> None:
    await shop.register(script=["PENDING/2h/SUCCEEDED"])
    await shop.charge(business_at="2026-03-05T13:10:00Z")
    await shop.quiet()
    await shop.control("advance", business_now="2026-03-05T15:10:00Z")
    await shop.quiet()
    assert types(receiver) == ["payment.processing", "payment.succeeded"]


async def test_an_unacknowledged_message_comes_again_under_the_same_id(shop: Shop, receiver: Receiver) -> None:
    receiver.answers = [500, 302, 204]
    await shop.register()
    await shop.settled()
    assert len(receiver.requests) == 3
    assert len(set(ids(receiver))) == 1
    (row,) = (await shop.client.get("/_sandbox/webhooks")).json()["webhooks"]
    assert (row["status"], row["answers"]) == ("delivered", [500, 302, 204])


async def test_retries_end_and_the_message_is_marked_failed(shop: Shop, receiver: Receiver) -> None:
    receiver.answers = [500] * 10
    await shop.register()
    await shop.settled()
    (row,) = (await shop.client.get("/_sandbox/webhooks", params={"subscription": "ours-1"})).json()["webhooks"]
    assert (row["status"], row["answers"]) == ("failed", [500] * 4)
    receiver.answers = []
    await shop.client.post(f"/_sandbox/webhooks/{row['id']}/replay")
    await shop.quiet()
    assert len(set(ids(receiver))) == 1, "a replay keeps the id"
    (row,) = (await shop.client.get("/_sandbox/webhooks")).json()["webhooks"]
    assert row["status"] == "delivered"


async def test_a_payload_shows_the_state_at_delivery_not_at_the_event(shop: Shop, receiver: Receiver) -> None:
    await shop.control("configure", webhooks={"mode": "lose", "types": ["payment.failed"]})
    await shop.register(script=["INSUFFICIENT_FUNDS"])
    await shop.settled()
    await shop.control("subscriptions/ours-1/late-success")
    lost, _ = (await shop.client.get("/_sandbox/webhooks")).json()["webhooks"]
    await shop.client.post(f"/_sandbox/webhooks/{lost['id']}/replay")
    await shop.quiet()
    told = {body["type"]: body["data"]["status"] for body in bodies(receiver)}
    assert told == {"payment.failed": "succeeded", "payment.succeeded": "succeeded"}


async def test_duplicates_share_one_id(shop: Shop, receiver: Receiver) -> None:
    await shop.control("configure", webhooks={"mode": "duplicate", "copies": 3})
    await shop.register()
    await shop.settled()
    assert types(receiver) == ["payment.succeeded"] * 3
    assert len(set(ids(receiver))) == 1


async def test_reordered_messages_arrive_the_other_way_round(shop: Shop, receiver: Receiver) -> None:
    await shop.control("configure", webhooks={"mode": "reorder", "seconds": 30})
    await shop.register(script=["INSUFFICIENT_FUNDS"], on_hold_after_failure=True)
    await shop.settled()
    assert types(receiver) == ["subscription.on_hold", "payment.failed"]


async def test_a_message_held_back_goes_out_alone_when_no_other_comes(shop: Shop, receiver: Receiver) -> None:
    await shop.control("configure", webhooks={"mode": "reorder", "seconds": 0.05})
    await shop.register()
    await shop.settled()
    assert types(receiver) == ["payment.succeeded"]


async def test_lost_messages_never_arrive_and_leave_nothing_on_its_way(shop: Shop, receiver: Receiver) -> None:
    await shop.control("configure", webhooks={"mode": "lose"})
    await shop.register()
    await shop.settled()
    assert receiver.requests == []
    (row,) = (await shop.client.get("/_sandbox/webhooks")).json()["webhooks"]
    assert row["status"] == "lost"


async def test_every_nth_message_is_lost_when_so_told(shop: Shop, receiver: Receiver) -> None:
    await shop.control("configure", webhooks={"mode": "lose", "every": 3})
    await shop.register()
    for number in range(6):
        await shop.settled(dunning_key=f"k{number}")
    delivered = [body["data"]["metadata"]["dunning_key"] for body in bodies(receiver)]
    assert delivered == ["k0", "k1", "k3", "k4"]


async def test_without_a_url_nothing_is_sent_and_the_sandbox_is_quiet(shop: Shop, receiver: Receiver) -> None:
    await shop.control("configure", webhook_url=None)
    await shop.register()
    await shop.settled()
    assert receiver.requests == []
    (row,) = (await shop.client.get("/_sandbox/webhooks")).json()["webhooks"]
    assert row["status"] == "not_sent"


async def test_it_is_not_quiet_while_an_outcome_or_a_message_is_on_its_way(shop: Shop) -> None:
    async def quiet(**query: str) -> tuple[bool, int, int]:
        found = (await shop.client.get("/_sandbox/quiet", params=query)).json()
        return found["quiet"], found["pending_webhooks"], found["in_flight"]

    async def charged(**settings: Any) -> None:
        await shop.control("configure", **settings)
        await shop.register("sub_1")
        await shop.register("sub_2", metadata={"subscription": "ours-2"})
        assert await quiet() == (True, 0, 0)
        assert (await shop.charge("sub_1")).status_code == 200

    await charged(settle_seconds=60)
    assert await quiet() == (False, 0, 1)
    assert await quiet(subscription="ours-1") == (False, 0, 1)
    assert await quiet(subscription="ours-2") == (True, 0, 0)
    await shop.client.post("/_sandbox/reset")
    await charged(settle_seconds=0, webhooks={"mode": "delay", "seconds": 60})
    assert await quiet() == (False, 1, 0)
    assert await quiet(subscription="ours-1") == (False, 1, 0)
    assert await quiet(subscription="ours-2") == (True, 0, 0)
    await shop.client.post("/_sandbox/reset")
    assert await quiet() == (True, 0, 0)


async def test_a_dead_endpoint_is_written_down_as_such(shop: Shop) -> None:
    await shop.control("configure", webhook_url="http://127.0.0.1:9/hook")
    await shop.register()
    await shop.settled()
    (row,) = (await shop.client.get("/_sandbox/webhooks")).json()["webhooks"]
    assert (row["status"], set(row["answers"])) == ("failed", {"ConnectError"})
